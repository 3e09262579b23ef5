"""What the connection filter and the Tenant Allow/Block List do to an attempt."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.mailflow import Attempt, Decision, decide
from provisioner.model import Address, Answer, Unknown, request_key
from provisioner.model.picture import Acceptance, AddressFilter, Picture, Rejection, Relay, SignIn
from provisioner.resources.rows import allow_block_list, connection_filter

FILTER, SENDERS = request_key(connection_filter.REQUEST), request_key(allow_block_list.REQUEST)
DIRECT = Attempt("scan@contoso.com", external=False, network="198.51.100.5/32")
RELAY = Address("inbound_connector", "hq")


def tenant(rejects: bool = False, relay: bool = False) -> Picture:
    objects: dict[Address, Any] = {
        Address("domain", "contoso.com"): (Acceptance("contoso.com"),),
        Address("organization", "settings"): (Rejection(rejects),),
    }
    if relay:
        objects[RELAY] = (Relay(frozenset({"198.51.100.0/28"}), clear_text=True),)
    return Picture(objects)


def lists(blocked: list[str], allowed: list[str] | None = None) -> dict[str, Answer | Unknown]:
    return {FILTER: Answer(({"IPBlockList": blocked, "IPAllowList": allowed or []},))}


BLOCKED = Decision(
    False,
    "direct_send",
    (),
    "ip_blocked",
    "550 5.7.513",
    "the connection filter refuses mail from 198.51.100.5 (IPBlockList)",
    hint="remove the address from IPBlockList of the connection filter policy",
)


def test_mail_from_a_blocked_address_is_refused() -> None:
    assert decide(tenant(), DIRECT, lists(["198.51.100.0/24"])) == BLOCKED
    assert decide(tenant(), DIRECT, lists(["198.51.100.6"])) == Decision(True, "direct_send")
    by_connector = decide(tenant(relay=True), DIRECT, lists(["198.51.100.5"]))
    assert by_connector == dataclasses.replace(BLOCKED, path="smtp_relay")


def test_a_declared_filter_counts_as_it_will_be_and_not_as_it_was_read() -> None:
    address = Address("connection_filter", "default")
    will = {**tenant().objects, address: (AddressFilter(refused=frozenset({"198.51.100.4/31"})),)}
    assert decide(Picture(will), DIRECT, lists([])) == dataclasses.replace(BLOCKED, by=(address,))
    freed = {**tenant().objects, address: (AddressFilter(),)}
    assert decide(Picture(freed), DIRECT, lists(["198.51.100.5"])) == Decision(True, "direct_send")


def test_other_refusals_are_named_besides() -> None:
    assert decide(tenant(rejects=True), DIRECT, lists(["198.51.100.5"])) == dataclasses.replace(
        BLOCKED, others=("direct_send_rejected",)
    )


def test_whether_relayed_mail_is_blocked_no_source_says() -> None:
    out = dataclasses.replace(DIRECT, external=True)
    assert decide(tenant(relay=True), out, lists(["198.51.100.0/28"])) == Decision(
        None,
        "smtp_relay",
        (),
        "ip_blocked",
        "",
        "IPBlockList of the connection filter holds 198.51.100.5",
        ("whether IPBlockList holds for mail that is relayed to other organizations",),
    )
    assert decide(tenant(), out, lists(["198.51.100.0/28"])).certain == {"no_connector"}


@pytest.mark.parametrize(
    ("blocked", "allowed", "network", "refused"),
    [
        (["198.51.100.5"], ["198.51.100.5"], "198.51.100.5/32", False),
        (["198.51.100.0/24"], ["198.51.100.4/30"], "198.51.100.5/32", False),
        (["198.51.100.0/24"], ["198.51.100.4/31", "198.51.100.6/31"], "198.51.100.4/30", False),
        (["198.51.100.0/24"], ["198.51.100.4/31"], "198.51.100.4/30", True),
        (["198.51.100.0/24"], ["198.51.100.5"], "198.51.100.4/32", True),
        (["198.51.100.1-198.51.100.9"], [], "198.51.100.9/32", True),
        (["198.51.100.1 - 198.51.100.9"], [], "198.51.100.10/32", False),
        # One address of the network is enough: part of its mail is refused.
        (["198.51.100.7"], [], "198.51.100.0/28", True),
        ([], [], "198.51.100.0/28", False),
    ],
)
def test_the_allow_list_wins_over_the_block_list(
    blocked: list[str], allowed: list[str], network: str, refused: bool
) -> None:
    attempt = dataclasses.replace(DIRECT, network=network)
    assert ("ip_blocked" in decide(tenant(), attempt, lists(blocked, allowed)).certain) is refused


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        (Unknown("forbidden", "permission"), "the connection filter (forbidden)"),
        (Answer(({"IPBlockList": []},)), "the connection filter (the answer does not hold its lists)"),
        (Answer(), "the connection filter (the answer does not hold its lists)"),
        (
            Answer(({"IPBlockList": [{"x": 1}], "IPAllowList": []},)),
            "the connection filter (IPBlockList holds dict, which is not text)",
        ),
    ],
)
def test_lists_that_could_not_be_read_leave_the_decision_open(answer: Answer | Unknown, missing: str) -> None:
    found = decide(tenant(), DIRECT, {FILTER: answer})
    assert found == Decision(None, "direct_send", missing=(missing,), possible=("ip_blocked",))
    odd = decide(tenant(), DIRECT, {SENDERS: Answer(({"Value": 1},))})
    assert odd.missing == ("the Tenant Allow/Block List (a row has no Value or no Action)",)
    assert odd.possible == ("sender_blocked",)


def test_an_unknown_address_may_be_blocked_where_any_is() -> None:
    attempt = dataclasses.replace(DIRECT, network="")
    missing = "whether IPBlockList holds the address that the mail comes from"
    assert decide(tenant(), attempt, lists(["198.51.100.5"])) == Decision(
        None, "direct_send", missing=(missing,), possible=("ip_blocked",)
    )
    assert decide(tenant(), attempt, lists([])).allowed is True


@pytest.mark.parametrize(
    ("value", "action", "sender", "entry"),
    [
        ("scan@contoso.com", "Block", "scan@contoso.com", "scan@contoso.com"),
        ("Contoso.com", "block", "scan@contoso.com", "contoso.com"),
        ("contoso.com", "Block", "scan@sub.contoso.com", ""),
        ("*.contoso.com", "Block", "scan@sub.contoso.com", "*.contoso.com"),
        ("*.contoso.com", "Block", "scan@contoso.com", "*.contoso.com"),
        ("*.com", "Block", "scan@contoso.com", "*.com"),
        ("*.ntoso.com", "Block", "scan@contoso.com", ""),
        ("contoso.com", "Allow", "scan@contoso.com", ""),
        ("contoso.com", "Block", "", ""),
    ],
)
def test_mail_of_a_blocked_sender_is_quarantined(value: str, action: str, sender: str, entry: str) -> None:
    evidence = {SENDERS: Answer(({"Value": value, "Action": action},))}
    found = decide(tenant(), dataclasses.replace(DIRECT, sender=sender), evidence)
    if not entry:
        assert found.allowed is True
        return
    assert found == Decision(
        False,
        "direct_send",
        (),
        "sender_blocked",
        "",
        f"mail from {sender} is quarantined: the Tenant Allow/Block List blocks {entry}",
        hint="remove the block entry for the sender",
    )


def test_the_list_is_of_mail_to_the_tenant_whoever_signs_in() -> None:
    evidence = {SENDERS: Answer(({"Value": "contoso.com", "Action": "Block"},))}
    switch = {Address("smtp_auth", "scan@contoso.com"): (SignIn("scan@contoso.com", "enabled"),)}
    signed_in = dataclasses.replace(DIRECT, authentication="oauth", mailbox="scan@contoso.com")
    assert decide(Picture(switch), signed_in, evidence).reason == "sender_blocked"
    assert decide(Picture(switch), dataclasses.replace(signed_in, external=True), evidence).allowed is True
    assert decide(tenant(relay=True), dataclasses.replace(DIRECT, external=True), evidence).allowed is True


def test_what_was_not_asked_for_decides_nothing() -> None:
    assert decide(tenant(), DIRECT, {}) == decide(tenant(), DIRECT) == Decision(True, "direct_send")


def test_requests_name_the_columns_that_are_read() -> None:
    assert connection_filter.REQUEST.columns == {"Name", "IPAllowList", "IPBlockList"}
    assert allow_block_list.REQUEST.parameters == {"ListType": "Sender"}
    assert allow_block_list.REQUEST.columns == {"Value", "Action"}
