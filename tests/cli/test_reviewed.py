"""A saved change set is applied where it is tied to what was reviewed, or where a person says yes to it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.cli.shop import Shop, open_shop
from tests.cli.test_exit_codes import on_a_terminal
from tests.redteam.edits import rederived

PLAN = """owner: mail/prod
variables: {{ office: {{ type: string, default: {office} }} }}
allow: [{{ rule: SMTP-TENANT-WIDE, reason: CHG-1, until: 2099-01-31 }}]
smtp_auth: {{ mailboxes: {{ erp@contoso.com: {word} }} }}
inbound_connectors:
  hq: {{ type: on_premises, sender_ip_addresses: [var:office] }}
"""
HQ = 'inbound_connector["hq"]'
OPTIONS = "give --expect-digest SHA256 (the digest that the review showed) or --plan PATH"
CI = ({"CI": "true"}, {"CI": "1"}, {"TF_BUILD": "True"})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as here:
        yield here


@pytest.fixture(autouse=True)
def as_before(shop: Shop) -> Iterator[None]:
    yield
    shop.reset()
    for journal in (shop.folder / "state").glob("*/journal.jsonl"):
        journal.unlink()


def plan(shop: Shop, office: str = "81.2.69.160", word: str = "enabled") -> str:
    return shop.write(PLAN.format(office=office, word=word))


def saved(shop: Shop, *options: str) -> None:
    done = shop.on_tenant("plan", plan(shop), "-o", "c.json", *options)
    assert done.returncode == 0, done.stderr
    assert f"provisioner apply c.json --expect-digest {digest(shop)[1]}\n" in done.stderr


def refused(shop: Shop, code: int, *options: str, **environment: str) -> str:
    """Apply, which must end with this code before the tenant is asked anything."""
    since = shop.tenant.seen()
    done = shop.on_tenant("apply", "c.json", *options, **environment)
    assert done.returncode == code, done.stderr
    assert shop.tenant.seen() == since
    return done.stderr


def applied(shop: Shop, *options: str, **environment: str) -> None:
    done = shop.on_tenant("apply", "c.json", *options, **environment)
    assert done.returncode == 0, done.stderr
    assert [r["Name"] for r in shop.tenant.rows("InboundConnector")] == ["hq"]


def digest(shop: Shop) -> tuple[str, str]:
    return shop.reviewed("c.json")[1:]


# --- who must say so -------------------------------------------------------------------------------------------------


def test_in_ci_and_with_auto_approve_it_must_be_tied_to_its_review(shop: Shop) -> None:
    saved(shop)
    assert OPTIONS in refused(shop, 3, "--auto-approve")
    assert OPTIONS in refused(shop, 3, "--expect-digest", "", "--auto-approve")
    for environment in CI:
        assert OPTIONS in refused(shop, 3, **environment)
        assert OPTIONS in refused(shop, 3, "--expect-digest", "", **environment), "a variable that is not set"


@pytest.mark.parametrize("how", ["digest", "plan", "both"])
def test_tied_to_its_review_it_is_applied_without_a_question(shop: Shop, how: str) -> None:
    saved(shop)
    by_plan = ("--plan", "plan.yaml")
    options = {"digest": digest(shop), "plan": by_plan, "both": (*digest(shop), *by_plan)}[how]
    applied(shop, *options, CI="true")
    applied(shop, *options, "--auto-approve")


def test_without_a_person_nobody_approves_it(shop: Shop) -> None:
    saved(shop)
    for environment in ({}, {"CI": "false"}, {"CI": "0"}):
        assert "--expect-digest or --plan with a saved change set" in refused(shop, 10, **environment)


def test_where_nothing_is_to_be_done_nobody_is_asked(shop: Shop) -> None:
    shop.on_tenant("plan", shop.write("smtp_auth: { mailboxes: { erp@contoso.com: inherit } }\n"), "-o", "c.json")
    assert shop.on_tenant("apply", "c.json").returncode == 0


def test_on_a_terminal_it_is_shown_and_asked_about(shop: Shop) -> None:
    saved(shop)
    code, said = on_a_terminal(shop, ["--profile", "sandbox", "apply", "c.json"], "yes\n")
    assert (code, "Apply complete!" in said) == (0, True)
    shown, asked = said.index('inbound_connector["hq"] will be created'), said.index("Only 'yes' will be accepted")
    assert shown < said.index("81.2.69.160/32") < asked


def test_the_options_are_for_a_saved_change_set(shop: Shop) -> None:
    for option in ("--expect-digest", "--plan"):
        done = shop.on_tenant("apply", plan(shop), option, "plan.yaml", "--auto-approve")
        assert (done.returncode, "for a saved change set" in done.stderr) == (3, True)


# --- --plan ----------------------------------------------------------------------------------------------------------


def test_another_plan_is_refused_with_what_differs(shop: Shop) -> None:
    saved(shop)
    plan(shop, word="disabled")
    said = refused(shop, 7, "--plan", "plan.yaml")
    assert "c.json is not what plan.yaml leads to" in said
    assert 'smtp_auth["erp@contoso.com"]: change.after' in said
    assert 'smtp_auth["erp@contoso.com"]: provisioner.steps' in said
    assert "inbound_connector" not in said


def test_the_plan_is_planned_with_the_variables_of_the_command_line(shop: Shop) -> None:
    saved(shop, "--var", "office=81.2.69.161")
    said = refused(shop, 7, "--plan", "plan.yaml")
    assert "$.variables" in said
    assert "give the options of that plan: --var" in said
    applied(shop, "--plan", "plan.yaml", "--var", "office=81.2.69.161")


def test_what_is_lifted_and_left_out_is_given_again(shop: Shop) -> None:
    """The plan does not hold them, so that whoever edits the file could write them into it."""
    saved(shop, "--allow", "IP-PRIVATE", "--target", "inbound_connector/*")
    target, allow = ("--target", "inbound_connector/*"), ("--allow", "IP-PRIVATE")
    assert "$.provisioner.basis.allowed" in refused(shop, 7, "--plan", "plan.yaml", *target)
    assert "$.provisioner.basis.targets" in refused(shop, 7, "--plan", "plan.yaml", *allow)
    assert "belong to plan" in refused(shop, 3, *digest(shop), *target)
    applied(shop, "--plan", "plan.yaml", *target, *allow)


def test_a_comment_and_another_spelling_of_the_path_make_no_difference(shop: Shop) -> None:
    saved(shop)
    text = (shop.folder / "plan.yaml").read_text()
    (shop.folder / "plan.yaml").write_text(f"# reviewed\n\n{text}")
    applied(shop, "--plan", str(shop.folder / "plan.yaml"))


def test_a_plan_with_mistakes_is_3(shop: Shop) -> None:
    saved(shop)
    shop.write("smtp_auth: { mailboxes: { erp@contoso.com: perhaps } }\n")
    refused(shop, 3, "--plan", "plan.yaml")
    refused(shop, 3, "--plan", "nowhere")


def test_a_rollback_follows_from_no_plan(shop: Shop) -> None:
    assert shop.on_tenant("apply", plan(shop), "--auto-approve").returncode == 0
    assert shop.on_tenant("rollback", "last", "-o", "c.json").returncode == 0
    refused(shop, 7, "--plan", "plan.yaml")
    assert shop.on_tenant("apply", "c.json", *digest(shop)).returncode == 0
    assert shop.tenant.rows("InboundConnector") == []


# --- another plan in the file ----------------------------------------------------------------------------------------


def test_another_change_set_than_the_reviewed_one_is_refused(shop: Shop) -> None:
    saved(shop)
    tied = digest(shop)
    assert shop.on_tenant("plan", plan(shop, office="81.2.69.199"), "-o", "c.json").returncode == 0
    assert "is not the one that was approved" in refused(shop, 7, *tied)
    plan(shop)
    assert 'inbound_connector["hq"]: change.after' in refused(shop, 7, "--plan", "plan.yaml")


def test_a_lifted_guard_that_is_written_into_the_file_is_refused(shop: Shop) -> None:
    shop.write("smtp_auth: { organization: enabled }\n")
    assert shop.on_tenant("plan", "plan.yaml", "-o", "c.json", "--allow", "SMTP-TENANT-WIDE").returncode == 0
    said = refused(shop, 7, "--plan", "plan.yaml", "--auto-approve")
    assert "$.provisioner.findings" in said
    assert "$.provisioner.basis.allowed" in said


def test_what_the_file_says_of_the_journal_is_believed_only_with_the_journal(shop: Shop) -> None:
    """By a foreign connector's id the plan's would be that one, renamed by hand: its settings would be overwritten."""
    parameters = {"ConnectorType": "OnPremises", "SenderDomains": ["*"], "SenderIPAddresses": ["81.2.69.170"]}
    shop.tenant.cmdlet("New-InboundConnector", Name="others", **parameters)
    saved(shop)
    made = json.loads((shop.folder / "c.json").read_text())
    made["provisioner"]["basis"]["remembered"] = {HQ: shop.tenant.rows("InboundConnector")[0]["Guid"]}
    forged = rederived(made)
    assert [c["change"]["actions"] for c in forged["resource_changes"] if c["address"] == HQ] == [["update"]]
    (shop.folder / "c.json").write_text(json.dumps(forged))
    assert f"{HQ}: change.actions" in refused(shop, 7, "--plan", "plan.yaml")
    made["provisioner"]["basis"]["remembered"] = {HQ: "6f0a3c1e-0000-4000-8000-000000000001"}
    (shop.folder / "c.json").write_text(json.dumps(rederived(made)))
    done = shop.on_tenant("apply", "c.json", "--plan", "plan.yaml")
    assert done.returncode == 0, "an id that decides nothing makes no difference"
    assert sorted(r["Name"] for r in shop.tenant.rows("InboundConnector")) == ["hq", "others"]


def test_with_the_journal_a_connector_that_was_renamed_by_hand_is_still_the_plans(shop: Shop) -> None:
    assert shop.on_tenant("apply", plan(shop), "--auto-approve").returncode == 0
    shop.tenant.cmdlet("Set-InboundConnector", Identity="hq", Name="by hand", Comment="no mark any more")
    saved(shop)
    assert "by hand" in shop.run("show", "c.json").stdout
    applied(shop, "--plan", "plan.yaml")
