"""A change that opens and closes is sent in two writes where its lists allow it; what opens comes first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from provisioner import mailflow
from provisioner.changes.changeset import step_document
from provisioner.changes.splitting import between, midway, opens_apart, steps_of
from provisioner.model import Action, Address, Change, Cmdlet, Confirm, Effect, Send
from provisioner.resources.inbound_connector import InboundConnector, InboundConnectorType
from provisioner.resources.outbound_connector import OutboundConnector, OutboundConnectorType

KIND, OUTBOUND = InboundConnectorType(), OutboundConnectorType()
ONE, TWO, THREE = "52.202.8.1/32", "52.202.8.2/32", "52.202.8.3/32"
BANK, FUND = "bank.example", "fund.example"


def relay(*addresses: str, **rest: Any) -> InboundConnector:
    fields = {"type": "on_premises", "enabled": True, "require_tls": True, "sender_domains": frozenset({"*"})}
    return InboundConnector("hq", **{**fields, "sender_ip_addresses": frozenset(addresses), **rest})


def partner(*domains: str, addresses: tuple[str, ...] = (ONE,)) -> InboundConnector:
    return InboundConnector("filter", type="partner", enabled=True, sender_domains=frozenset(domains),
                            sender_ip_addresses=frozenset(addresses), restrict_domains_to_ip_addresses=True,
                            require_tls=False)  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "middle"),
    [
        # A list: what both have.
        (relay(ONE), relay(TWO), {"sender_ip_addresses": {ONE, TWO}}),
        (relay(ONE, TWO), relay(TWO, THREE), {"sender_ip_addresses": {ONE, TWO, THREE}}),
        # All else with the first write if it closes nothing, else with the last.
        (relay(ONE), relay(TWO, comment="moved"), {"sender_ip_addresses": {ONE, TWO}, "comment": "moved"}),
        (relay(ONE), relay(TWO, require_tls=False), {"sender_ip_addresses": {ONE, TWO}, "require_tls": False}),
        (relay(ONE, require_tls=False), relay(TWO), {"sender_ip_addresses": {ONE, TWO}}),
        # More sources of a restriction refuse less; more of its domains refuse more, and exempt more of its sources.
        (partner(BANK), partner(BANK, addresses=(TWO,)), {"sender_ip_addresses": {ONE, TWO}}),
        # Nothing to split: it only opens, only closes, or is one value.
        (relay(ONE), relay(ONE, TWO), None),
        (relay(ONE, TWO), relay(ONE), None),
        (relay(ONE), relay(ONE, comment="moved"), None),
        (relay(tls_sender_certificate_name="a.x.com"), relay(tls_sender_certificate_name="b.x.com"), None),
        (partner(BANK), partner(FUND), None),
        # Never may an address of the partner relay in between.
        (relay(ONE), dataclasses.replace(relay(TWO), type="partner"), None),
        (partner(BANK, FUND), partner(FUND, "other.example"), None),
        (None, relay(ONE), None),
        (relay(ONE), None, None),
    ],
)
def test_half_way_a_connector_has_what_opens_and_still_what_closes(
    before: InboundConnector | None, after: InboundConnector | None, middle: Mapping[str, Any] | None
) -> None:
    found = midway(KIND, before, after)
    if middle is None:
        assert found is None
        assert not any(isinstance(step, Confirm) for step in steps_of(KIND, before, after))
        return
    assert before
    assert found == dataclasses.replace(before, **middle)
    assert mailflow.effects(KIND, before, found) == {Effect.OPENS}


@pytest.mark.parametrize(
    ("before", "after", "live", "passing"),
    [
        (relay(ONE), relay(TWO), relay(ONE, TWO), True),
        (relay(ONE), relay(TWO), relay(ONE), True),
        (relay(ONE, TWO), relay(TWO, THREE), relay(TWO), True),
        (relay(ONE, TWO), relay(TWO, THREE), relay(ONE), False),
        (relay(ONE), relay(TWO), relay(THREE), False),
        (relay(ONE, comment="a"), relay(ONE, comment="b"), relay(ONE, comment="c"), False),
        (relay(sender_ip_addresses=None), relay(ONE), relay(TWO), False),
    ],
)
def test_what_lies_between_two_sides_has_what_both_have_and_nothing_that_neither_has(
    before: InboundConnector, after: InboundConnector, live: InboundConnector, passing: bool
) -> None:
    assert between(before, after, live) is passing


def test_the_steps_are_two_writes_with_a_look_between_them() -> None:
    first, confirm, second = steps_of(KIND, relay(ONE), relay(TWO, comment="moved"))
    assert isinstance(first, Send)
    assert isinstance(confirm, Confirm)
    assert isinstance(second, Send)
    both = frozenset({ONE, TWO})
    assert confirm.shows == InboundConnector("hq", sender_ip_addresses=both, comment="moved")
    assert [s.request for s in (first, second)] == [
        Cmdlet("Set-InboundConnector", {"Identity": "hq", "SenderIPAddresses": ("52.202.8.1", "52.202.8.2"),
                                        "Comment": "moved"}),
        Cmdlet("Set-InboundConnector", {"Identity": "hq", "SenderIPAddresses": ("52.202.8.2",)}),
    ]  # fmt: skip
    assert step_document(confirm) == {
        "confirm": {"sender_ip_addresses": [ONE, TWO], "comment": "moved"},
        "read_back": {
            "read": {"cmdlet": "Get-InboundConnector", "parameters": {"Identity": "hq"}},
            "shows": {"Enabled": True, "SenderIPAddresses": ["52.202.8.1", "52.202.8.2"]},
        },
    }


def test_an_outbound_connector_gets_its_new_hosts_before_it_loses_the_old() -> None:
    def to(*hosts: str) -> OutboundConnector:
        return OutboundConnector("bank", type="partner", enabled=True, recipient_domains=frozenset({BANK}),
                                 smart_hosts=frozenset(hosts))  # fmt: skip

    found = midway(OUTBOUND, to("a.example"), to("b.example"))
    assert found == to("a.example", "b.example")


def change(before: InboundConnector, after: InboundConnector, *consequences: str) -> Change:
    steps = steps_of(KIND, before, after)
    address = Address("inbound_connector", before.name)
    return Change(address, Action.UPDATE, before, after, steps, consequences=consequences, observed=before)


@pytest.mark.parametrize(
    ("before", "after", "consequences", "apart"),
    [
        (relay(ONE), relay(ONE, TWO), ("widens exposure",), True),
        (relay(ONE), relay(TWO), ("widens exposure", "can stop mail"), True),
        (relay(ONE), relay(TWO, tls_sender_certificate_name="a.x.com"), ("widens exposure", "can stop mail"), True),
        (relay(tls_sender_certificate_name="a.x.com"), relay(tls_sender_certificate_name="b.x.com"),
         ("widens exposure", "can stop mail"), False),
        (relay(ONE, tls_sender_certificate_name="a.x.com"), relay(TWO, tls_sender_certificate_name="b.x.com"),
         ("widens exposure", "can stop mail"), False),
    ],
)  # fmt: skip
def test_what_opens_is_apart_where_the_last_write_opens_nothing_more(
    before: InboundConnector, after: InboundConnector, consequences: tuple[str, ...], apart: bool
) -> None:
    assert opens_apart(KIND, change(before, after, *consequences)) is apart
