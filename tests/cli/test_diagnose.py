"""`provisioner diagnose`: a server's answer explained, and the tenant asked which of its settings it was."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from provisioner.cli.main import main
from tests.cli.shop import SEED, Shop, open_shop

DISABLED = (
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the {scope}. "
    "Visit https://aka.ms/smtp_auth_disabled for more information. user=erp@contoso.com"
)
ATTRIBUTION = """250-AM0PEPF0001.mail.protection.outlook.com Hello [93.184.216.34]
MAIL FROM:<erp@contoso.com>
550 5.7.64 TenantAttribution; Relay Access Denied [AM0PEPF0001.eurprd02.prod.outlook.com]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    erp = {"address": "erp@contoso.com", "aliases": ["sap@contoso.com"]}
    seed = {**SEED, "mailboxes": [erp, "invoices@contoso.com"]}
    with open_shop(tmp_path_factory.mktemp("shop"), seed) as here:
        yield here


def asked(shop: Shop, text: str) -> dict[str, Any]:
    done = shop.on_tenant("diagnose", text, "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_line_is_explained_without_a_tenant(shop: Shop) -> None:
    done = shop.run("diagnose", DISABLED.format(scope="Mailbox"))
    assert done.returncode == 0
    assert "smtp-auth-off-mailbox" in done.stdout
    assert "erp@contoso.com: enabled" in done.stdout
    assert "the tenant:" not in done.stdout


def test_what_is_not_known_is_said_to_be_unknown(shop: Shop) -> None:
    done = shop.run("diagnose", "250 2.0.0 OK, all is well")
    assert (done.returncode, done.stdout.startswith("unknown")) == (1, True)
    other = shop.run("diagnose", "535 5.7.8 Error: authentication failed (Postfix at mail.example.org)")
    assert other.returncode == 1


def test_a_file_is_read_too_and_one_that_is_not_there_is_told(shop: Shop) -> None:
    (shop.folder / "device.log").write_text("10:02 connect\n10:02 " + DISABLED.format(scope="Tenant") + "\n")
    assert "smtp-auth-off-tenant" in shop.run("diagnose", "--file", "device.log").stdout
    assert shop.run("diagnose", "--file", "nowhere.log").returncode == 3
    assert shop.run("diagnose", "--file", "device.log", "a line").returncode == 3


def test_the_tenant_says_which_switch_it_is_and_the_plan_fixes_it(shop: Shop) -> None:
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=True)
    found = asked(shop, DISABLED.format(scope="Mailbox"))
    assert found["tenant"][0]["speaks"] == "yes"
    assert "disabled for the mailbox itself" in found["tenant"][0]["sentence"]
    (shop.folder / "hint.yaml").write_text("provisioner: 1\ntenant: contoso.onmicrosoft.com\n" + found["plan"])
    assert shop.on_tenant("apply", "hint.yaml", "--auto-approve").returncode == 0
    again = asked(shop, DISABLED.format(scope="Mailbox"))
    assert again["tenant"][0]["speaks"] == "no"


def test_the_tenant_says_whether_a_connector_names_the_address(shop: Shop) -> None:
    found = asked(shop, ATTRIBUTION)
    assert any(
        e["speaks"] == "yes" and "no inbound connector names 93.184.216.34" in e["sentence"] for e in found["tenant"]
    )
    parameters = {"Name": "hq", "ConnectorType": "OnPremises", "SenderDomains": ["*"], "RequireTls": True}
    shop.tenant.cmdlet("New-InboundConnector", SenderIPAddresses=["93.184.216.32/28"], Enabled=False, **parameters)
    disabled = asked(shop, ATTRIBUTION)
    assert any("it is disabled" in e["sentence"] for e in disabled["tenant"])
    shop.tenant.cmdlet("Set-InboundConnector", Identity="hq", Enabled=True)
    enabled = asked(shop, ATTRIBUTION)
    assert any(e["speaks"] == "no" and "is enabled" in e["sentence"] for e in enabled["tenant"])


def test_a_partner_connector_for_the_address_confirms_that_nothing_relays(shop: Shop) -> None:
    parameters = {"ConnectorType": "Partner", "SenderDomains": ["*"], "RequireTls": True}
    shop.tenant.cmdlet("New-InboundConnector", Name="bank", SenderIPAddresses=["52.202.8.242"], **parameters)
    found = asked(shop, ATTRIBUTION.replace("93.184.216.34", "52.202.8.242"))
    assert (found["cause"], found["tenant"][0]["speaks"]) == ("relay-denied", "yes")
    assert "it is a partner connector, which does not relay" in found["tenant"][0]["sentence"]


SEND_AS_DENIED = (
    "user=erp@contoso.com from=invoices@contoso.com 554 5.2.252 SendAsDenied; erp@contoso.com not allowed to send as "
    "invoices@contoso.com; STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied"
)


def test_a_right_under_another_name_of_its_holder_is_a_right(shop: Shop) -> None:
    without = asked(shop, SEND_AS_DENIED)
    assert without["tenant"][0]["sentence"] == "erp@contoso.com has no right to send as invoices@contoso.com"
    right = {"Identity": "invoices@contoso.com", "AccessRights": ["SendAs"]}
    shop.tenant.cmdlet("Add-RecipientPermission", Trustee="erp@contoso.com", **right)
    alias = asked(shop, SEND_AS_DENIED.replace("erp@", "sap@"))
    assert (alias["tenant"][0]["speaks"], alias["tenant"][0]["sentence"]) == (
        "no",
        "sap@contoso.com may send as invoices@contoso.com",
    )


def test_what_the_tenant_will_not_tell_is_unknown_and_no_error(shop: Shop) -> None:
    shop.fault("Get-InboundConnector", {"status": 403})
    found = asked(shop, ATTRIBUTION)
    shop.tenant.control("DELETE", "/faults")
    assert any(e["speaks"] == "unknown" for e in found["tenant"])


@pytest.mark.parametrize(
    ("address", "speaks", "words"),
    [
        ("nobody@contoso.com", "yes", "the tenant has no mailbox nobody@contoso.com"),
        ("erp@contoso.com", "no", "the tenant has the mailbox erp@contoso.com"),
        ("bob@fabrikam.com", "unknown", "fabrikam.com is not an accepted domain"),
    ],
)
def test_the_tenant_says_whether_the_recipient_is_there(shop: Shop, address: str, speaks: str, words: str) -> None:
    line = f"RCPT TO:<{address}>\n550 5.4.1 Recipient address rejected: Access denied. [AM4PEPF00027A65.outlook.com]"
    (said,) = asked(shop, line)["tenant"]
    assert (said["speaks"], words in said["sentence"]) == (speaks, True)


def test_a_mailbox_that_is_not_there_is_told(shop: Shop) -> None:
    line = DISABLED.format(scope="Mailbox").replace("erp@", "nobody@")
    (said,) = asked(shop, line)["tenant"]
    assert (said["speaks"], said["sentence"]) == ("yes", "the tenant has no mailbox nobody@contoso.com")


@pytest.mark.one_of("arguments")
@pytest.mark.parametrize("arguments", [("-",), (), ("--file", "-")])
def test_a_dash_stands_for_standard_input(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = b"550 5.7.60 SMTP; Client does not have permissions to send as this sender"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line), encoding="utf-8"))
    assert main(["diagnose", *arguments]) == 0
    assert capsys.readouterr().out.startswith("send-as-denied [5.7.60]")


DIALOGUE = """220 AM0PR10CA0042.outlook.office365.com Microsoft ESMTP MAIL Service ready
AUTH LOGIN
535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.
AUTH LOGIN
235 2.7.0 Authentication successful
MAIL FROM:<erp@contoso.com>
250 2.1.0 Sender OK
RCPT TO:<ann@fabrikam.com>
452 4.5.3 Too many recipients
550 5.7.60 SMTP; Client does not have permissions to send as this sender [AM0PR10CA0042.EURPRD10.PROD.OUTLOOK.COM]
"""


def test_a_dialogue_names_the_refusal_that_ended_it_and_lists_the_others(shop: Shop) -> None:
    done = shop.run("diagnose", DIALOGUE)
    assert done.returncode == 0
    told = done.stdout.splitlines()
    assert told[0].startswith("send-as-denied [5.7.60]")
    assert [
        line.partition(": 5")[0].partition(": 4")[0].strip() for line in told if ": 535 " in line or ": 452 " in line
    ] == [
        "overcome by what followed: wrong-credentials",
        "also refused: too-many-recipients",
    ]
    assert any(line.startswith("  AM0PR10CA0042") and "in Europe" in line for line in told)
    found = json.loads(shop.run("diagnose", DIALOGUE, "--format", "json").stdout)
    assert [(r["cause"], r["overcome"]) for r in found["refusals"]] == [
        ("wrong-credentials", True), ("too-many-recipients", False), ("send-as-denied", False),
    ]  # fmt: skip
    assert found["codes"][0]["code"] == "AM0PR10CA0042.EURPRD10.PROD.OUTLOOK.COM"


def test_another_service_of_microsoft_gets_its_own_advice_and_no_question_to_the_tenant(shop: Shop) -> None:
    line = "login pat@hotmail.com 535 5.7.139 Authentication unsuccessful, basic authentication is disabled."
    done = shop.on_tenant("diagnose", line)
    assert done.returncode == 1
    assert "a personal Outlook.com account" in done.stdout
    assert "in the plan" not in done.stdout
    assert "the tenant" not in done.stdout.replace("belongs to no tenant", "")


@pytest.mark.parametrize(
    ("cloud", "host"),
    [("gcc_high", "smtp.office365.us"), ("dod", "smtp.office365.us"), ("china", "smtp.partner.outlook.cn")],
)
def test_a_profile_of_another_cloud_names_that_clouds_hosts(shop: Shop, cloud: str, host: str) -> None:
    done = shop.run("diagnose", "504 5.7.4 Unrecognized authentication type", PROVISIONER_CLOUD=cloud)
    assert f"{host}:587" in done.stdout
    assert "office365.com" not in done.stdout
