"""Names of one object: whichever of them a plan or a command line uses, the object is the one that is meant."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provisioner.cli.main import main
from tests.cli.shop import Shop, open_shop

pytestmark = [pytest.mark.one_of("transport"), pytest.mark.part(0.5)]

ALIAS, PRIMARY, SIGN_IN = "mfp@contoso.com", "scan@contoso.com", "scanner01@contoso.onmicrosoft.com"
GUID = "its Guid"
OTHERS = [f"staff{n}@contoso.com" for n in range(1, 7)]
ROWS = {
    "by-upn": "payroll.svc@fabrikam.onmicrosoft.com",
    "by-name": "Payroll",
    "by-group": "Helpdesk Team",
    "by-twin": "Sam Poe",
    "by-sid": "S-1-5-21-1-2-3-4",
    "by-other": "erp@contoso.com",
}
"""Mailboxes of fabrikam.com, each with one Send As row, by the form in which it has its trustee."""

SEED: dict[str, Any] = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "contoso.com"}, {"DomainName": "fabrikam.com"}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
        "DistributionGroup": [{"Name": "Helpdesk Team", "PrimarySmtpAddress": "helpdesk.team@fabrikam.com"}],
        "RecipientPermission": [{"Identity": f"{n}@fabrikam.com", "Trustee": t} for n, t in ROWS.items()],
    },
    "mailboxes": [
        {"address": PRIMARY, "aliases": [ALIAS], "upn": SIGN_IN, "display_name": "Scanner"},
        "erp@contoso.com",
        "old@contoso.com",
        *OTHERS,
        {"address": "badge@contoso.com", "upn": "badge01@contoso.onmicrosoft.com"},
        {"address": "bea@contoso.com", "upn": "badge@contoso.com"},
        {"address": "payroll@fabrikam.com", "upn": "payroll.svc@fabrikam.onmicrosoft.com", "display_name": "Payroll"},
        *({"address": f"{name}@fabrikam.com", "type": "SharedMailbox"} for name in (*ROWS, "orders", "free")),
        {"address": "sam1@fabrikam.com", "display_name": "Sam Poe", "name": "Sam Poe"},
        {"address": "sam2@fabrikam.com", "display_name": "Sam Poe", "name": "Sam Poe_1"},
    ],
}


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder: Path = tmp_path_factory.mktemp("identity")
    with open_shop(folder, SEED) as opened:
        yield opened


@pytest.fixture(autouse=True)
def as_seeded(tenant: Shop) -> None:
    """Each test begins with the tenant of the seed: the guards count what other tests have switched."""
    tenant.reset()


@dataclass
class InProcess(Shop):
    """The same folder, with the command line run in this process: many runs against one sandbox."""

    capsys: Any = None

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.environment, **environment}.items():
                if name.startswith("PROVISIONER_"):
                    patch.setenv(name, value)
            patch.chdir(self.folder)
            code = main(arguments)
        return subprocess.CompletedProcess(arguments, code, *self.capsys.readouterr())


@pytest.fixture
def shop(tenant: Shop, capsys: pytest.CaptureFixture[str]) -> Shop:
    return InProcess(tenant.folder, tenant.environment, capsys)


# --- SMTP AUTH: an exclusive section and what it must not touch ------------------------------------------------------


def switch(shop: Shop, **values: bool | None) -> None:
    """Set the switches of mailboxes; `None` is inherit."""
    ids = {row["PrimarySmtpAddress"]: row["Guid"] for row in shop.tenant.rows("CASMailbox")}
    for name, value in values.items():
        found = ids[f"{name}@contoso.com"]  # an address may be another's sign-in name too
        shop.tenant.cmdlet("Set-CASMailbox", Identity=found, SmtpClientAuthenticationDisabled=value)


def switches(shop: Shop) -> dict[str, bool | None]:
    return {
        row["PrimarySmtpAddress"].partition("@")[0]: row["SmtpClientAuthenticationDisabled"]
        for row in shop.tenant.rows("CASMailbox")
    }


def called(shop: Shop, name: str) -> str:
    if name != GUID:
        return name
    return str(next(r["Guid"] for r in shop.tenant.rows("CASMailbox") if r["PrimarySmtpAddress"] == PRIMARY))


def exclusive(declared: dict[str, str], header: str = "") -> str:
    body = "".join(f"    {address}: {value}\n" for address, value in declared.items())
    return f"{header}smtp_auth:\n  exclusive: true\n  mailboxes:\n{body}"


def one_or_seven(count: int) -> dict[str, str]:
    return {"erp@contoso.com": "enabled", **dict.fromkeys(OTHERS[: count - 1], "inherit")}


@pytest.mark.one_of("way", "name", "count", cases=4)
@pytest.mark.parametrize(
    ("way", "name", "count"),
    [
        ("ignore", ALIAS, 1),
        ("ignore", "MFP@contoso.com", 7),
        ("protect", ALIAS, 1),
        ("protect", SIGN_IN, 7),
        ("--exclude", ALIAS, 1),
        ("--exclude", GUID, 7),
        ("ignore", "scanner01@*", 1),
    ],
)
def test_a_mailbox_left_alone_by_any_of_its_names_keeps_its_switch(shop: Shop, way: str, name: str, count: int) -> None:
    switch(shop, scan=False, old=False, erp=None, badge=None, bea=None)
    name = called(shop, name)
    header = "" if way.startswith("-") else f"{way}: ['smtp_auth/{name}']\n"
    options = ("--exclude", f"smtp_auth/{name}") if way.startswith("-") else ()
    shop.write(exclusive(one_or_seven(count), header))
    run = shop.on_tenant("apply", "plan.yaml", "--auto-approve", *options)
    assert run.returncode == 0, run.stderr
    after = switches(shop)
    assert after["scan"] is False, "it was to be left alone"
    assert after["old"] is None, "the section is exclusive"
    assert after["erp"] is False
    if way == "protect":
        assert "PROTECTED" in run.stderr + run.stdout


def test_a_declared_mailbox_is_excluded_and_targeted_by_its_other_names(shop: Shop) -> None:
    switch(shop, scan=None, old=False, erp=None)
    shop.write(exclusive({ALIAS: "disabled", "erp@contoso.com": "enabled"}))
    run = shop.on_tenant("apply", "plan.yaml", "--auto-approve", "--exclude", f"smtp_auth/{PRIMARY}")
    assert run.returncode == 0, run.stderr
    assert (switches(shop)["scan"], switches(shop)["erp"], switches(shop)["old"]) == (None, False, None)
    switch(shop, erp=None, old=False)
    shop.write(exclusive({ALIAS: "enabled", "erp@contoso.com": "enabled"}))
    run = shop.on_tenant("apply", "plan.yaml", "--auto-approve", "--target", f"smtp_auth/{PRIMARY}")
    assert run.returncode == 0, run.stderr
    assert "TARGET-UNMATCHED" not in run.stderr
    assert (switches(shop)["scan"], switches(shop)["erp"], switches(shop)["old"]) == (False, None, False)


def test_a_declared_mailbox_outside_the_scope_is_no_undeclared_one(shop: Shop) -> None:
    switch(shop, scan=False, old=False, erp=None)
    shop.write(exclusive({ALIAS: "enabled", "erp@contoso.com": "enabled"}))
    run = shop.on_tenant("apply", "plan.yaml", "--auto-approve", "--exclude", f"smtp_auth/{ALIAS}")
    assert run.returncode == 0, run.stderr
    assert (switches(shop)["scan"], switches(shop)["old"]) == (False, None)


def test_a_sign_in_name_declares_the_mailbox(shop: Shop) -> None:
    switch(shop, scan=None)
    for body in (exclusive({SIGN_IN: "enabled"}), f"smtp_auth:\n  mailboxes:\n    {SIGN_IN}: enabled\n"):
        shop.write(body)
        run = shop.on_tenant("apply", "plan.yaml", "--auto-approve")
        assert run.returncode == 0, run.stderr
        assert switches(shop)["scan"] is False
        assert shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 0


@pytest.mark.part(1)
def test_a_name_that_no_mailbox_has_freezes_the_section(shop: Shop) -> None:
    switch(shop, scan=None, old=False, erp=None)
    shop.write(exclusive({"erp@contoso.com": "enabled", "nobody@contoso.com": "enabled"}))
    planned = shop.on_tenant("plan", "plan.yaml")
    assert 'smtp_auth["old@contoso.com"]' not in planned.stdout
    assert "UNDECLARED-FROZEN" in planned.stderr + planned.stdout
    assert 'smtp_auth["nobody@contoso.com"]' in planned.stderr + planned.stdout
    run = shop.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert run.returncode == 6, run.stderr
    assert switches(shop)["old"] is False
    # The name is left out of this run, and could still be that of any undeclared mailbox.
    run = shop.on_tenant("apply", "plan.yaml", "--auto-approve", "--exclude", "smtp_auth/nobody@contoso.com")
    assert run.returncode == 0, run.stderr
    assert (switches(shop)["erp"], switches(shop)["old"]) == (False, False)


@pytest.mark.part(1)
@pytest.mark.parametrize("count", [1, 7])
def test_an_address_that_is_also_the_sign_in_name_of_another_freezes_the_section(shop: Shop, count: int) -> None:
    switch(shop, scan=None, old=False, erp=None, badge=True, bea=False)
    shop.write(exclusive({"badge@contoso.com": "disabled", **one_or_seven(count)}))
    run = shop.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert run.returncode == 0, run.stderr
    after = switches(shop)
    assert (after["erp"], after["badge"], after["bea"], after["old"]) == (False, True, False, False)
    planned = shop.on_tenant("plan", "plan.yaml")
    assert 'smtp_auth["badge@contoso.com"] does not identify one object for certain' in planned.stdout
    assert "UNDECLARED-FROZEN" in planned.stdout
    assert "No changes. Your infrastructure matches the configuration." not in planned.stdout
    switch(shop, badge=None, bea=None)


@pytest.mark.part(1)
def test_a_saved_change_set_keeps_what_names_decided(shop: Shop) -> None:
    switch(shop, scan=False, old=False, erp=None, badge=None, bea=None)
    declared = {"erp@contoso.com": "enabled", OTHERS[0]: "disabled"}
    shop.write(exclusive(declared, f"ignore: ['smtp_auth/{SIGN_IN}']\n"))
    saved = shop.on_tenant("plan", "plan.yaml", "-o", "c.json", "--exclude", f"smtp_auth/{OTHERS[0]}")
    assert saved.returncode == 0, saved.stderr
    run = shop.on_tenant("apply", *shop.reviewed("c.json"), "--auto-approve")
    assert run.returncode == 0, run.stderr
    after = switches(shop)
    assert (after["scan"], after["old"], after["erp"], after["staff1"]) == (False, None, False, None)
    shop.write(revoked("payroll@fabrikam.com", "by-upn"))
    saved = shop.on_tenant("plan", "plan.yaml", "-o", "d.json")
    assert shop.on_tenant("show", "d.json").returncode == 0
    run = shop.on_tenant("apply", *shop.reviewed("d.json"), "--auto-approve")
    assert run.returncode == 0, run.stderr
    assert trustees(shop, "by-upn") == []
    right = {"Identity": "by-upn@fabrikam.com", "Trustee": ROWS["by-upn"], "AccessRights": ["SendAs"]}
    shop.tenant.cmdlet("Add-RecipientPermission", **right)


# --- Send As: a right is taken from the trustee who holds it ---------------------------------------------------------


def trustees(shop: Shop, sender: str) -> list[str]:
    rows = shop.tenant.cmdlet("Get-RecipientPermission", Identity=f"{sender}@fabrikam.com")["rows"]
    return sorted(row["Trustee"] for row in rows if not row["Trustee"].endswith("SELF"))


def revoked(trustee: str, sender: str) -> str:
    return f"absent: ['send_as/{trustee} as {sender}@fabrikam.com']\n"


@pytest.mark.one_of("trustee", "sender")
@pytest.mark.parametrize(
    ("trustee", "sender"),
    [
        ("payroll@fabrikam.com", "by-upn"),
        ("payroll@fabrikam.com", "by-name"),
        ("helpdesk.team@fabrikam.com", "by-group"),
    ],
)
def test_a_right_is_taken_away_however_its_row_names_the_trustee(shop: Shop, trustee: str, sender: str) -> None:
    (held,) = trustees(shop, sender)
    shop.write(f"send_as: {{ {trustee}: ['{sender}@fabrikam.com'] }}\n")
    assert shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 0, "the right is there"
    shop.write(revoked(trustee, sender))
    assert shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 2
    run = shop.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert run.returncode == 0, run.stderr
    assert trustees(shop, sender) == []
    assert shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 0
    shop.tenant.cmdlet(
        "Add-RecipientPermission", Identity=f"{sender}@fabrikam.com", Trustee=held, AccessRights=["SendAs"]
    )


@pytest.mark.parametrize(
    ("trustee", "sender", "named"),
    [
        ("payroll@fabrikam.com", "by-sid", "S-1-5-21-1-2-3-4"),
        ("sam1@fabrikam.com", "by-twin", "Sam Poe"),
        ("gone@fabrikam.com", "by-other", "gone@fabrikam.com"),
    ],
)
def test_a_right_that_cannot_be_told_apart_is_no_success(shop: Shop, trustee: str, sender: str, named: str) -> None:
    shop.write(revoked(trustee, sender))
    for command in (("plan", "plan.yaml"), ("apply", "plan.yaml", "--auto-approve")):
        run = shop.on_tenant(*command)
        assert run.returncode not in (0, 2), run.stdout
        assert named in run.stderr + run.stdout
        assert "No changes" not in run.stdout
    assert trustees(shop, sender) == [ROWS[sender]]


@pytest.mark.part(1)
def test_a_right_of_somebody_else_is_not_the_one_to_take_away(shop: Shop) -> None:
    shop.write(revoked("payroll@fabrikam.com", "by-other"))
    assert shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 0
    shop.write(revoked("gone@fabrikam.com", "free"))
    assert shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 0, "nobody may send as it"


def test_protect_keeps_a_right_by_another_name_of_its_trustee(shop: Shop) -> None:
    keep = f"protect: ['send_as/{ROWS['by-upn']} as *']\n"
    shop.write(keep + revoked("payroll@fabrikam.com", "by-upn"))
    run = shop.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert run.returncode == 0, run.stderr
    assert trustees(shop, "by-upn") == [ROWS["by-upn"]]


def test_one_right_declared_and_revoked_under_two_names_is_a_contradiction(shop: Shop) -> None:
    declared = f"send_as: {{ {ROWS['by-upn']}: ['by-upn@fabrikam.com'] }}\n"
    shop.write(declared + revoked("payroll@fabrikam.com", "by-upn"))
    run = shop.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert run.returncode == 6, run.stderr
    assert "ABSENT-DECLARED" in run.stdout
    assert trustees(shop, "by-upn") == [ROWS["by-upn"]]


def test_the_primary_address_of_a_trustee_converges(shop: Shop) -> None:
    shop.write("send_as: { payroll@fabrikam.com: [orders@fabrikam.com] }\n")
    run = shop.on_tenant("apply", "plan.yaml", "--auto-approve", PROVISIONER_TIMEOUTS__CONFIRM_S="10")
    assert run.returncode == 0, run.stderr
    assert trustees(shop, "orders") == ["payroll.svc@fabrikam.onmicrosoft.com"]
    assert shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 0


def test_who_may_only_read_is_told_which_role_shows_send_as_rights(tenant: Shop) -> None:
    """Global Reader does not hold Get-RecipientPermission: nothing is planned on what it does not show."""
    tenant.write("send_as:\n  erp@contoso.com: [free@fabrikam.com]\n")
    done = tenant.run("--profile", "sandbox-reader", "plan", "plan.yaml")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "Exchange Recipient Administrator (Entra) or Mail Recipients (Exchange)" in done.stdout + done.stderr
    doctor = tenant.run("--profile", "sandbox-reader", "doctor", "plan.yaml")
    assert doctor.returncode == 1
    assert "could not be read: Get-RecipientPermission" in doctor.stdout
    assert "Mail Recipients (Exchange)" in doctor.stdout


def test_a_device_is_told_the_name_that_its_mailbox_s_user_signs_in_with(tenant: Shop) -> None:
    """nextcloud/mail pull request 13668: a delegate signs in, by a name that is not its address."""
    tenant.write("""devices:
  erp:
    from: orders@fabrikam.com
    mailbox: payroll@fabrikam.com
    recipients: anyone
    supports: { tls: "1.3", authentication: [oauth] }
""")
    applied = tenant.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert tenant.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 0
    sheet = json.loads(tenant.on_tenant("devices", "show", "erp", "plan.yaml", "--format", "json").stdout)
    (user,) = (s for s in sheet["settings"] if s["name"] == "User")
    assert (user["value"], user["note"]) == (
        "payroll.svc@fabrikam.onmicrosoft.com",
        "the sign-in name of payroll@fabrikam.com",
    )
    explained = tenant.on_tenant("explain", "device/erp", "plan.yaml").stdout
    assert "payroll@fabrikam.com (as payroll.svc@fabrikam.onmicrosoft.com) can sign in with OAuth" in explained
    without = json.loads(tenant.run("devices", "show", "erp", "plan.yaml", "--format", "json").stdout)
    (user,) = (s for s in without["settings"] if s["name"] == "User")
    assert user["value"] == "payroll@fabrikam.com"
    assert "sign-in name of its user" in user["note"]


# --- one object under every name: written name x name in the service -------------------------------------------------

SCAN, ERP, INVOICES, BOOKINGS = "scan@x.com", "erp@x.com", "invoices@x.com", "bookings@x.com"
APPLICATION, REGISTRATION = "5a1c2a52-0000-4000-8000-000000000001", "5a1c2a52-0000-4000-8000-000000000002"
HELPDESK = "5a1c2a52-0000-4000-8000-000000000003"
NAMED: dict[str, Any] = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": "x.com"}],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
        "DistributionGroup": [
            {"Name": "Helpdesk Team", "PrimarySmtpAddress": "helpdesk@x.com", "ExternalDirectoryObjectId": HELPDESK}
        ],
        "UnifiedGroup": [{"Name": "Plant", "PrimarySmtpAddress": "plant@x.com"}],
        "MailContact": [{"Name": "Supplier", "ExternalEmailAddress": "SMTP:supplier@y.com"}],
        "MailUser": [{"Name": "HVE1", "PrimarySmtpAddress": "hve1@x.com", "RecipientTypeDetails": "MailUser"}],
        "ServicePrincipal": [{"AppId": "0a1b2c3d-0000-4000-8000-000000000001", "ObjectId": APPLICATION}],
    },
    "mailboxes": [
        {"address": SCAN, "aliases": ["mfp@x.com"], "upn": "mfp01@contoso.onmicrosoft.com", "display_name": "MFP 3"},
        {"address": ERP, "upn": "svc-erp@contoso.onmicrosoft.com", "display_name": "Contoso ERP"},
        {"address": BOOKINGS, "display_name": SCAN, "type": "SchedulingMailbox"},
        {"address": "bea@x.com", "upn": "Mfp@x.com"},
        {"address": INVOICES, "type": "SharedMailbox"},
        {"count": 8, "domain": "x.com", "prefix": "staff"},
    ],
}
CROWD = [f"staff0000{n}@x.com" for n in range(1, 7)]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("named"), NAMED) as opened:
        yield opened


@pytest.fixture
def here(named: Shop) -> Shop:
    named.reset()
    return named


def over(shop: Shop, transport: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return shop.run("--profile", {"REST": "sandbox", "PSRP": "sandbox-psrp"}[transport], *arguments)


def guid_of(shop: Shop, address: str) -> str:
    return str(next(r["Guid"] for r in shop.tenant.rows("CASMailbox") if r["PrimarySmtpAddress"] == address))


def switched(shop: Shop) -> dict[str, bool | None]:
    rows = shop.tenant.rows("CASMailbox")
    return {r["PrimarySmtpAddress"]: r["SmtpClientAuthenticationDisabled"] for r in rows if r["PrimarySmtpAddress"]}


NAMES = [SCAN, "MFP@x.com", "mfp01@contoso.onmicrosoft.com", "MFP 3", GUID]


@pytest.mark.one_of("name", "count", cases=3)
@pytest.mark.parametrize(
    ("name", "count", "transport"),
    [
        *((name, count, "REST") for name in NAMES for count in (1, 7)),
        (SCAN, 1, "PSRP"),
        ("MFP 3", 7, "PSRP"),
    ],
)
def test_a_mailbox_is_switched_by_each_of_its_names(here: Shop, name: str, count: int, transport: str) -> None:
    """Its address is the display name of a Bookings mailbox, its alias the sign-in name of a person."""
    written = guid_of(here, SCAN) if name == GUID else name
    body = "".join(f"    '{n}': {v}\n" for n, v in {written: "enabled", **dict.fromkeys(CROWD, "inherit")}.items())
    one = f"smtp_auth:\n  mailboxes:\n    '{written}': enabled\n"
    here.write(one if count == 1 else f"smtp_auth:\n  mailboxes:\n{body}")
    applied = over(here, transport, "apply", "plan.yaml", "--auto-approve")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert {m for m, off in switched(here).items() if off is False} == {SCAN}
    assert over(here, transport, "plan", "plan.yaml", "--detailed-exitcode").returncode == 0
    exported = here.on_tenant("export", "--type", "smtp_auth", "--out", "exported.yaml")
    assert exported.returncode == 0, exported.stderr
    assert f"{SCAN}: enabled" in (here.folder / "exported.yaml").read_text()
    assert here.on_tenant("plan", "exported.yaml", "--detailed-exitcode").returncode == 0
    (here.folder / "exported.yaml").unlink()


RIGHTS = [
    (ERP, "svc-erp@contoso.onmicrosoft.com"),
    ("svc-erp@contoso.onmicrosoft.com", ERP),
    ("Contoso ERP", "svc-erp@contoso.onmicrosoft.com"),
    (ERP, "Contoso ERP"),
    (GUID, "CN=erp"),
    ("helpdesk@x.com", "Helpdesk Team"),
    ("Helpdesk Team", "Helpdesk Team"),
    (APPLICATION, "S-1-5-21-app"),
    (APPLICATION, APPLICATION),
]
"""The trustee as the plan writes it, and as the row of the service does."""


def holders(shop: Shop) -> list[str]:
    rows = shop.tenant.cmdlet("Get-RecipientPermission", Identity=INVOICES)["rows"]
    return [row["Trustee"] for row in rows if not row["Trustee"].endswith("SELF")]


@pytest.mark.one_of("written", "shown", cases=4)
@pytest.mark.parametrize(("written", "shown"), RIGHTS)
def test_a_right_is_granted_seen_and_taken_by_each_name_of_its_trustee(here: Shop, written: str, shown: str) -> None:
    written = guid_of(here, ERP) if written == GUID else written
    here.write(f"send_as: {{ '{written}': [{INVOICES}] }}\n")
    applied = here.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert len(holders(here)) == 1
    _show_as(here, shown)
    assert here.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 0
    exported = here.on_tenant("export", "--type", "send_as", "--out", "exported.yaml")
    assert exported.returncode == 0, exported.stderr
    assert INVOICES in (here.folder / "exported.yaml").read_text()
    assert here.on_tenant("plan", "exported.yaml", "--detailed-exitcode").returncode == 0
    (here.folder / "exported.yaml").unlink()
    here.write(f"absent: ['send_as/{written} as {INVOICES}']\n")
    taken = here.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert "No changes" not in taken.stdout
    assert holders(here) == []
    assert here.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 0


def _show_as(shop: Shop, shown: str) -> None:
    """Let the service show the one right of INVOICES under another name of its trustee."""
    (held,) = holders(shop)
    if shown == "CN=erp":
        shown = next(r["DistinguishedName"] for r in shop.tenant.rows("Mailbox") if r["PrimarySmtpAddress"] == ERP)
    if shown == "S-1-5-21-app":
        shown = held  # the form of the sandbox
    row = {"Identity": INVOICES, "Trustee": shown, "AccessRights": ["SendAs"]}
    if shown != held:
        shop.tenant.cmdlet("Remove-RecipientPermission", Identity=INVOICES, Trustee=held, AccessRights=["SendAs"])
        shop.tenant.control("POST", "/load", {"sandbox": 1, "objects": {"RecipientPermission": [row]}})
    assert holders(shop) == [shown]


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (
            "smtp_auth: { mailboxes: { hve1@x.com: enabled } }",
            ["hve1@x.com is a mail user", "the host of High Volume Email"],
        ),
        ("smtp_auth: { mailboxes: { supplier@y.com: enabled } }", ["is a mail contact", "a contact cannot sign in"]),
        ("smtp_auth: { mailboxes: { helpdesk@x.com: enabled } }", ["is a mail-enabled security group", "send_as"]),
        ("smtp_auth: { mailboxes: { plant@x.com: enabled } }", ["is a Microsoft 365 group"]),
        ("smtp_auth: { mailboxes: { nobody@x.com: enabled } }", ["no recipient has this address or name"]),
        (f"send_as: {{ nobody@x.com: [{INVOICES}] }}", ["no recipient nobody@x.com to hold the right"]),
        (f"send_as: {{ supplier@y.com: [{INVOICES}] }}", ["is a mail contact, which cannot hold a Send As right"]),
        (f"send_as: {{ plant@x.com: [{INVOICES}] }}", ["a Microsoft 365 group, which cannot hold"]),
        (f"send_as: {{ {ERP}: [nobody@x.com] }}", ["no recipient nobody@x.com to send as"]),
        (f"send_as: {{ {REGISTRATION}: [{INVOICES}] }}", ["Enterprise applications", "New-ServicePrincipal"]),
    ],
)
def test_a_name_that_does_not_do_is_one_clear_error(here: Shop, plan: str, said: list[str]) -> None:
    here.write(plan)
    planned = here.on_tenant("plan", "plan.yaml")
    assert planned.stdout.count("RESOURCE-MISSING") == 1
    assert all(text in planned.stdout for text in said), planned.stdout
    saved = here.on_tenant("plan", "plan.yaml", "-o", "c.json")
    assert saved.returncode == planned.returncode
    assert said[0] in here.run("show", "c.json").stdout, "the saved change set says it too"
    refused = here.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert refused.returncode == 6, refused.stdout + refused.stderr
    assert holders(here) == []
    (here.folder / "c.json").unlink()


def test_a_shared_mailbox_is_not_to_be_unblocked_for_a_device(here: Shop) -> None:
    """jstedfast/MailKit issue 1770; nextcloud/mail pull request 13668."""
    device = "    recipients: anyone\n    supports: { tls: '1.3', authentication: [oauth] }\n"
    here.write(f"devices:\n  helpdesk:\n    from: {INVOICES}\n{device}")
    refused = here.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert refused.returncode == 6
    assert "it is a shared mailbox, whose account should stay blocked" in refused.stdout
    assert "may send as this address" in refused.stdout
    here.write(f"devices:\n  helpdesk:\n    from: {INVOICES}\n    mailbox: {ERP}\n{device}")
    applied = here.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert holders(here) == ["svc-erp@contoso.onmicrosoft.com"]
    assert here.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 0
    sheet = here.on_tenant("devices", "show", "helpdesk", "plan.yaml").stdout
    assert "svc-erp@contoso.onmicrosoft.com  (the sign-in name of erp@x.com)" in sheet
    assert f"{ERP} and the aliases of this mailbox" in sheet
    assert f"{INVOICES}, as which it may send (Send As)" in sheet


@pytest.mark.one_of("name")
@pytest.mark.parametrize("name", [SCAN, "mfp@x.com", "mfp01@contoso.onmicrosoft.com"])
def test_a_device_signs_in_to_a_mailbox_by_each_of_its_names(here: Shop, name: str) -> None:
    here.write(
        f"devices:\n  mfp:\n    from: {SCAN}\n    mailbox: {name}\n    recipients: anyone\n"
        "    supports: { tls: '1.3', authentication: [oauth] }\n"
    )
    applied = here.on_tenant("apply", "plan.yaml", "--auto-approve")
    assert applied.returncode in (0, 8), applied.stdout + applied.stderr
    assert switched(here)[SCAN] is False
    sheet = here.on_tenant("devices", "show", "mfp", "plan.yaml", "--format", "json").stdout
    (user,) = (s for s in json.loads(sheet)["settings"] if s["name"] == "User")
    assert user["value"] == "mfp01@contoso.onmicrosoft.com"
    doctor = here.on_tenant("doctor", "plan.yaml").stdout
    assert "no such mailbox" not in doctor


def test_a_group_s_right_is_not_denied_to_its_members(here: Shop) -> None:
    here.tenant.cmdlet("Add-RecipientPermission", Identity=INVOICES, Trustee="helpdesk@x.com", AccessRights=["SendAs"])
    line = f"554 5.2.252 SendAsDenied; {ERP} not allowed to send as {INVOICES}"
    for groups, said in (([HELPDESK], "as a member of helpdesk team"), ([], f"{ERP} has no right to send as")):
        user = {"userPrincipalName": "svc-erp@contoso.onmicrosoft.com", "memberOf": groups}
        here.tenant.control("POST", "/load", {"sandbox": 1, "graph": {"users": [user]}})
        assert said in here.on_tenant("diagnose", line).stdout
    fault = {"front": "graph", "match": {"path": "transitiveMemberOf"}, "times": 9, "do": {"status": 403}}
    here.tenant.control("POST", "/faults", [fault])
    found = here.on_tenant("diagnose", line).stdout
    assert "has no right of its own to send as" in found
    assert "helpdesk team has one, which holds for its members" in found


def test_explain_says_that_a_mailbox_does_not_exist(here: Shop) -> None:
    here.write("smtp_auth: { mailboxes: { nobody@x.com: enabled } }\n")
    explained = here.on_tenant("explain", "smtp_auth/nobody@x.com", "plan.yaml").stdout
    assert "the tenant has no such mailbox" in explained
    assert "may or may not" not in explained


@pytest.mark.part(1)
@pytest.mark.parametrize("name", ["Twin MFP", "nobody@x.com"])
def test_a_name_that_is_not_certain_freezes_an_exclusive_section(here: Shop, name: str) -> None:
    twins = [{"address": f"twin{n}@x.com", "display_name": "Twin MFP"} for n in (1, 2)]
    here.tenant.control("POST", "/load", {"sandbox": 1, "mailboxes": twins})
    here.tenant.cmdlet("Set-CASMailbox", Identity="staff00001@x.com", SmtpClientAuthenticationDisabled=False)
    here.write(exclusive({f"'{name}'": "enabled", ERP: "enabled"}))
    planned = here.on_tenant("plan", "plan.yaml")
    assert planned.returncode not in (0, 2), planned.stdout
    assert "UNDECLARED-FROZEN" in planned.stdout
    assert here.on_tenant("apply", "plan.yaml", "--auto-approve").returncode in (5, 6)
    assert switched(here)["staff00001@x.com"] is False, "it could be the mailbox that is meant"
    said = planned.stdout + planned.stderr
    reason = "no recipient has this address" if "@" in name else "several mailboxes (twin1@x.com, twin2@x.com)"
    assert reason in said


def test_an_export_without_the_role_for_rights_says_so_and_writes_the_rest(here: Shop) -> None:
    here.tenant.cmdlet("Set-CASMailbox", Identity=ERP, SmtpClientAuthenticationDisabled=False)
    here.tenant.cmdlet("Add-RecipientPermission", Identity=INVOICES, Trustee=ERP, AccessRights=["SendAs"])
    written = here.folder / "exported.yaml"
    done = here.run("--profile", "sandbox-reader", "export", "--out", str(written))
    assert done.returncode == 0, done.stderr
    assert "send_as: could not be read: Get-RecipientPermission" in done.stderr + done.stdout
    assert f"{ERP}: enabled" in written.read_text()
    assert "send_as" not in written.read_text()
    asked = here.run("--profile", "sandbox-reader", "export", "--type", "send_as", "--out", str(written))
    assert asked.returncode != 0, "what was asked for by name is not left out"
    again = here.on_tenant("export", "--out", str(written))
    assert again.returncode == 0, again.stderr
    assert f"{ERP}:\n" in written.read_text()
    assert f"- {INVOICES}" in written.read_text() or f"[{INVOICES}]" in written.read_text()
    assert here.on_tenant("plan", str(written), "--detailed-exitcode").returncode == 0
    written.unlink()


# --- who a device is, for what decides about passwords ---------------------------------------------------------------

BASIC = """devices:
  mfp:
    from: {sender}
    mailbox: {mailbox}
    recipients: anyone
    method: client_submission
    supports: {{ tls: '1.2', authentication: [basic] }}
"""
GROUPS = {"inner": "0a1b2c3d-0000-4000-8000-00000000000a", "outer": "0a1b2c3d-0000-4000-8000-00000000000b"}


def told(shop: Shop) -> dict[str, str]:
    """The findings of a plan about sign-ins, by rule; what `doctor` says of the mailbox beside them."""
    found = shop.on_tenant("plan", "plan.yaml", "--format", "json")
    rules = {f["rule"]: f["summary"] for f in json.loads(found.stdout)["provisioner"]["findings"]}
    return {rule: text for rule, text in rules.items() if rule.startswith("SMTP-AUTH")}


@pytest.mark.one_of("name")
@pytest.mark.parametrize("name", ["mfp@x.com", SCAN, "mfp01@contoso.onmicrosoft.com"])
def test_the_policy_of_a_device_s_user_is_found_by_each_name_of_its_mailbox(here: Shop, name: str) -> None:
    """Its alias is the sign-in name of a person, who has no such policy."""
    policy = {"Name": "No basic", "AllowBasicAuthSmtp": False}
    here.tenant.control("POST", "/load", {"sandbox": 1, "objects": {"AuthenticationPolicy": [policy]}})
    here.write(BASIC.format(sender=SCAN, mailbox=name))
    assert told(here) == {}
    here.tenant.cmdlet("Set-User", Identity="mfp01@contoso.onmicrosoft.com", AuthenticationPolicy="No basic")
    assert 'the authentication policy "No basic"' in told(here)["SMTP-AUTH-BLOCKED"]
    doctor = here.on_tenant("doctor", "plan.yaml").stdout
    assert 'the authentication policy "No basic"' in doctor
    assert "not known: the authentication policy" not in doctor
    explained = here.on_tenant("explain", "device/mfp", "plan.yaml").stdout
    assert "blocked by: organization, authentication_policy" in explained
    advice = "the plan changes that: provisioner apply; then give the user a policy that allows it"
    assert (advice in explained, advice in doctor) == (True, True)
    assert "write enabled" not in explained + doctor, "the plan has that already"


@pytest.mark.parametrize("transport", ["REST", "PSRP"])
@pytest.mark.parametrize(("condition", "refused"), [("include", True), ("exclude", False)])
def test_a_user_is_in_the_groups_of_a_conditional_access_policy_through_others(
    here: Shop, condition: str, refused: bool, transport: str
) -> None:
    users = {"includeUsers": ["All"]} if condition == "exclude" else {"includeUsers": ["None"]}
    policy = {
        "id": "5a1c2a52-0000-4000-8000-0000000000ca",
        "displayName": "Block legacy",
        "state": "enabled",
        "grantControls": {"builtInControls": ["block"]},
        "conditions": {
            "clientAppTypes": ["other"],
            "applications": {"includeApplications": ["All"]},
            "users": {**users, f"{condition}Groups": [GROUPS["outer"]]},
        },
    }
    member = {"userPrincipalName": "svc-erp@contoso.onmicrosoft.com", "memberOf": [GROUPS["inner"]]}
    nested = {"id": GROUPS["inner"], "memberOf": [GROUPS["outer"]]}
    graph = {"conditionalAccessPolicies": [policy], "users": [member], "groups": [nested]}
    here.tenant.control("POST", "/load", {"sandbox": 1, "graph": graph})
    here.write(BASIC.format(sender=ERP, mailbox=ERP))
    found = json.loads(over(here, transport, "plan", "plan.yaml", "--format", "json").stdout)["provisioner"]["findings"]
    rules = {f["rule"]: f["summary"] for f in found if f["rule"].startswith("SMTP-AUTH")}
    assert ('the Conditional Access policy "Block legacy"' in rules.get("SMTP-AUTH-BLOCKED", "")) is refused
    assert "SMTP-AUTH-UNKNOWN" not in rules
    here.write(BASIC.format(sender=SCAN, mailbox=SCAN))
    found = json.loads(over(here, transport, "plan", "plan.yaml", "--format", "json").stdout)["provisioner"]["findings"]
    other = {f["rule"] for f in found if f["rule"].startswith("SMTP-AUTH")}
    assert other == (set() if refused else {"SMTP-AUTH-BLOCKED"}), "who is in no group"


def test_a_policy_about_directory_roles_is_decided_where_they_may_be_read(here: Shop) -> None:
    role, user = "62e90394-69f5-4237-9190-012177145e10", "5a1c2a52-0000-4000-8000-000000000009"
    policy = {
        "id": "5a1c2a52-0000-4000-8000-0000000000cb",
        "displayName": "Administrators",
        "state": "enabled",
        "grantControls": {"builtInControls": ["mfa"]},
        "conditions": {
            "clientAppTypes": ["all"],
            "applications": {"includeApplications": ["All"]},
            "users": {"includeRoles": [role]},
        },
    }
    holds = {"id": "a1", "principalId": user, "roleDefinitionId": role, "directoryScopeId": "/"}
    person = {"userPrincipalName": "svc-erp@contoso.onmicrosoft.com", "id": user}
    graph = {"conditionalAccessPolicies": [policy], "users": [person], "roleAssignments": [holds]}
    here.tenant.control("POST", "/load", {"sandbox": 1, "graph": graph})
    here.write(BASIC.format(sender=ERP, mailbox=ERP))
    unread = here.on_tenant("plan", "plan.yaml").stdout
    assert "SMTP-AUTH-UNKNOWN" in unread
    assert "grant the application the Graph permission RoleManagement.Read.Directory" in unread
    roles = ["Organization.Read.All", "Domain.Read.All", "User.Read.All", "Policy.Read.All"]
    granted = {"https://graph.microsoft.com": [*roles, "RoleManagement.Read.Directory"]}
    exchange = {"https://outlook.office365.com": ["Exchange.ManageAsApp"]}
    application = {"displayName": "app", "appRoles": granted | exchange}
    here.tenant.control("POST", "/load", {"sandbox": 1, "apps": [application]})
    found = told(here)
    assert 'the Conditional Access policy "Administrators"' in found["SMTP-AUTH-BLOCKED"]
    assert "SMTP-AUTH-UNKNOWN" not in found
    here.write(BASIC.format(sender=SCAN, mailbox=SCAN))
    assert told(here) == {}, "who holds no role"


# --- rows without the columns that were asked for --------------------------------------------------------------------

RIGHT = "send_as/erp@contoso.com as by-other@fabrikam.com"
HERS = "send_as:\n  erp@contoso.com: [by-other@fabrikam.com]\nsmtp_auth:\n  mailboxes:\n    erp@contoso.com: inherit\n"
NAMELESS = ["EmailAddresses", "PrimarySmtpAddress", "WindowsLiveID"]


def left_out(shop: Shop, cmdlet: str) -> None:
    rule = {"match": {"cmdlet": cmdlet}, "times": None, "do": {"leave_out": NAMELESS}}
    shop.tenant.control("POST", "/faults", [{"front": front, **rule} for front in ("exchange", "psrp")])


@pytest.mark.parametrize("transport", ["REST", "PSRP"])
def test_whoever_has_no_address_in_an_answer_is_not_taken_for_absent(tenant: Shop, transport: str) -> None:
    """A right is not planned again, not taken for revoked, and a mailbox is not told as missing."""
    tenant.write(HERS)
    for cmdlet in ("Get-Recipient", "Get-CASMailbox"):
        left_out(tenant, cmdlet)
        planned = over(tenant, transport, "plan", "plan.yaml")
        assert planned.returncode == 5, planned.stdout + planned.stderr
        assert "EmailAddresses, PrimarySmtpAddress" in planned.stdout + planned.stderr
        assert "the tenant has no" not in planned.stdout + planned.stderr
        tenant.release()
    assert over(tenant, transport, "plan", "plan.yaml", "--detailed-exitcode").returncode == 0
    tenant.write(f"absent: ['{RIGHT}']\n")
    assert over(tenant, transport, "plan", "plan.yaml", "-o", "revoked.json").returncode == 0
    rights, seen = tenant.tenant.rows("RecipientPermission"), tenant.tenant.seen()
    left_out(tenant, "Get-Recipient")
    assert over(tenant, transport, "apply", *tenant.reviewed("revoked.json"), "--auto-approve").returncode == 5
    assert (tenant.tenant.rows("RecipientPermission"), tenant.tenant.writes(since=seen)) == (rights, [])
    tenant.release()
    assert over(tenant, transport, "apply", *tenant.reviewed("revoked.json"), "--auto-approve").returncode == 0
    assert len(tenant.tenant.rows("RecipientPermission")) == len(rights) - 1
    (tenant.folder / "revoked.json").unlink()
