"""What somebody meets who uses the program for the first time: words without a profile, a plan or the right name."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.in_process import run_in_process
from tests.cli.shop import HEADER, Shop, open_shop

_SELECTORS = ("selector1._domainkey.contoso.com", "selector2._domainkey.contoso.com")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("newcomers")) as here:
        yield here


@pytest.fixture
def shop(started: Shop) -> Shop:
    """The tenant as it was at the start."""
    started.reset()
    return started


def alone(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """A command in a folder of its own, without a tenant: exit code and both outputs."""
    place = {**{k: v for k, v in os.environ.items() if not k.startswith("PROVISIONER_")}, **environment}
    done = run_in_process(arguments, folder, {**place, "PROVISIONER_STATE_DIR": str(folder / "state")})
    return done.returncode, done.stdout, done.stderr


def test_without_arguments_the_help_is_printed_once(tmp_path: Path) -> None:
    code, out, err = alone(tmp_path)
    assert (code, out) == (3, "")
    assert err.count("Usage:") == 1
    assert "Error" not in err
    assert "  validate " in err


def test_a_missing_plan_leads_to_init(tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir()
    for arguments in (["validate", "absent.yaml"], ["validate"]):
        code, _, err = alone(tmp_path, *arguments)
        assert code == 3
        assert "provisioner init" in err


def test_every_mistake_of_a_plan_is_told_in_one_pass(tmp_path: Path) -> None:
    """A private address of a site, a site that is not declared, a wrong key, variables and a text written twice."""
    body = """\
variables: { unused: { type: string, default: x }, branch: { type: string, default: y } }
sites: { hq: { egress_ip_addresses: [10.0.0.5] } }
devices:
  mfp: { site: york, from: a@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [] } }
  erp: { site: hq, from: c@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [] } }
  fax: { site: hq, from: b@contoso.com, recipients: anyone, suports: { tls: "1.2", authentication: [] } }
inbound_connectors:
  x: { type: on_premises, sender_ip_addresses: [52.202.8.5/32, 52.202.8.5], require_tls: perhaps }
  y: { type: on_premises, sender_ip_addresses: [52.202.8.6/32, 52.202.8.6] }
smtp_auth: { mailboxes: { "b@${domein}": enabled } }
"""
    (tmp_path / "plan.yaml").write_text(HEADER + body, encoding="utf-8")
    code, _, err = alone(tmp_path, "validate", "plan.yaml")
    assert code == 3
    found = {line.partition("[")[2].partition("]")[0] for line in err.splitlines() if "plan.yaml:" in line}
    assert found >= {"IP-PRIVATE", "SITE-UNKNOWN", "KEY-UNKNOWN", "VARIABLE-UNKNOWN", "VARIABLE-UNUSED"}, err


def test_a_text_that_a_list_has_twice_is_a_warning(tmp_path: Path) -> None:
    body = "inbound_connectors: { x: { type: on_premises, sender_ip_addresses: [52.202.8.5/32, 52.202.8.5] } }\n"
    (tmp_path / "plan.yaml").write_text(HEADER + body, encoding="utf-8")
    code, _, err = alone(tmp_path, "validate", "plan.yaml")
    assert code == 0
    assert 'warning[LIST-TWICE]: "52.202.8.5" is in this list already, as "52.202.8.5/32"' in err
    (tmp_path / "plan.yaml").write_text((HEADER + body).replace(", 52.202.8.5]", "]"), encoding="utf-8")
    assert "LIST-TWICE" not in alone(tmp_path, "validate", "plan.yaml")[2]


def test_a_device_that_lost_a_field_to_a_mistake_is_not_judged_without_it(tmp_path: Path) -> None:
    body = """\
variables: { branches: { type: list(ip_network) } }
devices:
  mfp: { from: a@contoso.com, recipients: anyone, sender_ip_addresses: [var:branches],
         supports: { tls: "1.2", authentication: [] } }
"""
    (tmp_path / "plan.yaml").write_text(HEADER + body, encoding="utf-8")
    code, _, err = alone(tmp_path, "validate", "plan.yaml", "--var", "branches=")
    assert code == 3
    assert "VARIABLE-TYPE" in err
    assert "DEVICE-NO-METHOD" not in err
    assert alone(tmp_path, "validate", "plan.yaml", "--var", "branches=52.202.8.9")[0] == 0


def test_paths_in_messages_are_relative_to_the_working_folder(tmp_path: Path) -> None:
    """However a plan is named, so that annotations of a CI system attach to the lines of the checkout."""
    (tmp_path / ".git").mkdir()
    for name, text in (
        ("prod/plan.yaml", f"{HEADER}include: [../shared/devices.yaml]\n"),
        ("shared/devices.yaml", "sitess: 1\n"),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text, encoding="utf-8")
    for path in ("prod", "./prod/../prod", str(tmp_path / "prod"), f"../{tmp_path.name}/prod"):
        _, out, _ = alone(tmp_path, "lint", path, "--format", "github")
        assert "::error file=shared/devices.yaml,line=1,col=1," in out, out
        _, out, _ = alone(tmp_path, "lint", path, "--format", "sarif")
        assert re.findall(r'"uri": "([^"]*)"', out) == ["shared/devices.yaml"]
    assert "../shared/devices.yaml:1:1: error" in alone(tmp_path / "prod", "validate", ".")[2]


def test_a_detour_through_a_link_is_named_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "far" / "inner").mkdir(parents=True)
    (tmp_path / "far" / "plan.yaml").write_text("sitess: 1\n", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "inner")
    assert "link/../plan.yaml:1:1: error" in alone(tmp_path, "validate", "link/../plan.yaml")[2]


def test_without_a_profile_the_profiles_are_named(shop: Shop) -> None:
    """The credentials of this machine are tried, as they may be the right ones; what follows is what to do instead."""
    plan = shop.write("smtp_auth: { organization: disabled }\n")
    for arguments in (["plan", plan], ["lock", "status"]):
        done = shop.run(*arguments, AZURE_TENANT_ID="", PATH="", HOME=str(shop.folder))
        assert done.returncode == 4, done.stderr
        assert "no profile is chosen" in done.stderr
        assert "(profiles here: sandbox, sandbox-psrp, sandbox-reader)" in done.stderr


def test_a_record_that_dkim_waits_for_is_named_once(shop: Shop) -> None:
    plan = shop.write("dkim: { contoso.com: { enabled: true } }\n")
    assert shop.on_tenant("apply", plan, "--auto-approve").returncode == 8
    planned = shop.on_tenant("plan", plan, "--out-markdown", "plan.md", "--out-json", "plan.json")
    comment = (shop.folder / "plan.md").read_text(encoding="utf-8")
    for name in _SELECTORS:
        assert planned.stdout.count(name) == 1, planned.stdout
        target = next(line.split()[2] for line in planned.stdout.splitlines() if name in line)
        assert f"{name} CNAME {target}  # not published yet" in planned.stdout
        assert comment.count(target) == 1, comment
        # A program still finds what DNS lacks.
        assert (shop.folder / "plan.json").read_text(encoding="utf-8").count(f"{name} is not published") == 1


def test_journals_of_several_tenants_are_told_apart_by_name(shop: Shop) -> None:
    plan = shop.write("smtp_auth: { organization: disabled, mailboxes: { erp@contoso.com: enabled } }\n")
    assert shop.on_tenant("apply", plan, "--auto-approve").returncode == 0
    own = next((shop.folder / "state").glob("*/journal.jsonl"))
    other = own.parent.parent / "11111111-2222-3333-4444-555555555555"
    shutil.copytree(own.parent, other)
    text = (other / "journal.jsonl").read_text(encoding="utf-8")
    (other / "journal.jsonl").write_text(text.replace("contoso.onmicrosoft", "fabrikam.onmicrosoft"), encoding="utf-8")
    done = shop.run("history", "list")
    assert done.returncode == 3
    assert f"contoso.onmicrosoft.com ({own.parent.name})" in done.stderr
    assert f"fabrikam.onmicrosoft.com ({other.name})" in done.stderr
    assert shop.on_tenant("history", "list").returncode == 0, "the profile decides"


@pytest.mark.parametrize("line", ["Connector relay not working", "Error 10060 connection timeout", "SPF failure"])
def test_a_text_without_a_reply_says_what_to_give_instead(line: str, tmp_path: Path) -> None:
    code, out, _ = alone(tmp_path, "diagnose", line)
    assert code == 1
    assert out.startswith("unknown")
    assert "  fix: " in out
    assert "provisioner probe DEVICE" in out


def test_an_export_into_a_plan_s_folder_changes_what_differs_and_plans_empty(shop: Shop) -> None:
    """What devices of the plan need stays theirs; each section stays in its file; nothing else is touched."""
    folder = shop.folder / "prod"
    folder.mkdir()
    device = """devices:   # the third floor
  mfp: { from: mfp@contoso.com, recipients: anyone, sender_ip_addresses: [52.202.8.9],
         supports: { tls: "1.2", authentication: [] } }
"""
    switches = "smtp_auth:\n    mailboxes: { erp@contoso.com:   enabled }   # ERP\n"
    (folder / "tenant.yaml").write_text(f"{HEADER}owner:  mail/prod\n", encoding="utf-8")
    (folder / "devices.yaml").write_text(device, encoding="utf-8")
    (folder / "switches.yaml").write_text(switches, encoding="utf-8")
    assert shop.on_tenant("apply", "prod", "--auto-approve").returncode == 0
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=True)
    for attempt in ("first", "second"):
        done = shop.on_tenant("export", "-o", "prod")
        assert done.returncode == 0, done.stderr
        assert (folder / "devices.yaml").read_text(encoding="utf-8") == device
        changed = (folder / "switches.yaml").read_text(encoding="utf-8")
        assert changed.startswith(switches.replace("enabled", "disabled")), attempt
        others = [path for path in folder.iterdir() if path.name != "devices.yaml"]
        assert not any("52.202.8.9" in path.read_text(encoding="utf-8") for path in others)
    assert "prod is up to date." in done.stderr
    planned = shop.on_tenant("plan", "prod")
    assert "No changes." in planned.stdout, planned.stdout


def test_an_export_proposes_sites_and_devices_beside_the_plan(shop: Shop) -> None:
    shop.tenant.cmdlet(
        "New-InboundConnector", Name="branch", ConnectorType="OnPremises", SenderDomains=["*"],
        SenderIPAddresses=["52.202.8.77"],
    )  # fmt: skip
    done = shop.on_tenant("export", "--out-dir", "proposed", "--propose", "proposed/devices.yaml")
    assert done.returncode == 0, done.stderr
    text = (shop.folder / "proposed" / "devices.yaml").read_text(encoding="utf-8")
    assert 'inbound_connector["branch"] lists these addresses' in text
    assert shop.run("validate", "proposed").returncode == 0
    again = shop.on_tenant("export", "--out-dir", "proposed", "--propose", "proposed/devices.yaml")
    assert again.returncode == 3
    assert "proposed/devices.yaml exists, and is not overwritten" in again.stderr
