"""The MX port, spoken to with smtplib: relay, direct send, and every refusal by the state that causes it."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme

from provisioner.sandbox import mail_rules
from provisioner.sandbox.mail_rules import Source
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant
from tests.local_tenant import LocalTenant
from tests.sandbox.mailing import connection, load, message, relay, words

GATEWAY, STRANGER = "127.0.0.30", "127.0.0.99"


@pytest.mark.parametrize(
    ("source", "recipient", "sender", "tls", "answer"),
    [
        ("127.0.0.10", "x@fabrikam.com", "erp@contoso.com", False, ""),
        ("127.0.0.10", "anna@contoso.com", "erp@contoso.com", False, ""),
        ("127.0.0.10", "x@fabrikam.com", "erp@elsewhere.example", False, "5.7.64"),
        ("127.0.0.99", "x@fabrikam.com", "erp@contoso.com", False, "5.7.64 TenantAttribution; Relay Access Denied"),
        ("127.0.0.30", "x@fabrikam.com", "erp@contoso.com", False, "5.7.64"),
        ("127.0.0.20", "anna@contoso.com", "erp@contoso.com", False, "STARTTLS is required"),
        ("127.0.0.20", "anna@contoso.com", "erp@contoso.com", True, ""),
        ("127.0.0.99", "anna@contoso.com", "erp@contoso.com", False, ""),
        ("127.0.0.99", "nobody@contoso.com", "erp@contoso.com", False, "5.4.1"),
    ],
)
def test_relay_and_direct_send(
    tenant: LocalTenant, source: str, recipient: str, sender: str, tls: bool, answer: str
) -> None:
    said = relay(tenant, source, recipient, sender, tls=tls)
    assert answer in said if answer else said == ""


def test_direct_send_can_be_rejected_and_a_connector_is_not(tenant: LocalTenant) -> None:
    tenant.cmdlet("Set-OrganizationConfig", RejectDirectSend=True)
    assert "5.7.68 TenantInboundAttribution" in relay(tenant, "127.0.0.99", "anna@contoso.com")
    assert relay(tenant, "127.0.0.10", "anna@contoso.com") == ""
    assert relay(tenant, "127.0.0.30", "anna@contoso.com") == "", "a partner's connector is enough for mail inside"


def test_what_spf_does_not_cover_lands_in_junk_or_is_refused(tenant: LocalTenant) -> None:
    assert relay(tenant, "127.0.0.99", "anna@contoso.com") == ""
    assert tenant.control("GET", "/mail")[-1]["recipients"] == {"anna@contoso.com": "junk"}
    policy = {"name": "_dmarc.contoso.com", "type": "TXT", "values": ["v=DMARC1; p=reject"]}
    tenant.control("POST", "/dns", policy)
    assert "5.7.509" in relay(tenant, "127.0.0.99", "anna@contoso.com")
    assert relay(tenant, "127.0.0.10", "anna@contoso.com") == ""
    tenant.control("POST", "/dns", {**policy, "values": ["v=DMARC1; p=none; sp=reject"]})
    assert relay(tenant, "127.0.0.99", "anna@contoso.com") == ""
    tenant.control("POST", "/dns", {**policy, "values": []})


# --- connectors of partners ------------------------------------------------------------------------------------------

PARTNER_RESTRICTED = "550 5.7.51 TenantInboundAttribution; There is a partner connector configured that matched"


@contextlib.contextmanager
def connector(tenant: LocalTenant, **values: Any) -> Iterator[None]:
    """An inbound connector for a while, made as an administrator makes it."""
    tenant.cmdlet("New-InboundConnector", **{"Name": "new", "ConnectorType": "Partner", "RequireTls": False, **values})
    yield
    tenant.cmdlet("Remove-InboundConnector", Identity="new", Confirm=False)


def test_a_restriction_to_addresses_turns_all_other_mail_away(tenant: LocalTenant) -> None:
    with connector(
        tenant, SenderDomains=["*"], SenderIPAddresses=["203.0.113.40/30"], RestrictDomainsToIPAddresses=True
    ):
        for sender in ("erp@contoso.com", "someone@fabrikam.com"):
            assert relay(tenant, STRANGER, "anna@contoso.com", sender).startswith(PARTNER_RESTRICTED)
        assert relay(tenant, "127.0.0.40", "anna@contoso.com", "someone@fabrikam.com") == ""
        assert relay(tenant, "127.0.0.10", "anna@contoso.com") == "", "the tenant's own relay is not a partner"
        assert relay(tenant, GATEWAY, "anna@contoso.com", "someone@fabrikam.com") == "", "another connector takes it"
    assert relay(tenant, STRANGER, "anna@contoso.com", "someone@fabrikam.com") == ""


@pytest.mark.parametrize(
    ("sender", "refused"),
    [
        ("a@fabrikam.com", True),
        ("a@mail.fabrikam.com", False),
        ("a@sub.tailspin.example", True),
        ("a@tailspin.example", True),
        ("a@nottailspin.example", False),
        ("erp@contoso.com", False),
    ],
)
def test_a_partners_connector_is_for_its_domains_only(tenant: LocalTenant, sender: str, refused: bool) -> None:
    with connector(
        tenant,
        SenderDomains=["fabrikam.com", "*.tailspin.example"],
        SenderIPAddresses=["203.0.113.40"],
        RestrictDomainsToIPAddresses=True,
    ):
        said = relay(tenant, STRANGER, "anna@contoso.com", sender)
    assert said.startswith(PARTNER_RESTRICTED) if refused else said == ""


def test_a_partner_known_by_its_domain_alone_may_have_to_use_tls(tenant: LocalTenant) -> None:
    with connector(tenant, SenderDomains=["fabrikam.com"], RequireTls=True):
        assert relay(tenant, STRANGER, "anna@contoso.com", "a@fabrikam.com").startswith(
            "451 5.7.3 STARTTLS is required to send mail"
        )
        assert relay(tenant, STRANGER, "anna@contoso.com", "a@fabrikam.com", tls=True) == ""
        assert relay(tenant, STRANGER, "anna@contoso.com", "a@elsewhere.example") == ""
        tenant.cmdlet("Set-InboundConnector", Identity="new", Enabled=False)
        assert relay(tenant, STRANGER, "anna@contoso.com", "a@fabrikam.com") == ""


def test_a_domain_alone_does_not_let_direct_send_through(tenant: LocalTenant) -> None:
    tenant.cmdlet("Set-OrganizationConfig", RejectDirectSend=True)
    with connector(tenant, SenderDomains=["contoso.com"]):
        assert "5.7.68" in relay(tenant, STRANGER, "anna@contoso.com")
        tenant.cmdlet("Set-InboundConnector", Identity="new", SenderIPAddresses=["198.51.100.99"])
        assert relay(tenant, STRANGER, "anna@contoso.com") == ""


# --- certificates ----------------------------------------------------------------------------------------------------


def relay_with(
    tenant: LocalTenant, names: Sequence[str], common_name: str = "", sender: str = "erp@contoso.com", to: str = ""
) -> str:
    """ "" when a message was taken from a client with a certificate of these names, else the answer."""
    folder = Path(tenant.folder) / "ca"
    authority = trustme.CA.from_pem((folder / "ca.pem").read_bytes(), (folder / "ca-key.pem").read_bytes())
    certificate = authority.issue_cert(*names, common_name=common_name or None)
    context = ssl.create_default_context(cafile=tenant.endpoints["ca"])
    certificate.configure_cert(context)
    try:
        with connection(tenant, "smtp_mx", STRANGER, tls=False) as client:
            client.starttls(context=context)
            mail = message(sender if "@" in sender else "erp@contoso.com", to or "x@fabrikam.com")
            client.send_message(mail, from_addr=sender)
    except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:
        return words(error)
    return ""


BY_CERTIFICATE = {"ConnectorType": "OnPremises", "SenderDomains": ["*"], "RequireTls": True}


@pytest.mark.parametrize(
    ("expected", "names", "common_name", "taken"),
    [
        ("mail.contoso.com", ["mail.contoso.com"], "", True),
        ("mail.contoso.com", ["other.example", "mail.contoso.com"], "", True),
        ("mail.contoso.com", ["other.example"], "MAIL.contoso.com", True),
        ("*.contoso.com", ["other.example", "mail.contoso.com"], "", True),
        ("*.contoso.com", ["*.contoso.com"], "", True),
        ("*.contoso.com", ["contoso.com"], "", False),
        ("mail.contoso.com", ["mail2.contoso.com"], "", False),
        ("mail.contoso.com", ["mail.contoso.com.example"], "", False),
    ],
)
def test_a_certificate_is_known_by_any_of_its_names(
    tenant: LocalTenant, expected: str, names: list[str], common_name: str, taken: bool
) -> None:
    with connector(tenant, **BY_CERTIFICATE, TlsSenderCertificateName=expected):
        said = relay_with(tenant, names, common_name)
    assert said == "" if taken else said.startswith("550 5.7.64 TenantAttribution; Relay Access Denied")


def test_the_certificates_domain_makes_up_for_a_foreign_or_null_sender(tenant: LocalTenant) -> None:
    with connector(tenant, **BY_CERTIFICATE, TlsSenderCertificateName="mail.contoso.com"):
        assert relay_with(tenant, ["mail.contoso.com"], sender="a@elsewhere.example") == ""
        assert relay_with(tenant, ["mail.contoso.com"], sender="<>") == ""
    with connector(tenant, ConnectorType="OnPremises", SenderDomains=["*"], SenderIPAddresses=["198.51.100.99"]):
        assert "5.7.64" in relay_with(tenant, ["mail.contoso.com"], sender="a@elsewhere.example")
        assert "5.7.64" in relay_with(tenant, ["mail.contoso.com"], sender="<>")


def test_a_restriction_to_a_certificate_is_met_by_that_certificate_only(tenant: LocalTenant) -> None:
    with connector(
        tenant, SenderDomains=["fabrikam.com"], TlsSenderCertificateName="*.fabrikam.com",
        RestrictDomainsToCertificate=True, RequireTls=True,
    ):  # fmt: skip
        inside = {"sender": "a@fabrikam.com", "to": "anna@contoso.com"}
        assert relay_with(tenant, ["mx.fabrikam.com"], **inside) == ""
        assert relay_with(tenant, ["mx.tailspin.example"], **inside).startswith(PARTNER_RESTRICTED)
        assert relay(tenant, STRANGER, "anna@contoso.com", "a@fabrikam.com").startswith(PARTNER_RESTRICTED)


# --- what else is turned away ----------------------------------------------------------------------------------------


def test_the_connection_filter_blocks_addresses_and_its_allow_list_wins(tenant: LocalTenant) -> None:
    policy = {"Name": "Default", "IPBlockList": ["198.51.100.90-198.51.100.99", "192.0.2.0/24"], "IPAllowList": []}
    load(tenant, objects={"HostedConnectionFilterPolicy": [policy]})
    assert relay(tenant, STRANGER, "anna@contoso.com").startswith(
        "550 5.7.513 Service unavailable, Client host [198.51.100.99] blocked by contoso.com using Customer Block list "
        "(AS16012607) [SBX"
    )
    assert relay(tenant, "127.0.0.10", "anna@contoso.com") == ""
    load(tenant, objects={"HostedConnectionFilterPolicy": [{**policy, "IPAllowList": ["198.51.100.99"]}]})
    assert relay(tenant, STRANGER, "anna@contoso.com") == ""
    load(tenant, objects={"HostedConnectionFilterPolicy": [{**policy, "IPBlockList": []}]})


def test_an_unknown_recipient_and_a_missing_author_are_refused(tenant: LocalTenant) -> None:
    assert relay(tenant, STRANGER, "nobody@contoso.com").startswith(
        "550 5.4.1 Recipient address rejected: Access denied. AS(201806281) [SBX"
    )
    with connection(tenant, "smtp_mx", STRANGER) as client, pytest.raises(smtplib.SMTPDataError) as refused:
        client.sendmail("erp@contoso.com", "anna@contoso.com", "Subject: no From\r\n\r\n")
    assert words(refused.value).startswith(
        "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant"
    )


def test_a_message_has_at_most_two_hundred_recipients_of_a_domain(tenant: LocalTenant) -> None:
    domain = {"DomainName": "relayed.example", "DomainType": "InternalRelay"}
    load(tenant, objects={"AcceptedDomain": [domain]})
    with connection(tenant, "smtp_mx", STRANGER) as client:
        client.mail("a@fabrikam.com")
        client.send("".join(f"RCPT TO:<r{number}@relayed.example>\r\n" for number in range(201)))
        answers = [client.getreply() for _ in range(201)]
        assert {code for code, _ in answers[:200]} == {250}
        assert (answers[200][0], answers[200][1][:25]) == (452, b"4.5.3 Too many recipients")
        assert client.rcpt("anna@contoso.com")[0] == 250


# --- domains, lists and connectors, as pure decisions ----------------------------------------------------------------

RELAY = {"Name": "hq", "ConnectorType": "OnPremises", "SenderIPAddresses": ["203.0.113.10"], "Enabled": True}


def made(**objects: list[dict[str, Any]]) -> Tenant:
    tenant = Tenant()
    tenant.merge(load_seed({"sandbox": 1, "mailboxes": ["anna@contoso.com"], "objects": objects}))
    return tenant


def answers(tenant: Tenant, sender: str, recipient: str, ip: str = "203.0.113.10") -> list[str]:
    return [text[:11] for text in mail_rules.recipient_refusals(tenant, Source(ip), sender, recipient)]


@pytest.mark.parametrize(
    ("domain", "sender", "found"),
    [
        ({"MatchSubDomains": True}, "a@ci.contoso.com", []),
        ({"MatchSubDomains": True}, "a@x.ci.contoso.com", []),
        ({"MatchSubDomains": False}, "a@ci.contoso.com", ["550 5.7.64 "]),
        ({"MatchSubDomains": True}, "a@ci-contoso.com", ["550 5.7.64 "]),
        ({"SendingFromDomainDisabled": True}, "a@contoso.com", ["550 5.7.1 S"]),
        ({"SendingFromDomainDisabled": True, "MatchSubDomains": True}, "a@ci.contoso.com", ["550 5.7.1 S"]),
        ({}, "a@contoso.com", []),
    ],
)
def test_what_an_accepted_domain_says_of_mail_that_is_relayed(
    domain: dict[str, Any], sender: str, found: list[str]
) -> None:
    tenant = made(AcceptedDomain=[{"DomainName": "contoso.com", **domain}], InboundConnector=[RELAY])
    assert answers(tenant, sender, "b@outside.example") == found


def test_associated_domains_limit_who_uses_a_connector() -> None:
    domains = [{"DomainName": "contoso.com"}, {"DomainName": "fabrikam.com"}]
    tenant = made(AcceptedDomain=domains, InboundConnector=[{**RELAY, "AssociatedAcceptedDomains": ["Contoso.com"]}])
    assert answers(tenant, "a@contoso.com", "b@outside.example") == []
    assert answers(tenant, "a@fabrikam.com", "b@outside.example") == ["550 5.7.64 "]


def test_every_refusal_is_told_in_order() -> None:
    tenant = made(
        AcceptedDomain=[{"DomainName": "contoso.com"}],
        OrganizationConfig=[{"RejectDirectSend": True}],
        HostedConnectionFilterPolicy=[{"Name": "Default", "IPBlockList": ["203.0.113.10"]}],
    )
    assert answers(tenant, "a@contoso.com", "nobody@contoso.com") == ["550 5.7.513", "550 5.7.68 ", "550 5.4.1 R"]


@pytest.mark.parametrize(
    ("value", "action", "kind", "held"),
    [
        ("a@contoso.com", "Block", "Sender", True),
        ("contoso.com", "Block", "Sender", True),
        ("*.com", "Block", "Sender", True),
        ("sub.contoso.com", "Block", "Sender", False),
        ("a@contoso.com", "Allow", "Sender", False),
        ("contoso.com", "Block", "Url", False),
    ],
)
def test_a_blocked_sender_s_mail_is_quarantined(value: str, action: str, kind: str, held: bool) -> None:
    tenant = made(TenantAllowBlockListItems=[{"Value": value, "Action": action, "ListType": kind}])
    assert mail_rules.quarantined(tenant, "a@contoso.com") is held


def test_mail_in_quarantine_was_accepted(tenant: LocalTenant) -> None:
    entry = {"Value": "*.quarantined.example", "Action": "Block", "ListType": "Sender"}
    load(tenant, objects={"TenantAllowBlockListItems": [entry]})
    assert relay(tenant, STRANGER, "anna@contoso.com", "a@quarantined.example") == ""
    assert tenant.control("GET", "/mail")[-1]["recipients"] == {"anna@contoso.com": "quarantine"}
