"""Aliases in From, and recipients in domains of the tenant that take no mail, or perhaps none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioner.mailflow import Attempt, decide
from provisioner.mailflow.describing import described
from provisioner.model import Address
from provisioner.model.picture import Acceptance, FromAlias, Picture, Rejection, SignIn

ERP, ALIAS = "erp@contoso.com", "billing@contoso.com"
ORGANIZATION = Address("organization", "settings")
SIGNED = Attempt(ALIAS, external=True, authentication="oauth", mailbox=ERP, application=True)
DIRECT = Attempt("x@elsewhere.example", external=False, network="198.51.100.5/32")
MAILBOX: dict[Address, Any] = {Address("smtp_auth", ERP): (SignIn(ERP, "enabled", frozenset({ERP, ALIAS})),)}


@pytest.mark.parametrize(
    ("setting", "attempt", "open_"),
    [
        ((FromAlias(False),), SIGNED, True),
        ((), SIGNED, True),
        ((FromAlias(True),), SIGNED, False),
        ((FromAlias(False),), replace(SIGNED, sender=ERP), False),
        ((FromAlias(False),), replace(SIGNED, sender=""), False),
        ((FromAlias(False),), replace(SIGNED, sender="bills@contoso.com"), False),
        ((FromAlias(False),), replace(SIGNED, hve=True), False),
    ],
    ids=str,
)
def test_an_alias_is_taken_and_may_be_rewritten(setting: Any, attempt: Attempt, open_: bool) -> None:
    found = decide(Picture({**MAILBOX, ORGANIZATION: setting}), attempt)
    assert ("from_rewritten" in found.possible) is open_
    assert ("stays in From" in found.warning) is open_
    assert "from_rewritten" not in found.certain


def domains(**flags: Any) -> Picture:
    own = Acceptance("contoso.com", "authoritative", False, **flags)
    return Picture({
        Address("domain", "contoso.com"): (own,),
        Address("domain", "fabrikam.com"): (Acceptance("fabrikam.com"),),
        ORGANIZATION: (Rejection(False),),
    })  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "recipient", "decided"),
    [
        ({"receiving": False}, "contoso.com", (False, {"recipient_blocked"}, set())),
        ({"receiving": False}, "fabrikam.com", (True, set(), set())),
        ({"receiving": False}, "", (True, set(), {"recipient_blocked"})),
        ({"receiving": True}, "contoso.com", (True, set(), set())),
        ({"outbound_only": True}, "contoso.com", (None, set(), {"recipient_outbound_only"})),
        ({"outbound_only": True}, "fabrikam.com", (True, set(), set())),
        ({"outbound_only": True}, "", (True, set(), {"recipient_outbound_only"})),
    ],
    ids=str,
)
def test_the_domain_of_the_recipient_decides(flags: Any, recipient: str, decided: Any) -> None:
    found = decide(domains(**flags), replace(DIRECT, recipient_domain=recipient))
    assert (found.allowed, set(found.certain), set(found.doubtful)) == decided
    assert decide(domains(**flags), replace(DIRECT, external=True)).possible == ()


def test_a_domain_that_is_not_of_the_tenant_is_known_to_be_none_of_it() -> None:
    attempt, word = replace(DIRECT, recipient_domain="elsewhere.example"), "whether mail to elsewhere.example is taken"
    assert word not in decide(domains(), attempt).missing
    unread = replace(domains(), unread={Acceptance: "forbidden"})
    assert word in decide(unread, attempt).missing
    lacks = replace(unread, lacking={Acceptance: frozenset({"elsewhere.example"})})
    assert word not in decide(lacks, attempt).missing


def test_a_subdomain_is_that_of_the_nearest_domain_above() -> None:
    below = Picture({
        Address("domain", "contoso.com"): (Acceptance("contoso.com", None, True, receiving=False),),
        ORGANIZATION: (Rejection(False),),
    })  # fmt: skip
    there = replace(DIRECT, recipient_domain="a.contoso.com")
    assert decide(below, there).reason == "recipient_blocked"
    assert decide(below, replace(DIRECT, recipient_domain="")).reason == "recipient_blocked", "there is no other domain"


def test_what_was_not_read_is_open() -> None:
    unread = Picture({ORGANIZATION: (Rejection(False),)}, {Acceptance: "no role"})
    found = decide(unread, replace(DIRECT, recipient_domain="contoso.com"))
    assert found.missing[-1] == "whether mail to contoso.com is taken"
    assert found.doubtful >= {"recipient_blocked", "recipient_outbound_only"}
    assert not decide(unread, DIRECT).doubtful & {"recipient_blocked"}, "nobody is named"
    mailbox = decide(Picture({ORGANIZATION: ()}, {SignIn: "no role"}), SIGNED)
    assert "from_rewritten" in mailbox.possible


def test_the_setting_in_words() -> None:
    assert [described((FromAlias(kept),)) for kept in (True, False)] == [
        "keeps aliases in From",
        "may rewrite aliases in From",
    ]
