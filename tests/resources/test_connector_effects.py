"""What a change of an inbound connector does to sending paths, judged on the whole objects."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.mailflow import effects as effects_of
from provisioner.model import Effect
from provisioner.resources.inbound_connector import InboundConnector, InboundConnectorType
from provisioner.resources.outbound_connector import OutboundConnector, OutboundConnectorType

TYPE = InboundConnectorType()
RELAY = InboundConnector(
    "hq",
    type="on_premises",
    enabled=True,
    sender_ip_addresses=frozenset({"52.202.8.0/28"}),
    sender_domains=frozenset({"*"}),
    require_tls=True,
)
FILTER = dataclasses.replace(RELAY, type="partner", restrict_domains_to_ip_addresses=True, require_tls=False)
TLS = InboundConnector(
    "bank", type="partner", enabled=True, sender_domains=frozenset({"bank.example"}), require_tls=True
)
OPENS, CLOSES, BOTH, NOTHING = {Effect.OPENS}, {Effect.CLOSES}, {Effect.OPENS, Effect.CLOSES}, set[Effect]()


def changed(connector: InboundConnector, **values: object) -> InboundConnector:
    return dataclasses.replace(connector, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "effects"),
    [
        (None, RELAY, OPENS),
        (RELAY, None, CLOSES),
        (None, changed(RELAY, enabled=False), NOTHING),
        (changed(RELAY, enabled=False), None, NOTHING),
        (changed(RELAY, enabled=False), RELAY, OPENS),
        (RELAY, changed(RELAY, enabled=False), CLOSES),
        (RELAY, changed(RELAY, comment="new"), NOTHING),
        # Sources: a part of a network is less than the network.
        (RELAY, changed(RELAY, sender_ip_addresses=frozenset({"52.202.8.0/29"})), CLOSES),
        (changed(RELAY, sender_ip_addresses=frozenset({"52.202.8.5/32"})), RELAY, OPENS),
        (RELAY, changed(RELAY, sender_ip_addresses=frozenset({"8.8.8.8/32"})), BOTH),
        (RELAY, changed(RELAY, sender_ip_addresses=frozenset()), CLOSES),
        (RELAY, changed(RELAY, tls_sender_certificate_name="mail.contoso.com"), OPENS),
        (
            changed(RELAY, tls_sender_certificate_name="*.contoso.com"),
            changed(RELAY, tls_sender_certificate_name="mail.contoso.com"),
            CLOSES,
        ),
        # Associated domains: none means all.
        (RELAY, changed(RELAY, associated_accepted_domains=frozenset({"contoso.com"})), CLOSES),
        (changed(RELAY, associated_accepted_domains=frozenset({"contoso.com"})), RELAY, OPENS),
        (RELAY, changed(RELAY, require_tls=False), OPENS),
        (RELAY, changed(RELAY, treat_messages_as_internal=True), OPENS),
        (RELAY, changed(RELAY, ef_skip_ips=frozenset({"8.8.8.8/32"})), OPENS),
        (RELAY, changed(RELAY, type="partner"), CLOSES),
        # Partners: a restriction refuses all other mail of the sender domains.
        (None, FILTER, CLOSES),
        (FILTER, None, OPENS),
        (None, changed(FILTER, enabled=False), NOTHING),
        (changed(FILTER, enabled=False), None, NOTHING),
        (changed(FILTER, enabled=False), FILTER, CLOSES),
        (FILTER, changed(FILTER, sender_ip_addresses=frozenset({"52.202.8.0/29"})), CLOSES),
        (FILTER, changed(FILTER, sender_ip_addresses=frozenset({"52.202.8.0/27"})), OPENS),
        (FILTER, changed(FILTER, sender_domains=frozenset({"contoso.com"})), OPENS),
        (FILTER, changed(FILTER, restrict_domains_to_certificate=True, tls_sender_certificate_name="a.b"), CLOSES),
        (FILTER, changed(FILTER, restrict_domains_to_ip_addresses=False), OPENS),
        (None, TLS, CLOSES),
        (TLS, changed(TLS, sender_domains=frozenset({"bank.example", "fund.example"})), CLOSES),
        # A wildcard means a domain and all subdomains (New-InboundConnector, -SenderDomains).
        (TLS, changed(TLS, sender_domains=frozenset({"*.bank.example"})), CLOSES),
        (changed(TLS, sender_domains=frozenset({"*.bank.example"})), TLS, OPENS),
        (TLS, changed(TLS, sender_domains=frozenset({"fund.example"})), BOTH),
        (TLS, changed(TLS, require_tls=False), OPENS),
    ],
)  # fmt: skip
def test_a_change_opens_and_closes(
    before: InboundConnector | None, after: InboundConnector | None, effects: set[Effect]
) -> None:
    assert effects_of(TYPE, before, after) == effects


@pytest.mark.parametrize(
    ("before", "after", "guarded"),
    [
        (None, FILTER, True),
        (changed(FILTER, enabled=False), FILTER, True),
        (FILTER, changed(FILTER, sender_ip_addresses=frozenset({"52.202.8.0/29"})), True),
        (None, changed(FILTER, restrict_domains_to_ip_addresses=False, restrict_domains_to_certificate=True), True),
        (FILTER, FILTER, False),
        (FILTER, None, False),
        (None, changed(FILTER, enabled=False), False),
        (None, RELAY, False),
        (None, TLS, False),
    ],
)
def test_only_a_restriction_that_refuses_more_is_guarded(
    before: InboundConnector | None, after: InboundConnector | None, guarded: bool
) -> None:
    found = list(TYPE.guards(before, after))
    assert [g.rule for g in found] == (["PARTNER-RESTRICTS"] if guarded else [])
    assert all("550 5.7.51" in g.summary for g in found)


def test_a_connector_is_in_force_unless_the_tenant_has_it_disabled_against_the_plan() -> None:
    off = changed(RELAY, enabled=False)
    assert TYPE.in_force(changed(RELAY, enabled=None), off) == "the connector is disabled in the tenant"
    assert TYPE.in_force(off, off) == ""
    assert TYPE.in_force(RELAY, RELAY) == ""


@pytest.mark.parametrize(
    ("before", "after", "left"), [(False, None, True), (False, True, False), (True, None, False), (None, None, False)]
)
@pytest.mark.parametrize(("kind", "spec"), [(TYPE, RELAY), (OutboundConnectorType(), OutboundConnector("to-bank"))])
def test_a_connector_that_is_off_stays_so_where_the_plan_does_not_write_it(
    kind: Any, spec: Any, before: bool | None, after: bool | None, left: bool
) -> None:
    one, other = (dataclasses.replace(spec, enabled=enabled) for enabled in (before, after))
    assert kind.leaves_off(one, other) is left


EMPTY: frozenset[str] = frozenset()
BY_NAME = changed(RELAY, sender_ip_addresses=EMPTY, tls_sender_certificate_name="mail.contoso.com")


@pytest.mark.parametrize(
    ("before", "after", "stopped"),
    [
        (RELAY, changed(RELAY, sender_ip_addresses=EMPTY), True),
        (BY_NAME, changed(BY_NAME, tls_sender_certificate_name=""), True),
        (RELAY, BY_NAME, False),
        (changed(BY_NAME, sender_ip_addresses=frozenset({"52.202.8.1/32"})), BY_NAME, False),
        (RELAY, changed(RELAY, sender_ip_addresses=EMPTY, enabled=False), False),
        (RELAY, None, False),
        (None, changed(RELAY, sender_ip_addresses=EMPTY), False),
        (changed(RELAY, sender_ip_addresses=EMPTY), changed(RELAY, sender_ip_addresses=EMPTY, comment="x"), False),
        (changed(RELAY, enabled=False), changed(RELAY, enabled=False, sender_ip_addresses=EMPTY), False),
        (changed(RELAY, type="partner"), changed(RELAY, type="partner", sender_ip_addresses=EMPTY), False),
    ],
)
def test_a_relay_that_loses_its_last_source_is_a_danger(
    before: InboundConnector | None, after: InboundConnector | None, stopped: bool
) -> None:
    assert ("CONNECTOR-EMPTIED" in {guard.rule for guard in TYPE.guards(before, after)}) is stopped


@pytest.mark.parametrize(
    ("connector", "rules"),
    [
        (InboundConnector("a", sender_ip_addresses=frozenset({"52.202.8.1/32"})), {"CONNECTOR-TYPE-MISSING"}),
        (InboundConnector("a", tls_sender_certificate_name="mail.contoso.com"), {"CONNECTOR-TYPE-MISSING"}),
        (InboundConnector("a", type="partner", sender_ip_addresses=frozenset({"52.202.8.1/32"})), set()),
        (InboundConnector("a", comment="only a note is managed"), set()),
        (InboundConnector("a", type="on_premises"), {"CONNECTOR-WITHOUT-SENDERS"}),
        (InboundConnector("a", type="on_premises", sender_ip_addresses=EMPTY), {"CONNECTOR-WITHOUT-SENDERS"}),
        (InboundConnector("a", type="on_premises", enabled=False), set()),
        (InboundConnector("a", type="on_premises", tls_sender_certificate_name="mail.contoso.com"), set()),
        (RELAY, set()),
    ],
)
def test_a_plan_that_leaves_out_what_a_relay_needs_is_told(connector: InboundConnector, rules: set[str]) -> None:
    assert {advice.rule for advice in TYPE.lint(connector)} == rules


def test_the_cost_of_a_stored_sender_domain_changes_nothing() -> None:
    """Exchange stores `smtp:contoso.com;5`: the cost is of routing, the domain is the same."""
    partner = InboundConnector("bank", type="partner", enabled=True, require_tls=True)
    plain, costly, wild = (
        TYPE.contribution(dataclasses.replace(partner, sender_domains=frozenset({domain})))
        for domain in ("contoso.com", "smtp:contoso.com;5", "smtp:*.contoso.com;5")
    )
    assert costly == plain
    assert wild == TYPE.contribution(dataclasses.replace(partner, sender_domains=frozenset({"*.contoso.com"})))
