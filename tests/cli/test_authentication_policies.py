"""Authentication policies over the command line: made, assigned, and gone in an order in which nobody is cut off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.shop import SEED, Shop, open_shop

pytestmark = pytest.mark.part(0.5)

BASIC = 'supports: { tls: "1.2", authentication: [basic] }'
DEVICES = f"""devices:
  erp: {{ from: erp@contoso.com, recipients: anyone, method: client_submission, {BASIC} }}
"""
POLICIES = "authentication_policies: { devices-basic: { allow_basic_smtp: true }, block-basic: {} }\n"
ASSIGNED = "assignments: {{ authentication_policy: {{ {} }} }}\n"
QUICK = {"PROVISIONER_TIMEOUTS__CONFIRM_S": "0.4"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    mailboxes = [{"address": "erp@contoso.com", "aliases": ["old-erp@contoso.com"]}, "fax@contoso.com"]
    with open_shop(tmp_path_factory.mktemp("policies"), {**SEED, "mailboxes": mailboxes}) as here:
        yield here


@pytest.fixture(autouse=True)
def before(shop: Shop) -> Iterator[None]:
    """SMTP AUTH is on for everybody, and there is no policy."""
    shop.reset()
    shop.tenant.cmdlet("Set-TransportConfig", SmtpClientAuthenticationDisabled=False)
    yield
    for journal in (shop.folder / "state").glob("*/journal.jsonl"):
        journal.unlink()


def planned(shop: Shop, body: str, code: int = 0) -> dict[str, Any]:
    found = shop.on_tenant("plan", shop.write(body), "--format", "json")
    assert found.returncode == code, found.stderr or findings(json.loads(found.stdout))
    document: dict[str, Any] = json.loads(found.stdout)
    return document


def changed(document: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """The consequences of what changes, in the order of the changes."""
    pending = (c for c in document["resource_changes"] if c["change"]["actions"] != ["no-op"])
    return {c["address"]: tuple(c["provisioner"]["consequences"]) for c in pending}


def findings(document: dict[str, Any]) -> dict[str, str]:
    return {f["rule"]: f["summary"] for f in document["provisioner"]["findings"]}


def apply(shop: Shop, body: str, *options: str) -> int:
    found = shop.on_tenant("apply", shop.write(body), "--auto-approve", *options, **QUICK)
    return found.returncode


def held(shop: Shop) -> dict[str, Any]:
    """The policy of each mailbox that has one, and the organization's default."""
    users = {f"{row['Identity']}@contoso.com".lower(): row["AuthenticationPolicy"] for row in shop.tenant.rows("User")}
    default = shop.tenant.rows("OrganizationConfig")[0]["DefaultAuthenticationPolicy"]
    return {name: policy for name, policy in {**users, "default": default}.items() if policy}


WHOLE = POLICIES + ASSIGNED.format("default: block-basic, mailboxes: { erp@contoso.com: devices-basic }")
ERP, EVERYBODY = (f'authentication_policy_assignment["{key}"]' for key in ("erp@contoso.com", "organization"))


@pytest.mark.part(1)
def test_the_default_is_closed_after_the_exception_is_open(shop: Shop) -> None:
    document = planned(shop, WHOLE + DEVICES, 6)
    assert list(changed(document).items()) == [
        ('authentication_policy["block-basic"]', ("neutral",)),
        ('authentication_policy["devices-basic"]', ("neutral",)),
        ('smtp_auth["erp@contoso.com"]', ("widens exposure",)),
        (ERP, ("widens exposure",)),
        (EVERYBODY, ("can stop mail",)),
    ]
    told = findings(document)
    assert "every mailbox without an authentication policy of its own" in told["POLICY-TENANT-WIDE"]
    assert "DEVICE-LOSES-WAY" not in told
    assert "SMTP-AUTH-BLOCKED" not in told
    assert "24 hours" in told["POLICY-DELAY"]
    assert apply(shop, WHOLE + DEVICES) == 6
    assert held(shop) == {}
    shop.fault("Set-User", {"status": 400})
    assert apply(shop, WHOLE + DEVICES, "--allow", "POLICY-TENANT-WIDE") == 8
    assert held(shop) == {}
    shop.release()
    assert apply(shop, WHOLE + DEVICES, "--allow", "POLICY-TENANT-WIDE") == 0
    assert held(shop) == {"erp@contoso.com": "devices-basic", "default": "block-basic"}
    assert changed(planned(shop, WHOLE + DEVICES)) == {}


def test_a_device_that_sends_with_a_password_loses_its_way_by_a_policy(shop: Shop) -> None:
    """By the default, by its own, and by what its policy allows no longer."""
    body = POLICIES + DEVICES
    mine = ASSIGNED.format("mailboxes: { old-erp@contoso.com: Block-Basic }")
    for section, by in ((ASSIGNED.format("default: block-basic"), EVERYBODY), (mine, ERP.replace("erp@", "old-erp@"))):
        told = planned(shop, body + section, 6)["provisioner"]["findings"]
        (lost,) = (f for f in told if f["rule"] == "DEVICE-LOSES-WAY")
        assert "device/erp will no longer be able to send" in lost["summary"]
        assert lost["address"] == by
    assert apply(shop, body + ASSIGNED.format("mailboxes: { erp@contoso.com: devices-basic }")) == 0
    refusing = POLICIES.replace("true", "false") + DEVICES
    document = planned(shop, refusing, 6)
    assert changed(document) == {'authentication_policy["devices-basic"]': ("can stop mail",)}
    assert "device/erp will no longer be able to send" in findings(document)["DEVICE-LOSES-WAY"]
    assert apply(shop, refusing) == 6
    assert apply(shop, refusing, "--allow", "DEVICE-LOSES-WAY") == 0
    assert "POLICY-TENANT-WIDE" not in findings(planned(shop, refusing))
    assert changed(planned(shop, body)) == {'authentication_policy["devices-basic"]': ("widens exposure",)}


def test_a_policy_goes_after_those_who_have_it_and_comes_back(shop: Shop) -> None:
    assert apply(shop, WHOLE, "--allow", "POLICY-TENANT-WIDE") == 0
    gone = "absent: [authentication_policy/block-basic, authentication_policy/devices-basic]\n"
    told = findings(planned(shop, gone, 6))
    assert "still the policy of" in told["POLICY-IN-USE"]
    assert apply(shop, gone) == 6
    body = gone + ASSIGNED.format("default: none, mailboxes: { erp@contoso.com: inherit }")
    document = planned(shop, body, 6)
    assert "POLICY-IN-USE" not in findings(document)
    order = list(changed(document))
    assert order.index(EVERYBODY) < order.index('authentication_policy["block-basic"]')
    assert order.index(ERP) < order.index('authentication_policy["devices-basic"]')
    assert apply(shop, body, "--allow", "POLICY-TENANT-WIDE") == 0
    assert held(shop) == {}
    assert shop.tenant.rows("AuthenticationPolicy") == []
    back = shop.on_tenant("rollback", "-o", "back.json", "--allow", "POLICY-TENANT-WIDE")
    assert back.returncode == 0, back.stdout + back.stderr
    assert "Not undone" not in back.stderr
    done = shop.on_tenant("apply", *shop.reviewed("back.json"), "--auto-approve", **QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert held(shop) == {"erp@contoso.com": "devices-basic", "default": "block-basic"}


def test_what_is_assigned_has_to_exist_and_an_exclusive_section_takes_the_rest(shop: Shop) -> None:
    told = findings(planned(shop, ASSIGNED.format("mailboxes: { fax@contoso.com: nothing }"), 6))
    assert "no authentication policy nothing" in told["POLICY-MISSING"]
    told = findings(planned(shop, ASSIGNED.format("mailboxes: { nobody@contoso.com: inherit }"), 6))
    assert "no mailbox nobody@contoso.com" in told["RESOURCE-MISSING"]
    shop.tenant.cmdlet("New-AuthenticationPolicy", Name="By Hand", AllowBasicAuthImap=True)
    for mailbox in ("erp@contoso.com", "fax@contoso.com"):
        shop.tenant.cmdlet("Set-User", Identity=mailbox, AuthenticationPolicy="By Hand")
    exported = shop.on_tenant("export", "--owner", "mail/prod")
    assert exported.returncode == 0, exported.stderr
    assert "fax@contoso.com: By Hand" in exported.stdout
    assert "allow_basic_imap: true" in exported.stdout
    (shop.folder / "exported.yaml").write_text(exported.stdout)
    again = shop.on_tenant("plan", "exported.yaml", "--format", "json")
    assert changed(json.loads(again.stdout)) == {}
    body = ASSIGNED.format("exclusive: true, mailboxes: { old-erp@contoso.com: by hand }")
    assert changed(planned(shop, body)) == {ERP.replace("erp@", "fax@"): ("widens exposure",)}
    assert apply(shop, body) == 0
    assert held(shop) == {"erp@contoso.com": "By Hand"}


def test_a_reviewed_change_set_does_what_was_reviewed(shop: Shop) -> None:
    saved = shop.on_tenant("plan", shop.write(WHOLE), "--out", "saved.json", "--allow", "POLICY-TENANT-WIDE")
    assert saved.returncode == 0, saved.stderr
    shown = shop.on_tenant("show", "saved.json")
    assert shown.returncode == 0, shown.stderr
    assert "blocked" in shown.stdout
    done = shop.on_tenant("apply", *shop.reviewed("saved.json"), "--auto-approve", **QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert held(shop) == {"erp@contoso.com": "devices-basic", "default": "block-basic"}
