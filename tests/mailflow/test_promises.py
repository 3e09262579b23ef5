"""What declared objects promise to senders, and what of it is not in force, by what the tenant has."""

from __future__ import annotations

import dataclasses

from provisioner.mailflow.promises import exceeds, gains, lacking, loses, promised, restrictions
from provisioner.mailflow.senders import EVERYONE, NOBODY, Group
from provisioner.resources.dkim import Dkim, DkimType
from provisioner.resources.inbound_connector import InboundConnector, InboundConnectorType
from provisioner.resources.organization import Organization, OrganizationType
from provisioner.resources.smtp_auth import ORGANIZATION, SmtpAuth, SmtpAuthType
from provisioner.resources.transport_config import TransportConfig, TransportConfigType

NET, OTHER = frozenset({"52.202.8.0/24"}), frozenset({"8.8.8.8/32"})
FROM_NET, FROM_OTHER = frozenset({Group(networks=NET)}), frozenset({Group(networks=OTHER)})
CONNECTOR, SWITCH, DIRECT, DKIM = InboundConnectorType(), SmtpAuthType(), OrganizationType(), DkimType()
LEGACY = TransportConfigType()

WANTED = InboundConnector("hq", type="on_premises", sender_ip_addresses=NET)
LIVE = dataclasses.replace(CONNECTOR.completed(WANTED), require_tls=False)


def test_a_connector_that_is_not_there_lacks_all_that_it_promises() -> None:
    assert lacking(CONNECTOR, WANTED, None) == FROM_NET
    assert promised(CONNECTOR, WANTED, None) == FROM_NET | {EVERYONE}, "nobody has read what it may lift"


def test_a_connector_as_declared_lacks_nothing() -> None:
    assert lacking(CONNECTOR, WANTED, LIVE) == NOBODY
    assert promised(CONNECTOR, WANTED, LIVE) == FROM_NET


def test_a_connector_lacks_the_addresses_that_it_has_not_yet() -> None:
    more = dataclasses.replace(WANTED, sender_ip_addresses=NET | OTHER)
    assert lacking(CONNECTOR, more, LIVE) == FROM_OTHER
    assert promised(CONNECTOR, more, LIVE) == frozenset({Group(networks=NET | OTHER)}) | FROM_OTHER


def test_a_connector_has_more_than_it_promises() -> None:
    assert lacking(CONNECTOR, WANTED, dataclasses.replace(LIVE, sender_ip_addresses=NET | OTHER)) == NOBODY


def test_a_connector_that_the_tenant_keeps_disabled_lacks_all() -> None:
    """Where the plan writes the addresses or leaves them alone."""
    disabled = dataclasses.replace(LIVE, enabled=False)
    assert lacking(CONNECTOR, WANTED, disabled) == FROM_NET
    assert lacking(CONNECTOR, InboundConnector("hq", comment="third floor"), disabled) == FROM_NET


def test_a_connector_that_is_meant_to_be_off_promises_nothing() -> None:
    off = dataclasses.replace(WANTED, enabled=False)
    assert lacking(CONNECTOR, off, dataclasses.replace(LIVE, enabled=False)) == NOBODY
    assert promised(CONNECTOR, off, dataclasses.replace(LIVE, enabled=False)) == NOBODY


def test_an_object_without_effect_that_contributes_nothing_known_is_missed_by_everyone() -> None:
    class Odd(InboundConnectorType):
        def contribution(self, spec: InboundConnector) -> tuple[()]:
            return ()

    assert lacking(Odd(), WANTED, dataclasses.replace(LIVE, enabled=False)) == {EVERYONE}


def test_a_restricting_partner_promises_its_sources_the_exemption() -> None:
    partner = InboundConnector("filter", type="partner", sender_domains=frozenset({"*"}), sender_ip_addresses=NET,
                               restrict_domains_to_ip_addresses=True, require_tls=False)  # fmt: skip
    assert lacking(CONNECTOR, partner, None) == FROM_NET
    assert loses(CONNECTOR, None, CONNECTOR.completed(partner)) == {EVERYONE}


def test_a_lifted_restriction_is_a_promise() -> None:
    restricts = InboundConnector("filter", type="partner", sender_domains=frozenset({"bank.example"}),
                                 sender_ip_addresses=NET, restrict_domains_to_ip_addresses=True,
                                 require_tls=False, enabled=True)  # fmt: skip
    lifted = InboundConnector("filter", restrict_domains_to_ip_addresses=False)
    assert lacking(CONNECTOR, lifted, restricts) == {Group(domains=frozenset({"bank.example"}))}
    assert Group(domains=frozenset({"bank.example"})) in promised(CONNECTOR, lifted, restricts)


def test_switches_promise_their_mailbox_or_everyone() -> None:
    erp = frozenset({Group(frozenset({"erp@contoso.com"}))})
    on, inherits = SmtpAuth("erp@contoso.com", "enabled"), SmtpAuth("erp@contoso.com", "inherit")
    assert lacking(SWITCH, on, inherits) == erp
    assert promised(SWITCH, on, on) == erp
    assert promised(SWITCH, SmtpAuth("erp@contoso.com", "disabled"), inherits) == NOBODY
    assert lacking(SWITCH, SmtpAuth(ORGANIZATION, "enabled"), SmtpAuth(ORGANIZATION, "disabled")) == {EVERYONE}
    assert loses(SWITCH, on, inherits) == gains(SWITCH, inherits, on) == erp


def test_signing_promises_nobody_anything() -> None:
    wanted = Dkim("contoso.com", enabled=True)
    assert promised(DKIM, wanted, None) == lacking(DKIM, wanted, None) == gains(DKIM, None, wanted) == NOBODY
    assert loses(DKIM, wanted, Dkim("contoso.com", enabled=False)) == {Group(domains=frozenset({"contoso.com"}))}


def test_the_rejection_of_direct_send_takes_from_everyone() -> None:
    assert loses(DIRECT, Organization("settings", False), Organization("settings", True)) == {EVERYONE}
    assert promised(DIRECT, Organization("settings", True), None) == NOBODY


def test_legacy_tls_is_a_promise_that_what_closes_waits_for() -> None:
    allowed, default = (TransportConfig("settings", value) for value in ("enabled", "default"))
    assert lacking(LEGACY, allowed, default) == gains(LEGACY, default, allowed) == {EVERYONE}
    assert lacking(LEGACY, allowed, allowed) == promised(LEGACY, default, default) == NOBODY
    assert loses(LEGACY, allowed, default) == {EVERYONE}


def test_a_deletion_takes_what_the_object_gives_and_from_anyone_where_that_is_not_known() -> None:
    assert loses(CONNECTOR, LIVE, None) == FROM_NET
    assert loses(CONNECTOR, dataclasses.replace(LIVE, enabled=False), None) == {EVERYONE}
    assert loses(CONNECTOR, LIVE, dataclasses.replace(LIVE, comment="x")) == NOBODY


def partner(name: str, addresses: frozenset[str] = NET) -> InboundConnector:
    return InboundConnector(name, type="partner", sender_domains=frozenset({"*"}), sender_ip_addresses=addresses,
                            restrict_domains_to_ip_addresses=True, require_tls=False, enabled=True)  # fmt: skip


def test_what_another_object_refuses_is_nobody_s_loss_and_nobody_s_promise() -> None:
    """A filter's connector under a new name: its sources are exempted, and nobody else gains or loses."""
    old, new = partner("old"), partner("new")
    assert restrictions(CONNECTOR, LIVE) == ()
    around_new, around_old = restrictions(CONNECTOR, old), restrictions(CONNECTOR, new)
    assert loses(CONNECTOR, None, new) == {EVERYONE}
    assert loses(CONNECTOR, None, new, around_new) == NOBODY
    assert gains(CONNECTOR, None, new, around_new) == lacking(CONNECTOR, new, None, around_new) == FROM_NET
    assert gains(CONNECTOR, old, None) == {EVERYONE}
    assert gains(CONNECTOR, old, None, around_old) == promised(CONNECTOR, None, old, around_old) == NOBODY
    assert loses(CONNECTOR, old, None, around_old) == FROM_NET


def test_a_narrower_restriction_beside_another_takes_from_its_other_sources() -> None:
    wide = restrictions(CONNECTOR, partner("wide", NET | OTHER))
    assert loses(CONNECTOR, None, partner("new"), wide) == FROM_OTHER


def test_what_is_to_go_lacks_what_its_end_lifts() -> None:
    assert lacking(CONNECTOR, None, partner("old")) == promised(CONNECTOR, None, partner("old")) == {EVERYONE}
    assert lacking(CONNECTOR, None, LIVE) == lacking(CONNECTOR, None, None) == NOBODY


def test_between_two_connectors_nobody_is_let_in_whom_neither_lets_in() -> None:
    other, both = (dataclasses.replace(LIVE, sender_ip_addresses=nets) for nets in (OTHER, NET | OTHER))
    assert not exceeds(CONNECTOR, both, LIVE, other)
    assert exceeds(CONNECTOR, both, LIVE, dataclasses.replace(other, type="partner"))
    wide, narrow = partner("filter", NET | OTHER), partner("filter", OTHER)
    assert not exceeds(CONNECTOR, wide, partner("filter"), narrow), "what is refused less lets in nobody new"
