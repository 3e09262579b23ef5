"""What a change of an outbound connector does to mail that leaves, judged on the whole objects."""

from __future__ import annotations

import dataclasses

import pytest

from provisioner.mailflow import effects as effects_of
from provisioner.model import Effect
from provisioner.resources.outbound_connector import OutboundConnector, OutboundConnectorType

TYPE = OutboundConnectorType()
TO_HOST = OutboundConnector(
    "gateway",
    type="partner",
    enabled=True,
    recipient_domains=frozenset({"bank.example"}),
    smart_hosts=frozenset({"mx.bank.example"}),
    tls="opportunistic",
)
BY_MX = dataclasses.replace(TO_HOST, smart_hosts=frozenset())
FORCED = dataclasses.replace(BY_MX, tls="encryption_only")
RULE = dataclasses.replace(TO_HOST, recipient_domains=frozenset(), is_transport_rule_scoped=True)
OPENS, CLOSES, BOTH, NOTHING = {Effect.OPENS}, {Effect.CLOSES}, {Effect.OPENS, Effect.CLOSES}, set[Effect]()


def changed(connector: OutboundConnector, **values: object) -> OutboundConnector:
    return dataclasses.replace(connector, **values)  # type: ignore[arg-type]


def domains(*names: str) -> frozenset[str]:
    return frozenset(names)


@pytest.mark.parametrize(
    ("before", "after", "effects"),
    [
        # Smart hosts are given mail that would go elsewhere.
        (None, TO_HOST, OPENS),
        (TO_HOST, None, CLOSES),
        (None, changed(TO_HOST, enabled=None), OPENS),
        (None, changed(TO_HOST, enabled=False), NOTHING),
        (changed(TO_HOST, enabled=False), None, NOTHING),
        (changed(TO_HOST, enabled=False), TO_HOST, OPENS),
        (TO_HOST, changed(TO_HOST, enabled=False), CLOSES),
        (TO_HOST, changed(TO_HOST, comment="new"), NOTHING),
        (TO_HOST, changed(TO_HOST, smart_hosts=domains("other.example")), BOTH),
        (TO_HOST, changed(TO_HOST, smart_hosts=domains("mx.bank.example", "b.example")), OPENS),
        (TO_HOST, changed(TO_HOST, recipient_domains=domains("*.bank.example")), BOTH),
        (TO_HOST, changed(TO_HOST, recipient_domains=domains("*")), OPENS),
        (TO_HOST, changed(TO_HOST, all_accepted_domains=True), OPENS),
        (changed(TO_HOST, recipient_domains=domains("*")), TO_HOST, CLOSES),
        (TO_HOST, changed(TO_HOST, route_all_messages_via_on_premises=True), OPENS),
        (TO_HOST, RULE, BOTH),
        (TO_HOST, BY_MX, CLOSES),
        (BY_MX, TO_HOST, OPENS),
        # Without hosts and demands a connector changes nothing of how mail goes.
        (None, BY_MX, NOTHING),
        (BY_MX, None, NOTHING),
        (BY_MX, changed(BY_MX, recipient_domains=domains("*")), NOTHING),
        # Demands hold back what went without them.
        (None, FORCED, CLOSES),
        (FORCED, None, OPENS),
        (BY_MX, FORCED, CLOSES),
        (FORCED, changed(FORCED, tls="opportunistic"), OPENS),
        (FORCED, changed(FORCED, tls="certificate_validation"), CLOSES),
        (FORCED, changed(FORCED, recipient_domains=domains("bank.example", "b.example")), CLOSES),
        (changed(FORCED, recipient_domains=domains("*")), FORCED, OPENS),
        (
            changed(FORCED, tls="domain_validation", tls_domain="a.bank.example"),
            changed(FORCED, tls="domain_validation", tls_domain="b.bank.example"),
            BOTH,
        ),
        (BY_MX, changed(BY_MX, smtp_dane_mode="mandatory"), CLOSES),
        (TO_HOST, changed(TO_HOST, tls="certificate_validation"), CLOSES),
        (changed(TO_HOST, tls="certificate_validation"), TO_HOST, OPENS),
        (None, changed(TO_HOST, tls="certificate_validation"), OPENS),
        # Less protection than the service gives without a connector.
        (None, changed(BY_MX, mta_sts_mode="none"), OPENS),
        (changed(BY_MX, smtp_dane_mode="none"), BY_MX, CLOSES),
        (TO_HOST, changed(TO_HOST, cloud_services_mail_enabled=True), OPENS),
    ],
)
def test_effects(before: OutboundConnector | None, after: OutboundConnector | None, effects: set[Effect]) -> None:
    assert effects_of(TYPE, before, after) == effects


ALL = changed(TO_HOST, recipient_domains=domains("*"))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, ALL, "mx.bank.example"),
        (TO_HOST, ALL, "every domain"),
        (changed(ALL, enabled=False), ALL, "mx.bank.example"),
        (changed(BY_MX, recipient_domains=domains("*")), ALL, "mx.bank.example"),
        (ALL, changed(ALL, smart_hosts=domains("other.example")), "other.example"),
        (ALL, changed(ALL, tls="certificate_validation"), "a valid certificate"),
        (None, changed(FORCED, recipient_domains=domains("*")), "TLS"),
        (None, changed(TO_HOST, route_all_messages_via_on_premises=True), "mx.bank.example"),
        (None, TO_HOST, ""),
        (None, changed(ALL, enabled=False), ""),
        (None, changed(BY_MX, recipient_domains=domains("*")), ""),
        (ALL, ALL, ""),
        (ALL, None, ""),
        (ALL, changed(ALL, comment="x"), ""),
        (changed(ALL, tls="certificate_validation"), ALL, ""),
        (None, RULE, ""),
    ],
)
def test_a_connector_that_begins_to_take_all_mail_is_guarded(
    before: OutboundConnector | None, after: OutboundConnector | None, told: str
) -> None:
    found = list(TYPE.guards(before, after))
    assert [guard.rule for guard in found] == (["OUTBOUND-ALL-MAIL"] if told else [])
    assert all(told in guard.summary for guard in found)


def test_a_connector_that_the_plan_does_not_switch_off_is_in_force_while_enabled() -> None:
    off = changed(TO_HOST, enabled=False)
    assert TYPE.in_force(OutboundConnector("gateway"), off) == "the connector is disabled in the tenant"
    assert TYPE.in_force(OutboundConnector("gateway", enabled=False), off) == ""
    assert TYPE.in_force(OutboundConnector("gateway"), TO_HOST) == ""
