"""The phrases for what an object does to mail."""

from __future__ import annotations

import pytest

from provisioner import mailflow
from provisioner.mailflow import described
from provisioner.model.picture import (
    ADDRESS,
    NONE,
    ORGANIZATION,
    TLS,
    Acceptance,
    Account,
    AddressFilter,
    AppRole,
    Contributions,
    Doubt,
    Exemption,
    HighVolume,
    LegacyTls,
    MailRule,
    PasswordPolicy,
    PolicyOf,
    Privilege,
    Rejection,
    Relay,
    Restriction,
    Route,
    SendRight,
    Signature,
    SignIn,
)

NETWORKS = frozenset({"198.51.100.7/32", "198.51.100.8/32", "203.0.113.0/24", "203.0.114.0/24"})
BANK = frozenset({"bank.example"})


@pytest.mark.parametrize(
    ("contributions", "words"),
    [
        ((), "without effect on mail"),
        ((Relay(NETWORKS),), "relay to any recipient for 198.51.100.7, 198.51.100.8, 203.0.113.0/24, 203.0.114.0/24"),
        (
            (Relay(NONE, "*.contoso.com", associated=frozenset({"contoso.com"}), clear_text=True),),
            "relay to any recipient for certificate *.contoso.com, for mail of contoso.com, TLS not required",
        ),
        ((Relay(),), "relay to any recipient for no source"),
        (
            (Exemption(BANK, "mail.bank.example", BANK), Restriction(BANK, TLS, frozenset({TLS}))),
            "partner connector for mail of bank.example from bank.example or certificate mail.bank.example; "
            "refuses mail of bank.example without TLS",
        ),
        ((Restriction(BANK, ADDRESS, NONE),), "refuses mail of bank.example without address none"),
        (
            (Privilege("ef_users", BANK), Privilege("treat_messages_as_internal")),
            "ef_users bank.example; treat_messages_as_internal",
        ),
        ((HighVolume("news@contoso.com", True),), "sends as news@contoso.com through High Volume Email"),
        (
            (HighVolume("news@contoso.com", False),),
            "sends as news@contoso.com through High Volume Email without a valid billing policy",
        ),
        ((MailRule("x", "rejects", scl=-1),), "rejects mail"),
        (
            (MailRule("x", "redirects", stops=True, scl=5),),
            "redirects mail and sets the SCL of mail to 5 and ends the processing of rules",
        ),
        ((MailRule("x", tls=True),), "requires TLS for mail to external recipients"),
        ((MailRule("x", connector="out"),), "routes its mail"),
        ((SignIn("erp@contoso.com", "disabled"),), "SMTP AUTH disabled"),
        ((SignIn(ORGANIZATION, "enabled"),), "SMTP AUTH enabled for the organization"),
        ((Route(BANK, frozenset({"mx.bank.example"})),), "routes mail for bank.example to mx.bank.example"),
        ((Route(),), "routes mail for no domain"),
        ((Signature("contoso.com"),), "signs mail with DKIM"),
        (
            (AddressFilter(frozenset({"192.0.2.5/32"}), frozenset({"198.51.100.0/24"})),),
            "does not filter mail from 192.0.2.5, refuses mail from 198.51.100.0/24",
        ),
        ((AddressFilter(),), "filters mail from any address"),
        ((Acceptance("contoso.com"), Account("erp@contoso.com")), "accepted domain; mailbox"),
        ((Rejection(True),), "rejects direct send"),
        ((LegacyTls(True),), "accepts client submission over TLS 1.0 and 1.1"),
        ((LegacyTls(False),), "refuses client submission over TLS 1.0 and 1.1"),
        ((SendRight("a@contoso.com", "b@contoso.com"),), "a@contoso.com may send as b@contoso.com"),
        ((Doubt("ConnectorType was not returned"),), "ConnectorType was not returned"),
        ((PasswordPolicy("devices", True),), "passwords for SMTP allowed"),
        ((PasswordPolicy("devices"),), "an authentication policy"),
        (
            (PolicyOf("erp@contoso.com", "devices", False),),
            'authentication policy "devices" (passwords for SMTP blocked)',
        ),
        ((PolicyOf("erp@contoso.com", ""),), "no authentication policy"),
        ((AppRole("a1", "Mail.Send", BANK),), "the application a1 has Mail.Send for bank.example"),
        (
            (AppRole("a1", "Mail.Send", BANK, "a group"),),
            "the application a1 has Mail.Send for bank.example, a group",
        ),
    ],
)
def test_each_contribution_has_its_phrase(contributions: Contributions, words: str) -> None:
    assert described(contributions) == words


def test_every_name_that_the_package_offers_exists() -> None:
    assert [name for name in mailflow.__all__ if not hasattr(mailflow, name)] == []
    assert mailflow.__all__ == sorted(mailflow.__all__)
