"""What to type into a device, and who depends on basic authentication."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from provisioner.devices import report, sheet
from provisioner.model import Desired
from provisioner.model.clouds import CLOUDS
from provisioner.model.devices import METHODS
from tests.devices.test_sections import load
from tests.devices.test_way import FLEET, OLD, TODAY

MX = {"contoso.com": "contoso-com.mail.protection.outlook.com"}
SWITCH = "smtp_auth:\n  mailboxes: { stray@contoso.com: enabled, off@contoso.com: disabled }\n"
PRINTERS = """
  printer:
    from: printer@contoso.com
    recipients: organization
    supports: { tls: "1.2", authentication: [basic] }
    description: Canteen
  plotter:
    site: hq
    from: plotter@contoso.com
    method: client_submission
    recipients: anyone
    supports: { tls: "1.2", authentication: [basic] }
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Desired:
    return load(tmp_path, SWITCH + FLEET + PRINTERS.removeprefix("\n"))


def of(fleet: Desired, name: str) -> tuple[dict[str, str], dict[str, Any]]:
    document = sheet(fleet.devices[name], fleet, MX, CLOUDS["worldwide"])
    return {s["name"]: s["value"] for s in document["settings"]}, document


def test_a_relay_is_set_to_the_real_mx_without_a_sign_in(fleet: Desired) -> None:
    settings, document = of(fleet, "scanner")
    assert settings == {
        "Server": "contoso-com.mail.protection.outlook.com",
        "Port": "25",
        "Encryption": "STARTTLS",
        "Authentication": "none",
        "From": "scanner@contoso.com",
    }
    assert "the address that it comes from on the internet is one of 203.0.113.10, 203.0.113.11" in document["check"]


def test_a_server_that_dns_did_not_tell_is_left_open_and_never_computed(fleet: Desired) -> None:
    document = sheet(fleet.devices["scanner"], fleet, {}, CLOUDS["worldwide"])
    assert document["settings"][0]["value"] == ""
    assert "DNS does not show" in document["settings"][0]["note"]


def test_client_submission_names_the_user_and_its_limits(fleet: Desired) -> None:
    settings, document = of(fleet, "erp")
    assert (settings["Server"], settings["Port"], settings["User"]) == ("smtp.office365.com", "587", "erp@contoso.com")
    assert settings["Authentication"].startswith("OAuth")
    assert [limit for limit in document["limits"] if limit.startswith("10,000 recipients")]
    assert document["from_rules"] == [
        "erp@contoso.com and the aliases of this mailbox",
        "invoices@contoso.com, as which it may send (Send As)",
        "an alias may arrive as the primary address (SendFromAliasEnabled): probe --send shows which From arrived",
        "another From address is refused after the message (554 5.2.252)",
    ]


def test_an_old_tls_has_a_host_of_its_own_and_the_sheet_says_why(tmp_path: Path) -> None:
    settings, document = of(load(tmp_path, OLD), "old")
    assert (settings["Server"], settings["Encryption"]) == ("smtp-legacy.office365.com", "STARTTLS, TLS 1.1")
    notes = {s["name"]: s["note"] for s in document["settings"]}
    assert "the host for TLS 1.0 and 1.1, which other hosts refuse (421 4.7.66)" in notes["Server"]
    assert notes["Port"] == "465 is not offered"
    assert "the device's clock is right, and TLS 1.1 is switched on" in document["check"]
    assert "AllowLegacyTLSClients of the tenant is $true (Get-TransportConfig)" in document["check"]


def test_in_another_cloud_host_and_scope_are_its_own(fleet: Desired) -> None:
    document = sheet(fleet.devices["erp"], fleet, MX, CLOUDS["dod"])
    shown = {s["name"]: (s["value"], s["note"]) for s in document["settings"]}
    assert shown["Server"][0] == "smtp.office365.us"
    assert shown["Scope (application)"][0] == "https://outlook-dod.office365.us/.default"
    assert shown["Scope (user)"][0] == "https://outlook-dod.office365.us/SMTP.Send offline_access"
    assert shown["Authority"][0] == "https://login.microsoftonline.us/contoso.onmicrosoft.com"
    assert not [text for text in map(str, document.values()) if "office365.com" in text]


def test_a_password_is_not_offered_as_plain(fleet: Desired) -> None:
    """Exchange answers AUTH PLAIN with 504 5.7.4 (pocketbase issue 1216, mattermost issue 954)."""
    settings, _ = of(fleet, "printer")
    assert settings["Authentication"] == "user and password (LOGIN)"


def test_a_port_that_the_site_does_not_let_out_is_not_offered(tmp_path: Path) -> None:
    able = 'from: m@contoso.com, recipients: anyone, supports: { tls: "1.2", authentication: [basic] }'
    devices = f"devices:\n  here: {{ site: branch, {able} }}\n  there: {{ {able} }}\n"
    desired = load(tmp_path, "sites: { branch: { egress_ip_addresses: [52.202.8.242], ports: [587] } }\n" + devices)
    for name, offered in (("here", False), ("there", True)):
        (port,) = [s for s in of(desired, name)[1]["settings"] if s["name"] == "Port"]
        assert ("25 works too" in port["note"]) == offered


def test_what_a_service_needs_is_said_once(tmp_path: Path) -> None:
    service = "{ from: m@contoso.com, recipients: anyone, method: third_party, sender_ip_addresses: [52.202.8.242] }"
    document = of(load(tmp_path, f"devices:\n  news: {service}\n"), "news")[1]
    assert (len(document["check"]), document["advice"]) == (2, [])


def test_no_sheet_holds_a_password(fleet: Desired) -> None:
    settings, document = of(fleet, "printer")
    assert settings["Password"] == ""
    (password,) = (s for s in document["settings"] if s["name"] == "Password")
    assert "kept in no plan" in password["note"]


def test_direct_send_in_clear_is_told_so(fleet: Desired) -> None:
    settings, document = of(fleet, "fax")
    assert (settings["Encryption"], settings["Authentication"]) == ("none", "none")
    assert "recipients in the organization only" in document["from_rules"]


def test_a_device_that_nothing_will_do_for_has_reasons_and_no_settings(fleet: Desired) -> None:
    settings, document = of(fleet, "camera")
    assert settings == {}
    assert [entry["method"] for entry in document["refused"]] == list(METHODS)
    assert document["advice"]


def test_a_sheet_is_plain_json(fleet: Desired) -> None:
    for name in fleet.devices:
        document = sheet(fleet.devices[name], fleet, MX, CLOUDS["worldwide"])
        assert json.loads(json.dumps(document)) == document


def test_the_report_names_who_depends_on_a_password_and_what_to_move_to(fleet: Desired) -> None:
    found = report(fleet, TODAY)
    assert (found["ends"], found["days_left"], found["devices"]) == ("2026-12-31", 38, 7)
    moves = {row["device"]: row["move_to"] for row in found["depending"]}
    assert all(row["messages_per_day"] is None for row in found["depending"]), "not written is not none"
    assert moves == {"printer": "direct send", "plotter": "SMTP relay"}
    assert found["undeclared_mailboxes"] == ["stray@contoso.com"]


def test_after_the_switch_off_the_report_still_names_them(fleet: Desired) -> None:
    found = report(fleet, dt.date(2027, 2, 1))
    assert found["days_left"] == 0
    assert {row["device"] for row in found["depending"]} == {"printer", "plotter"}


@pytest.mark.parametrize(
    ("sign_in", "scope", "consent"),
    [
        ("application", "https://outlook.office365.com/.default", "SMTP.SendAsApp"),
        ("user", "https://outlook.office365.com/SMTP.Send offline_access", "SMTP.Send (delegated permission)"),
    ],
)
def test_a_sheet_says_whose_token_and_what_it_takes(tmp_path: Path, sign_in: str, scope: str, consent: str) -> None:
    client = "6f1c0000-0000-4000-8000-000000000001"
    text = FLEET.replace(
        "authentication: [basic, oauth] }",
        f"authentication: [oauth] }}\n    oauth: {{ sign_in: {sign_in}, client_id: {client} }}",
    )
    settings, document = of(load(tmp_path, text), "erp")
    assert (settings["Client id"], settings["Scope"], settings["Tenant"]) == (client, scope, "contoso.onmicrosoft.com")
    assert [line for line in document["check"] if consent in line]
    assert sum("SMTP.Send" in line for line in document["check"]) == 1


def test_the_sheet_of_an_application_with_a_role_asks_for_no_consent(tmp_path: Path) -> None:
    client = "6f1c0000-0000-4000-8000-000000000001"
    text = FLEET.replace("authentication: [basic, oauth] }", "authentication: [oauth] }\n    application: erp")
    text = f"applications: {{ erp: {{ client_id: {client}, access: role_assignment }} }}\n" + text
    settings, document = of(load(tmp_path, text), "erp")
    assert settings["Client id"] == client
    assert not [line for line in document["check"] if "consent" in line or "FullAccess" in line]
    assert [line for line in document["check"] if "Application SMTP.SendAsApp on erp@contoso.com" in line]


DIGEST = """devices:
  digest:
    from: digest@contoso.com
    mailbox: ""
    recipients: organization
    messages_per_day: 14000
    supports: { tls: "1.3", authentication: [SIGN_IN] }
"""


@pytest.mark.parametrize(
    ("sign_in", "what"), [("login", "user and password (LOGIN)"), ("oauth", "OAuth 2.0 (XOAUTH2)")]
)
def test_high_volume_email_has_its_own_server_account_and_prerequisites(
    tmp_path: Path, sign_in: str, what: str
) -> None:
    desired = load(tmp_path, DIGEST.replace("SIGN_IN", sign_in))
    settings, document = of(desired, "digest")
    assert (settings["Server"], settings["Port"]) == ("smtp.hve.mx.microsoft", "587")
    assert (settings["User"], settings["Authentication"]) == ("digest@contoso.com", what)
    told = " ".join(document["check"])
    assert not [s for s in document["settings"] if "MFA" in s["note"] or "sign-in name" in s["note"]]
    assert "Get-MailUser -HVEAccount" in told
    assert ("Add-HVEAppAccess" in told, "SMTP.SendAsApp" in told) == (sign_in == "oauth", False)
    assert "smtp_auth" not in told, "the switches do not hold for these accounts"
    assert document["from_rules"][1] == "recipients in the organization only (550 5.5.105)"
    assert {a.short for a in desired.resources} == {"domain/contoso.com", "hve_account/digest@contoso.com"}


def test_a_cloud_without_high_volume_email_is_told(tmp_path: Path) -> None:
    desired = load(tmp_path, DIGEST.replace("SIGN_IN", "oauth"))
    shown = sheet(desired.devices["digest"], desired, MX, CLOUDS["china"])["settings"][0]
    assert (shown["value"], shown["note"]) == ("", "High Volume Email is not offered in the cloud of this tenant")


def test_a_sheet_lists_every_name_that_a_device_may_send_in(tmp_path: Path) -> None:
    text = SWITCH + FLEET.replace("from: scanner@contoso.com", 'from: ["*@contoso.com", hr@fabrikam.com]')
    settings, document = of(load(tmp_path, text), "scanner")
    assert settings["From"] == document["from"] == "*@contoso.com, hr@fabrikam.com"
    assert document["from_rules"][0].startswith("any address in contoso.com or fabrikam.com, or in another")


@pytest.mark.parametrize(("name", "copies"), [("erp", "a copy of each message stays"), ("scanner", "no copy appears")])
def test_a_sheet_says_whether_copies_appear_in_sent_items(fleet: Desired, name: str, copies: str) -> None:
    """Learn, "How to set up a multifunction device or application to send email": the comparison of the methods."""
    told = [limit for limit in of(fleet, name)[1]["limits"] if "Sent Items" in limit]
    assert [limit.startswith(copies) for limit in told] == [True]


def test_the_tenant_s_id_is_typed_in_where_it_is_known(fleet: Desired) -> None:
    document = sheet(
        fleet.devices["erp"], fleet, MX, CLOUDS["worldwide"], tenant_id="0f9c3a52-0000-4000-8000-000000000001"
    )
    shown = {s["name"]: (s["value"], s["note"]) for s in document["settings"]}
    assert shown["Tenant"] == ("0f9c3a52-0000-4000-8000-000000000001", "the id of contoso.onmicrosoft.com")
    assert shown["Authority"][0].endswith("/0f9c3a52-0000-4000-8000-000000000001")
