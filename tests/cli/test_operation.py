"""What a team does around apply: reports, terms of a change set, history, rollback, drift, locks, lint, export."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from tests.cli.shop import Shop, open_shop
from tests.clocks import until

ERP = "smtp_auth: { mailboxes: { erp@contoso.com: %s } }\n"
CONNECTOR = """owner: team/prod
inbound_connectors:
  hq:
    type: on_premises
    sender_ip_addresses: [198.51.100.7]
    sender_domains: ["*"]
    require_tls: true
    comment: %s
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as here:
        yield here


@pytest.fixture(autouse=True)
def as_before(shop: Shop) -> Iterator[None]:
    """Every test begins with the same tenant, and without a history."""
    yield
    shop.tenant.control("DELETE", "/faults")
    for row in shop.tenant.rows("InboundConnector"):
        shop.tenant.cmdlet("Remove-InboundConnector", Identity=row["Name"])
    for mailbox in ("erp", "fax"):
        shop.tenant.cmdlet("Set-CASMailbox", Identity=f"{mailbox}@contoso.com", SmtpClientAuthenticationDisabled=None)
    for journal in (shop.folder / "state").glob("*/journal.jsonl"):
        journal.unlink()


def erp(shop: Shop) -> bool | None:
    rows = {r["PrimarySmtpAddress"]: r for r in shop.tenant.rows("CASMailbox")}
    found: bool | None = rows["erp@contoso.com"]["SmtpClientAuthenticationDisabled"]
    return found


# --- reports ---------------------------------------------------------------------------------------------------------


def test_a_plan_writes_every_report_at_once(shop: Shop) -> None:
    plan = shop.write(ERP % "enabled")
    names = {
        "json": "r.json", "markdown": "r.md", "html": "r.html", "powershell": "r.ps1", "github": "r.github",
        "gitlab": "r.gitlab", "junit": "r.xml", "sarif": "r.sarif",
    }  # fmt: skip
    asked = [part for name, file in names.items() for part in (f"--out-{name}", file)]
    done = shop.on_tenant("plan", plan, *asked)
    assert done.returncode == 0, done.stderr
    assert "widens exposure" in done.stdout
    read = {name: (shop.folder / file).read_text() for name, file in names.items()}
    assert json.loads(read["json"])["resource_changes"][0]["provisioner"]["consequences"] == ["widens exposure"]
    assert read["markdown"].startswith("<!-- provisioner:plan:")
    assert "widens exposure" in read["markdown"]
    assert read["html"].startswith("<!doctype html>")
    assert "Set-CASMailbox" in read["powershell"]
    assert json.loads(read["gitlab"])["update"] == 1
    assert ET.fromstring(read["junit"]).tag == "testsuite"
    assert json.loads(read["sarif"])["version"] == "2.1.0"


def test_a_report_can_go_to_standard_output_alone(shop: Shop) -> None:
    plan = shop.write(ERP % "enabled")
    done = shop.on_tenant("plan", plan, "-o", "c.json", "--out-markdown", "-")
    assert done.stdout.startswith("<!-- provisioner:plan:")
    shown = shop.on_tenant("show", "c.json", "--format", "markdown")
    assert shown.stdout == done.stdout


def test_a_report_that_cannot_be_written_says_so(shop: Shop) -> None:
    done = shop.on_tenant("plan", shop.write(ERP % "enabled"), "--out-html", "nowhere/r.html")
    assert done.returncode == 3
    assert "nowhere/r.html cannot be written" in done.stderr


# --- terms of a saved change set -------------------------------------------------------------------------------------


def saved(shop: Shop, *options: str) -> dict[str, object]:
    done = shop.on_tenant("plan", shop.write(ERP % "enabled"), "-o", "c.json", *options)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads((shop.folder / "c.json").read_text())["provisioner"]
    return found


def test_a_saved_change_set_is_for_its_owner_only_and_says_when_it_ends(shop: Shop) -> None:
    ours = saved(shop)
    assert stat.S_IMODE((shop.folder / "c.json").stat().st_mode) == 0o600
    assert str(ours["expires"]) > "2026"


def test_what_was_not_approved_is_refused(shop: Shop) -> None:
    ours = saved(shop)
    refused = shop.on_tenant("apply", "c.json", "--expect-digest", "sha256:" + "0" * 64)
    assert refused.returncode == 7
    assert "not the one that was approved" in refused.stderr
    assert erp(shop) is None
    assert shop.on_tenant("apply", "c.json", "--expect-digest", str(ours["digest"])).returncode == 0
    assert erp(shop) is False


def test_what_is_too_old_is_refused(shop: Shop) -> None:
    saved(shop)
    shop.clock.advance(1.1)
    refused = shop.on_tenant("apply", *shop.reviewed("c.json"), "--max-age", "1s")
    assert (refused.returncode, "--max-age" in refused.stderr) == (7, True)
    saved(shop, "--expires", "1s")
    shop.clock.advance(2.1)
    refused = shop.on_tenant("apply", *shop.reviewed("c.json"))
    assert (refused.returncode, "expired" in refused.stderr) == (7, True)
    assert erp(shop) is None


def test_the_terms_belong_to_a_saved_change_set(shop: Shop) -> None:
    assert shop.on_tenant("apply", shop.write(ERP % "enabled"), "--max-age", "1h").returncode == 3


def test_the_same_change_set_a_second_time_does_nothing(shop: Shop) -> None:
    saved(shop)
    assert shop.on_tenant("apply", *shop.reviewed("c.json")).returncode == 0
    before = len(shop.tenant.writes())
    again = shop.on_tenant("apply", *shop.reviewed("c.json"))
    assert again.returncode == 0
    assert "had been made already" in again.stdout
    assert len(shop.tenant.writes()) == before
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=True)
    stale = shop.on_tenant("apply", *shop.reviewed("c.json"))
    assert (stale.returncode, "has applied this change set already" in stale.stderr) == (7, True), stale.stderr


def test_what_moved_in_between_is_told_and_nothing_is_written(shop: Shop) -> None:
    saved(shop)
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=True)
    before = len(shop.tenant.writes())
    refused = shop.on_tenant("apply", *shop.reviewed("c.json"))
    assert refused.returncode == 7
    assert "erp@contoso.com" in refused.stderr
    assert len(shop.tenant.writes()) == before


def test_the_commit_of_a_plan_is_in_its_change_set(shop: Shop) -> None:
    checkout = shop.folder / "checkout"
    checkout.mkdir()
    (checkout / "plan.yaml").write_text("provisioner: 1\ntenant: contoso.onmicrosoft.com\n" + ERP % "enabled")
    who = ("-c", "user.name=a", "-c", "user.email=a@b.example")
    for arguments in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "plan")):
        subprocess.run(["git", "-C", str(checkout), *arguments], check=True)
    head = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    shop.on_tenant("plan", "checkout", "-o", "c.json")
    assert json.loads((shop.folder / "c.json").read_text())["provisioner"]["plan"]["commit"] == head.stdout.strip()
    (checkout / "plan.yaml").write_text("provisioner: 1\ntenant: contoso.onmicrosoft.com\n" + ERP % "disabled")
    shop.on_tenant("plan", "checkout", "-o", "c.json")
    assert json.loads((shop.folder / "c.json").read_text())["provisioner"]["plan"]["commit"].endswith(" (modified)")


# --- history, rollback, drift ----------------------------------------------------------------------------------------


def test_history_tells_what_was_done_and_rollback_undoes_it(shop: Shop) -> None:
    both = shop.write(CONNECTOR % "Scanners" + ERP % "enabled")
    allow = ("--allow", "IP-DOCUMENTATION")
    assert shop.on_tenant("apply", both, "--auto-approve", *allow).returncode == 0
    runs = json.loads(shop.run("history", "list", "--format", "json").stdout)
    assert [r["results"] for r in runs] == [{"done": 2}]
    shown = shop.run("history", "show").stdout
    assert shown.startswith(
        f"Run {runs[0]['run']} of {runs[0]['begun']} by {runs[0]['actor']} on contoso.onmicrosoft.com"
    )
    assert "created 1, changed 1" in shop.run("history", "list").stdout
    assert '  smtp_auth["erp@contoso.com"]: changed' in shown
    undoing = '  set smtp_auth["erp@contoso.com"] back to its old values\n  delete inbound_connector["hq"]\n'
    assert shown.endswith(undoing)
    assert 'smtp_auth = "inherit" -> "enabled"' in shown
    assert shop.run("history", "verify").returncode == 0

    back = shop.on_tenant("rollback", "last", "-o", "back.json")
    with_plan = shop.on_tenant("apply", "back.json", "--plan", "plan.yaml")
    assert (with_plan.returncode, "back.json undoes a run: no plan leads to it" in with_plan.stderr) == (7, True)
    assert back.returncode == 0, back.stderr
    assert "Rollback: 0 to add, 1 to change, 1 to destroy." in back.stdout
    assert f"Rollback of run {runs[0]['run']}" in back.stderr
    assert "which created 1, changed 1." in back.stderr
    assert shop.tenant.rows("InboundConnector"), "nothing is undone before it is applied"
    undone = shop.on_tenant("apply", *shop.reviewed("back.json"))
    assert undone.returncode == 0
    assert undone.stdout.endswith("Rollback complete! Resources: 0 added, 1 changed, 1 destroyed.\n")
    assert erp(shop) is None
    assert shop.tenant.rows("InboundConnector") == []
    again = shop.on_tenant("plan", both, "--detailed-exitcode", *allow)
    assert "1 to add, 1 to change, 0 to destroy" in again.stdout


def test_rollback_leaves_alone_what_somebody_changed_since(shop: Shop) -> None:
    shop.on_tenant("apply", shop.write(ERP % "enabled"), "--auto-approve")
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=True)
    back = shop.on_tenant("rollback", "-o", "back.json")
    assert back.returncode == 0
    assert "it was changed since the run" in back.stderr
    assert "There is nothing to carry out." in back.stderr
    assert json.loads((shop.folder / "back.json").read_text())["resource_changes"] == []


SELECTION = """owner: team/prod
mailbox_selections: { all: { domain: contoso.com, smtp_auth: disabled } }
transport_rules:
  Stop: { sender_domains: [fabrikam.com], stop_rule_processing: true }
  Z-mark: { sender_domains: [fabrikam.com], set_header_name: X-Device, set_header_value: "1", before: [Stop] }
"""


@pytest.mark.part(0.5)
def test_what_is_read_only_beside_its_plan_is_undone_and_told_as_left(shop: Shop) -> None:
    def switches() -> dict[str, bool | None]:
        rows = shop.tenant.rows("CASMailbox")
        return {r["PrimarySmtpAddress"]: r["SmtpClientAuthenticationDisabled"] for r in rows}

    other = shop.write("smtp_auth: { mailboxes: { fax@contoso.com: enabled } }\n", "other.yaml")
    assert shop.on_tenant("apply", other, "--auto-approve").returncode == 0
    before = switches()
    assert shop.on_tenant("apply", shop.write(SELECTION), "--auto-approve").returncode == 0
    assert set(switches().values()) == {True}
    stop = shop.write("owner: team/prod\ntransport_rules: { STOP: { stop_rule_processing: true } }\n", "stop.yaml")
    left = shop.on_tenant("plan", stop).stdout
    assert '  mailbox_selection["all"]\n' in left
    assert '  transport_rule["Z-mark"]\n' in left
    assert 'transport_rule["Stop"]' not in left, "names are told apart without case"
    shown = shop.run("history", "show").stdout
    assert '  set smtp_auth["fax@contoso.com"] back to its old values\n' in shown, (
        "not the selection, which is no object"
    )
    back = shop.on_tenant("rollback", "last", "-o", "back.json")
    assert back.returncode == 0, back.stderr
    assert "Not undone" not in back.stderr
    undone = shop.on_tenant("apply", *shop.reviewed("back.json"), "--auto-approve")
    assert undone.returncode == 0, undone.stderr
    assert switches() == before
    assert shop.tenant.rows("TransportRule") == []
    assert shop.on_tenant("plan", other, "--detailed-exitcode").returncode == 0
    again = shop.on_tenant("plan", "plan.yaml").stdout
    assert "Changed by others" not in again
    assert "still live" not in again, "what a selection sets is declared"
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=False)
    assert '  mailbox_selection["all"] (mailboxes)\n' in shop.on_tenant("plan", "plan.yaml").stdout


def test_a_run_or_a_journal_that_is_not_there_is_an_error(shop: Shop) -> None:
    assert shop.run("history", "list").returncode == 3
    shop.on_tenant("apply", shop.write(ERP % "enabled"), "--auto-approve")
    assert shop.run("history", "show", "nothing").returncode == 3
    assert shop.on_tenant("rollback", "nothing", "-o", "x.json").returncode == 3


def test_a_journal_that_was_changed_is_found_out(shop: Shop) -> None:
    shop.on_tenant("apply", shop.write(ERP % "enabled"), "--auto-approve")
    (journal,) = (shop.folder / "state").glob("*/journal.jsonl")
    journal.write_text(journal.read_text().replace('"done"', '"none"'))
    done = shop.run("history", "verify")
    assert done.returncode == 1
    assert "was changed after it was written" in done.stderr


def test_a_target_that_names_nothing_is_told(shop: Shop) -> None:
    plan = shop.write(CONNECTOR % "Scanners" + ERP % "enabled")
    for target, told in [("inbound_connector/none", True), ("dkim/*", True), ("smtp_auth/*", False)]:
        done = shop.on_tenant("plan", plan, "--target", target)
        assert (done.returncode, "TARGET-UNMATCHED" in done.stderr) == ((3, True) if told else (0, False)), target


def test_drift_tells_what_was_changed_from_outside(shop: Shop) -> None:
    plan = shop.write(CONNECTOR % "Scanners" + ERP % "enabled")
    assert shop.on_tenant("drift", plan).returncode == 2, "nothing is applied yet"
    shop.on_tenant("apply", plan, "--auto-approve", "--allow", "IP-DOCUMENTATION")
    none = shop.on_tenant("drift", plan)
    assert (none.returncode, "No drift" in none.stdout) == (0, True)
    shop.tenant.cmdlet("Set-InboundConnector", Identity="hq", RequireTls=False)
    found = shop.on_tenant("drift", plan, "--format", "json")
    assert found.returncode == 2
    (item,) = json.loads(found.stdout)["drift"]
    assert (item["address"], item["outside"]) == ('inbound_connector["hq"]', True)
    assert item["fields"] == [{"name": "require_tls", "declared": True, "live": False, "outside": True}]
    text = shop.on_tenant("drift", plan).stdout
    assert "require_tls: declared true, live false (from outside)" in text
    assert "changed from outside since run" in text


def test_a_plan_tells_what_others_changed_since(shop: Shop) -> None:
    plan = shop.write(CONNECTOR % "Scanners" + ERP % "enabled")
    shop.on_tenant("apply", plan, "--auto-approve", "--allow", "IP-DOCUMENTATION")
    quiet = json.loads(shop.on_tenant("plan", plan, "--format", "json").stdout)
    assert "resource_drift" not in quiet
    shop.tenant.cmdlet("Set-InboundConnector", Identity="hq", RequireTls=False)
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=None)
    done = shop.on_tenant(
        "plan", plan, "-o", "drifted.json", "--out-markdown", "drifted.md", "--out-json", "shown.json"
    )
    assert "Changed by others since the last apply from here:" in done.stdout
    assert '  inbound_connector["hq"] (require_tls)' in done.stdout
    assert "Changed by others since the last apply" in (shop.folder / "drifted.md").read_text()
    items = {d["address"]: d for d in json.loads((shop.folder / "shown.json").read_text())["resource_drift"]}
    change = items['inbound_connector["hq"]']["change"]
    assert (change["actions"], change["before"]["require_tls"], change["after"]["require_tls"]) == (
        ["update"], True, False,
    )  # fmt: skip
    assert items['smtp_auth["erp@contoso.com"]']["change"]["after"]["smtp_auth"] == "inherit"
    lines = [json.loads(line) for line in shop.on_tenant("plan", plan, "--format", "json-lines").stdout.splitlines()]
    kinds = [line["type"] for line in lines]
    assert kinds.count("resource_drift") == 2
    assert kinds.index("resource_drift") < kinds.index("planned_change")
    shop.tenant.cmdlet("Remove-InboundConnector", Identity="hq")
    gone = json.loads(shop.on_tenant("plan", plan, "--format", "json").stdout)["resource_drift"]
    assert [d["change"]["actions"] for d in gone if d["type"] == "inbound_connector"] == [["delete"]]
    assert shop.on_tenant("apply", *shop.reviewed("drifted.json")).returncode == 7, "the connector has gone since"


def test_drift_does_not_blame_others_for_a_plan_that_changed(shop: Shop) -> None:
    shop.on_tenant("apply", shop.write(ERP % "enabled"), "--auto-approve")
    found = shop.on_tenant("drift", shop.write(ERP % "disabled"), "--format", "json")
    (item,) = json.loads(found.stdout)["drift"]
    assert (found.returncode, item["outside"]) == (2, False)


def test_what_this_very_plan_takes_back_is_not_listed_as_left(shop: Shop) -> None:
    shop.on_tenant("apply", shop.write(ERP % "enabled"), "--auto-approve")
    done = shop.on_tenant("plan", shop.write("smtp_auth: { exclusive: true }\n", "other.yaml"))
    assert 'smtp_auth["erp@contoso.com"] will be updated' in done.stdout
    assert "still live" not in done.stdout


def test_what_is_no_longer_declared_and_still_live_is_listed(shop: Shop) -> None:
    shop.on_tenant("apply", shop.write(ERP % "enabled"), "--auto-approve")
    other = shop.write("smtp_auth: { mailboxes: { fax@contoso.com: inherit } }\n", "other.yaml")
    done = shop.on_tenant("plan", other, "--out-markdown", "left.md")
    assert "No longer declared, still live" in done.stdout
    assert 'smtp_auth["erp@contoso.com"]' in done.stdout
    assert "No longer declared" in (shop.folder / "left.md").read_text()
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=None)
    assert "No longer declared" not in shop.on_tenant("plan", other).stdout


# --- locks -----------------------------------------------------------------------------------------------------------


def held_apply(shop: Shop, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """An apply that has its lock and waits for an answer, until `shop.release`."""
    shop.hold("Set-CASMailbox")
    process = shop.begin("--profile", "sandbox", "apply", shop.write(ERP % "enabled"), "--auto-approve", **environment)
    shop.wait_until_held()
    return process


@pytest.mark.one_of("shared")
@pytest.mark.parametrize("shared", ["", "path", "git"])
def test_of_two_applies_one_is_refused_or_waits(shop: Shop, shared: str, tmp_path: Path) -> None:
    environment = {}
    if shared == "git":
        subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "locks.git")], check=True)
        environment = {"PROVISIONER_LOCK": f"git:{tmp_path / 'locks.git'}"}
    elif shared:
        environment = {"PROVISIONER_LOCK": f"path:{tmp_path}"}
    first = held_apply(shop, environment)
    # Another machine has another state folder: only the shared lock is between them.
    other = {**environment, "PROVISIONER_STATE_DIR": str(tmp_path / "state")} if shared else {}
    held = shop.on_tenant("lock", "status", **other)
    assert f"run {json.loads(first_line(shop))['run']}" in held.stdout
    refused = shop.on_tenant("apply", "plan.yaml", "--auto-approve", **other)
    assert refused.returncode == 9
    assert "is being changed by" in refused.stderr

    def finish() -> None:
        shop.release()
        first.communicate(timeout=120)

    shop.clock.after(5, finish)
    waited = shop.on_tenant("apply", "plan.yaml", "--auto-approve", "--lock-wait", "60s", **other)
    assert waited.returncode == 0, waited.stderr
    assert first.returncode == 0
    assert "free" in shop.on_tenant("lock", "status", **other).stdout
    assert len([w for w in shop.tenant.writes() if w["cmdlet"] == "Set-CASMailbox"]) >= 1


def first_line(shop: Shop) -> str:
    (journal,) = (shop.folder / "state").glob("*/journal.jsonl")
    return journal.read_text().splitlines()[0]


def killed_apply(shop: Shop, **environment: str) -> None:
    """An apply that was killed while it waited; what it had sent has arrived."""
    before = shop.tenant.seen()
    first = held_apply(shop, environment)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    shop.release()
    until(lambda: shop.tenant.writes("exchange", before))


def test_the_lock_of_a_killed_run_frees_itself(shop: Shop) -> None:
    killed_apply(shop)
    again = shop.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert again.returncode == 0, again.stderr
    assert erp(shop) is False
    assert shop.run("history", "verify").returncode == 0


def test_a_shared_lock_that_nobody_will_release_is_released_by_its_id(shop: Shop, tmp_path: Path) -> None:
    environment = {"PROVISIONER_LOCK": f"path:{tmp_path}"}
    killed_apply(shop, **environment)
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=None)
    assert shop.on_tenant("apply", "plan.yaml", "--auto-approve", **environment).returncode == 9
    held = json.loads(shop.on_tenant("lock", "status", "--format", "json", **environment).stdout)
    assert held["this machine"] is None
    assert shop.on_tenant("lock", "release", "0123456789ab", **environment).returncode == 3
    assert shop.on_tenant("lock", "release", held["shared folder"]["id"], **environment).returncode == 0
    assert shop.on_tenant("apply", "plan.yaml", "--auto-approve", **environment).returncode == 0


# --- lint and export -------------------------------------------------------------------------------------------------


def test_lint_needs_no_tenant_and_finds_what_is_dangerous(shop: Shop) -> None:
    plan = shop.write("inbound_connectors: { hq: { type: on_premises, sender_ip_addresses: [10.0.0.0/24] } }\n")
    done = shop.run("lint", plan)
    assert done.returncode == 3
    assert "IP-PRIVATE" in done.stderr
    assert shop.run("lint", plan, "--allow", "IP-PRIVATE").returncode == 0
    sarif = json.loads(shop.run("lint", plan, "--format", "sarif").stdout)
    assert [r["ruleId"] for r in sarif["runs"][0]["results"]] == ["IP-PRIVATE"]
    assert "::error file=plan.yaml,line=3" in shop.run("lint", plan, "--format", "github").stdout
    found = json.loads(shop.run("lint", plan, "--format", "json").stdout)
    assert [d["summary"] != "" for d in found] == [True]


def test_an_export_is_a_plan_without_changes(shop: Shop) -> None:
    shop.on_tenant("apply", shop.write(CONNECTOR % "Scanners" + ERP % "enabled"), "--auto-approve")
    done = shop.on_tenant("export", "--owner", "team/prod", "-o", "live.yaml")
    assert done.returncode == 0, done.stderr
    assert shop.on_tenant("plan", "live.yaml", "--detailed-exitcode").returncode == 0
    only = yaml.safe_load(shop.on_tenant("export", "--type", "smtp_auth").stdout)
    assert sorted(only) == ["provisioner", "smtp_auth", "tenant"]
    one = yaml.safe_load(shop.on_tenant("export", "--target", "smtp_auth/erp@contoso.com").stdout)
    assert one["smtp_auth"] == {"mailboxes": {"erp@contoso.com": "enabled"}}
    assert shop.on_tenant("export", "--type", "printer").returncode == 3


# --- the stream ------------------------------------------------------------------------------------------------------


def lines_of(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for line in found:
        assert {"@level", "@message", "@module", "@timestamp", "type"} <= set(line)
    return found


def test_plan_and_apply_speak_terraform_s_stream(shop: Shop) -> None:
    plan = shop.write(ERP % "enabled")
    planned = lines_of(shop.on_tenant("plan", plan, "--format", "json-lines"))
    assert [line["type"] for line in planned] == ["version", "planned_change", "change_summary"]
    assert planned[0]["ui"] == "1.2"
    assert planned[1]["change"]["action"] == "update"  # type: ignore[index]
    applied = lines_of(shop.on_tenant("apply", plan, "--auto-approve", "--format", "json-lines"))
    wanted = ["version", "planned_change", "change_summary", "apply_start", "apply_complete", "change_summary"]
    assert [line["type"] for line in applied] == wanted
    assert applied[-1]["changes"] == {"add": 0, "change": 1, "import": 0, "remove": 0, "operation": "apply"}


def test_a_failed_apply_has_no_summary_in_its_stream(shop: Shop) -> None:
    shop.fault("Set-CASMailbox", {"status": 400, "body": {"error": {"code": "BadRequest", "message": "no"}}})
    done = shop.on_tenant("apply", shop.write(ERP % "enabled"), "--auto-approve", "--format", "json-lines")
    assert done.returncode == 8
    kinds = [line["type"] for line in lines_of(done)]
    assert kinds[-1] == "apply_errored"
    assert kinds.count("change_summary") == 1, "the plan's"


def test_an_error_is_a_diagnostic_in_the_stream(shop: Shop) -> None:
    done = shop.on_tenant("plan", shop.write("smtp_auth: { organisation: disabled }\n"), "--format", "json-lines")
    assert done.returncode == 3
    (first, said) = lines_of(done)
    assert first["type"] == "version"
    assert said["diagnostic"]["range"]["filename"] == "plan.yaml"  # type: ignore[index]
