"""What the sandbox answers although no source decides it, in its own words."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox import mail_rules
from provisioner.sandbox.flow_rules import Message
from provisioner.sandbox.mail_rules import Source
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant
from provisioner.sandbox.undecided import FROM_ALIAS, OUTBOUND_ONLY, of_message

ERP, ALIAS, DESK = "erp@contoso.com", "billing@contoso.com", "desk@fabrikam.com"


def tenant(alias: bool = False, **domain: Any) -> Tenant:
    objects = {
        "AcceptedDomain": [{"DomainName": "contoso.com"}, {"DomainName": "fabrikam.com", **domain}],
        "OrganizationConfig": [{"SendFromAliasEnabled": alias}],
    }
    found = Tenant()
    mailboxes: list[Any] = [{"address": ERP, "aliases": [ALIAS]}, DESK]
    found.merge(load_seed({"sandbox": 1, "mailboxes": mailboxes, "objects": objects}))
    return found


@pytest.mark.parametrize(
    ("author", "login", "kept", "what"),
    [
        (ALIAS, ERP, False, [FROM_ALIAS]),
        (ALIAS, ERP, True, []),
        (ERP, ERP, False, []),
        (ALIAS.upper(), ERP, False, [FROM_ALIAS]),
        (ALIAS, "", False, []),
        (DESK, ERP, False, []),
    ],
)
def test_an_alias_in_from_of_a_signed_in_mailbox(author: str, login: str, kept: bool, what: list[str]) -> None:
    assert list(of_message(tenant(kept), Message(ERP, author, "b@outside.example"), login)) == what


def test_a_recipient_in_a_domain_of_systems_on_premises() -> None:
    message = Message(ERP, ERP, DESK, Source("198.51.100.7"))
    assert list(of_message(tenant(OutboundOnly=True), message)) == [OUTBOUND_ONLY]
    assert list(of_message(tenant(), message)) == []


def test_a_domain_to_which_nothing_may_be_sent_takes_nothing() -> None:
    closed, source = tenant(SendingToDomainDisabled=True), Source("198.51.100.7")
    refusals = mail_rules.recipient_refusals(closed, source, "a@outside.example", DESK)
    assert list(refusals) == [mail_rules.RECIPIENT_DISABLED]
    assert list(mail_rules.recipient_refusals(closed, source, "a@outside.example", ERP)) == []
