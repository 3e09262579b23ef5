"""Each cause for which a sending server refuses: the tenant is brought into that state, the device is refused, the
diagnosis names the state, and what is proposed makes it work once it is applied."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.cli.shop import Shop, open_shop
from tests.cli.test_probe import SEED

pytestmark = pytest.mark.part(0.5)

OUTSIDE, INSIDE = ("--to", "someone@fabrikam.com"), ("--to", "anna@contoso.com")
PASSWORD = ("--password", "env:ERP_PASSWORD")
HERE, ELSEWHERE = ("--source", "127.0.0.10"), ("--source", "127.0.0.11")

ABLE = {"tls": "1.2", "authentication": ["basic"]}
UNABLE = {"tls": "1.2", "authentication": []}
SITES = {"hq": {"egress_ip_addresses": ["93.184.216.10"]}}


def plan(sites: Any = None, **device: Any) -> dict[str, Any]:
    """A plan with one device, `it`."""
    whole: dict[str, Any] = {"owner": "team", "devices": {"it": {"recipients": "anyone", **device}}}
    return {**whole, "sites": sites} if sites else whole


SIGNS_IN = plan(**{"from": "erp@contoso.com"}, supports=ABLE, method="client_submission")
AT_A_SITE = plan(SITES, **{"from": "erp@contoso.com"}, supports=ABLE, method="client_submission", site="hq")
RELAYS = plan(SITES, **{"from": "scanner@contoso.com"}, supports=UNABLE, method="smtp_relay", site="hq")
DIRECT = plan(**{"from": "monitor@contoso.com"}, supports=UNABLE, recipients="organization", method="direct_send")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    settings = {"smtp_source_addresses": {"127.0.0.10": "93.184.216.10", "127.0.0.11": "93.184.216.11"}}
    objects = {**SEED["objects"], "AuthenticationPolicy": [{"Name": "No basic", "AllowBasicAuthSmtp": False}]}
    with open_shop(tmp_path_factory.mktemp("shop"), {**SEED, "settings": settings, "objects": objects}) as here:
        yield here


@pytest.fixture(autouse=True)
def as_before(shop: Shop) -> Iterator[None]:
    """A tenant in which a mailbox may sign in with its password, and nobody else is let in."""
    tenant = shop.tenant
    tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=None)
    tenant.cmdlet("Set-OrganizationConfig", RejectDirectSend=False)
    tenant.cmdlet("Set-OrganizationConfig", DefaultAuthenticationPolicy=None)
    for row in tenant.rows("InboundConnector"):
        tenant.cmdlet("Remove-InboundConnector", Identity=row["Name"])
    for row in tenant.rows("RecipientPermission"):
        tenant.cmdlet(
            "Remove-RecipientPermission", Identity=row["Identity"], Trustee=row["Trustee"], AccessRights=["SendAs"]
        )
    yield
    load(shop, settings={"basic_smtp_auth_retired_from": None})
    load(shop, graph={"securityDefaults": {"isEnabled": False}})


def load(shop: Shop, **state: Any) -> None:
    shop.tenant.control("POST", "/load", {"sandbox": 1, **state})


def write(shop: Shop, body: Mapping[str, Any]) -> str:
    return shop.write(yaml.safe_dump(dict(body), sort_keys=False))


def probe(shop: Shop, *options: str) -> dict[str, Any]:
    done = shop.on_tenant("probe", "it", "plan.yaml", "--format", "json", *options, ERP_PASSWORD="right")
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def apply(shop: Shop, body: Mapping[str, Any]) -> None:
    done = shop.on_tenant("apply", write(shop, body), "--auto-approve")
    assert done.returncode == 0, done.stdout + done.stderr


def refused(shop: Shop, body: Mapping[str, Any], cause: str, *options: str) -> dict[str, Any]:
    write(shop, body)
    found = probe(shop, *options)
    assert not found["accepted"]
    assert found["diagnosis"]["cause"] == cause, found["refused"]
    return found


def says(found: Mapping[str, Any], words: str) -> bool:
    return any(e["speaks"] == "yes" and words in e["sentence"] for e in found["diagnosis"]["tenant"])


def merged(there: Any, more: Any) -> Any:
    """What a person makes of a proposal: it goes into the entries that are there."""
    if not isinstance(there, dict) or not isinstance(more, dict):
        return more
    return {**there, **{k: merged(there.get(k), v) for k, v in more.items()}}


def corrected(shop: Shop, body: Mapping[str, Any], found: Mapping[str, Any], *options: str) -> None:
    """Write what is proposed, apply, and see that the device is let in and nothing is left to change."""
    proposed = yaml.safe_load(found["remedy"]["plan"] or "{}")
    better = merged(dict(body), proposed)
    apply(shop, better)
    accepted = probe(shop, *options)
    assert accepted["accepted"], accepted
    assert shop.on_tenant("plan", "plan.yaml", "--detailed-exitcode").returncode == 0


# --- a mailbox that signs in -----------------------------------------------------------------------------------------


def test_the_organization_has_it_off(shop: Shop) -> None:
    found = refused(shop, SIGNS_IN, "smtp-auth-off-tenant", *OUTSIDE, *PASSWORD)
    assert says(found, "disabled for the organization, and the mailbox does not override it")
    assert "smtp_auth" in found["remedy"]["sentence"]
    corrected(shop, SIGNS_IN, found, *OUTSIDE, *PASSWORD)


def test_the_mailbox_has_it_off(shop: Shop) -> None:
    apply(shop, SIGNS_IN)
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=True)
    found = refused(shop, SIGNS_IN, "smtp-auth-off-mailbox", *OUTSIDE, *PASSWORD)
    assert says(found, "disabled for the mailbox itself")
    corrected(shop, SIGNS_IN, found, *OUTSIDE, *PASSWORD)


def no_passwords_by_policy(shop: Shop) -> None:
    shop.tenant.cmdlet("Set-OrganizationConfig", DefaultAuthenticationPolicy="No basic")


def no_passwords_by_entra(shop: Shop) -> None:
    load(shop, graph={"securityDefaults": {"isEnabled": True}})


def no_passwords_by_microsoft(shop: Shop) -> None:
    load(shop, settings={"basic_smtp_auth_retired_from": "2020-01-01"})


BLOCKED = {
    "basic-auth-off": (no_passwords_by_policy, 'the authentication policy "No basic"'),
    "security-defaults": (no_passwords_by_entra, "security defaults of Entra ID"),
    "basic-auth-retired": (no_passwords_by_microsoft, ""),
}


@pytest.mark.one_of("cause")
@pytest.mark.parametrize("cause", BLOCKED)
def test_passwords_are_let_in_nowhere_and_the_site_has_a_fixed_address(shop: Shop, cause: str) -> None:
    bring_about, words = BLOCKED[cause]
    apply(shop, AT_A_SITE)
    bring_about(shop)
    found = refused(shop, AT_A_SITE, cause, *OUTSIDE, *PASSWORD)
    assert not words or says(found, words)
    assert found["remedy"]["plan"] == "devices:\n  it:\n    method: smtp_relay\n"
    corrected(shop, AT_A_SITE, found, *OUTSIDE, *HERE)


def test_passwords_are_let_in_nowhere_and_nothing_else_will_do(shop: Shop) -> None:
    apply(shop, SIGNS_IN)
    no_passwords_by_entra(shop)
    found = refused(shop, SIGNS_IN, "security-defaults", *OUTSIDE, *PASSWORD)
    assert found["remedy"]["plan"] == ""
    assert "it can send in no other way" in found["remedy"]["sentence"]


def test_the_password_is_wrong(shop: Shop) -> None:
    apply(shop, SIGNS_IN)
    shop.write(yaml.safe_dump(SIGNS_IN))
    done = shop.on_tenant("probe", "it", "plan.yaml", *OUTSIDE, *PASSWORD, ERP_PASSWORD="wrong-canary")
    assert done.returncode == 1
    assert "wrong-credentials" in done.stdout
    assert "in the plan:" not in done.stdout
    assert "wrong-canary" not in done.stdout + done.stderr


def test_it_writes_another_from_than_its_own(shop: Shop) -> None:
    body = plan(
        **{"from": "invoices@contoso.com"}, mailbox="erp@contoso.com", supports=ABLE, method="client_submission"
    )
    load(shop, mailboxes=["invoices@contoso.com"])
    shop.tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=False)
    found = refused(shop, body, "send-as-denied", *OUTSIDE, *PASSWORD, "--send")
    assert says(found, "no right to send as invoices@contoso.com")
    assert yaml.safe_load(found["diagnosis"]["plan"]) == {"send_as": {"erp@contoso.com": ["invoices@contoso.com"]}}
    corrected(shop, body, found, *OUTSIDE, *PASSWORD, "--send")


# --- a relay ----------------------------------------------------------------------------------------------------------


def test_no_connector_names_the_address(shop: Shop) -> None:
    found = refused(shop, RELAYS, "relay-denied", *OUTSIDE, *HERE)
    assert says(found, "no inbound connector names 93.184.216.10")
    corrected(shop, RELAYS, found, *OUTSIDE, *HERE)


def test_the_connector_is_switched_off(shop: Shop) -> None:
    apply(shop, RELAYS)
    shop.tenant.cmdlet("Set-InboundConnector", Identity="site-hq", Enabled=False)
    found = refused(shop, RELAYS, "relay-denied", *OUTSIDE, *HERE)
    assert says(found, "it is disabled")
    assert yaml.safe_load(found["diagnosis"]["plan"]) == {"inbound_connectors": {"site-hq": {"enabled": True}}}
    corrected(shop, RELAYS, found, *OUTSIDE, *HERE)


def test_the_site_has_a_new_address(shop: Shop) -> None:
    apply(shop, RELAYS)
    found = refused(shop, RELAYS, "relay-denied", *OUTSIDE, *ELSEWHERE)
    assert says(found, "no inbound connector names 93.184.216.11")
    proposed = yaml.safe_load(found["remedy"]["plan"])
    assert proposed == {"sites": {"hq": {"egress_ip_addresses": ["93.184.216.10", "93.184.216.11"]}}}
    corrected(shop, RELAYS, found, *OUTSIDE, *ELSEWHERE)


def test_the_domain_of_the_sender_is_not_ours(shop: Shop) -> None:
    body = merged(RELAYS, {"devices": {"it": {"from": "scanner@fabrikam.com"}}})
    load(shop, dns={"fabrikam.com": {"MX": ["0 contoso-com.mail.protection.outlook.com."]}})
    shop.tenant.cmdlet(
        "New-InboundConnector",
        Name="site-hq", ConnectorType="OnPremises", SenderDomains=["*"], SenderIPAddresses=["93.184.216.10"],
        RequireTls=True,
    )  # fmt: skip
    found = refused(shop, body, "relay-denied", *OUTSIDE, *HERE)
    assert says(found, "fabrikam.com is not an accepted domain of the tenant")
    assert "domain/fabrikam.com" in found["remedy"]["sentence"]


# --- direct send ------------------------------------------------------------------------------------------------------


def test_direct_send_is_rejected_and_the_address_is_known(shop: Shop) -> None:
    body = merged(DIRECT, {"devices": {"it": {"site": "hq"}}, "sites": SITES})
    shop.tenant.cmdlet("Set-OrganizationConfig", RejectDirectSend=True)
    found = refused(shop, body, "direct-send-rejected", *INSIDE, *HERE)
    assert says(found, "RejectDirectSend is on")
    assert found["remedy"]["plan"] == "devices:\n  it:\n    method: smtp_relay\n"
    corrected(shop, body, found, *INSIDE, *HERE)


def test_direct_send_is_rejected_and_nothing_can_tell_the_device(shop: Shop) -> None:
    shop.tenant.cmdlet("Set-OrganizationConfig", RejectDirectSend=True)
    found = refused(shop, DIRECT, "direct-send-rejected", *INSIDE)
    assert "Better" in found["remedy"]["sentence"]
    corrected(shop, DIRECT, found, *INSIDE)


def test_direct_send_was_to_leave_the_organization(shop: Shop) -> None:
    body = merged(DIRECT, {"devices": {"it": {"site": "hq"}}, "sites": SITES})
    found = refused(shop, body, "relay-denied", *OUTSIDE, *HERE)
    assert "own recipients only" in found["remedy"]["sentence"]
    corrected(shop, body, found, *OUTSIDE, *HERE)
    alone = refused(shop, DIRECT, "relay-denied", *OUTSIDE)
    assert alone["remedy"]["plan"] == ""
    assert "it can send in no other way" in alone["remedy"]["sentence"]


def test_dmarc_asks_for_rejection_and_spf_does_not_name_the_address(shop: Shop) -> None:
    body = merged(DIRECT, {"devices": {"it": {"site": "other"}}, "sites": {
        "other": {"egress_ip_addresses": ["93.184.216.11"]}}})  # fmt: skip
    policy = {"_dmarc.contoso.com": {"TXT": ["v=DMARC1; p=reject"]}}
    record = "v=spf1 ip4:93.184.216.10 {}include:spf.protection.outlook.com -all"
    load(shop, dns=policy)
    try:
        found = refused(shop, body, "dmarc-failed", *INSIDE, *ELSEWHERE, "--send")
        assert says(found, "contoso.com does not vouch for 93.184.216.11 (SPF fail")
        load(shop, dns={"contoso.com": {"TXT": [record.format("ip4:93.184.216.11 ")]}})
        assert probe(shop, *INSIDE, *ELSEWHERE, "--send")["accepted"]
    finally:
        load(shop, dns={"_dmarc.contoso.com": {"TXT": []}, "contoso.com": {"TXT": [record.format("")]}})
