"""Connectors that the plan does not declare: open relays, and those that overlap with the plan's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioner.changes import planning
from provisioner.diagnostics import Location, Severity
from provisioner.model import Absent, Action, Address, Change, Desired, Finding, Observed, Present, Resource
from provisioner.resources import TYPES
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.rules import check_unmanaged

HQ = Address("inbound_connector", "hq")
AT = Location("plan.yaml", 3, 3)


def nets(*texts: str) -> frozenset[str]:
    return frozenset(text if "/" in text else f"{text}/32" for text in texts)


RELAY = InboundConnector(
    "by hand",
    type="on_premises",
    enabled=True,
    require_tls=True,
    sender_domains=frozenset({"*"}),
    sender_ip_addresses=nets("81.2.69.142"),
    associated_accepted_domains=frozenset(),
    owner="",
)
WANTED = InboundConnector("hq", type="on_premises", require_tls=True, sender_ip_addresses=nets("52.202.8.242"))
PARTNER = replace(RELAY, type="partner", restrict_domains_to_ip_addresses=True)
CERTIFICATE = "mail.contoso.com"


def findings(live: InboundConnector, wanted: Any = WANTED, *, there: bool = False, **rest: Any) -> list[Finding]:
    """What is found where the tenant has this connector, and the plan declares another one."""
    desired = Desired("contoso", "", {HQ: Resource(HQ, wanted, AT)}, **rest)
    seen = {HQ: Present(replace(wanted, enabled=True)) if there else Absent()}
    observed = Observed(seen, {Address("inbound_connector", live.name): live})
    found = planning.plan(desired, observed, TYPES).findings
    return [f for f in found if f.rule.startswith("UNMANAGED")]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"require_tls": False}, "for 81.2.69.142 without requiring TLS"),
        ({"require_tls": None, "enabled": None}, "for 81.2.69.142 without requiring TLS"),
        ({"sender_ip_addresses": nets("81.2.69.0/24")}, "for the range 81.2.69.0/24"),
        (
            {"sender_ip_addresses": nets("81.2.69.0/24"), "require_tls": False},
            "for the range 81.2.69.0/24 and without requiring TLS",
        ),
        ({}, None),
        ({"require_tls": False, "enabled": False}, None),
        ({"require_tls": False, "sender_domains": frozenset({"contoso.com"})}, None),
        ({"require_tls": False, "associated_accepted_domains": frozenset({"contoso.com"})}, None),
        ({"require_tls": False, "sender_ip_addresses": frozenset()}, None),
        ({"require_tls": False, "type": "partner"}, None),
    ],
)
def test_a_relay_for_any_sender_is_a_warning(changed: dict[str, Any], words: str | None) -> None:
    found = findings(replace(RELAY, **changed))
    if words is None:
        assert found == []
        return
    (finding,) = found
    assert (finding.rule, finding.severity, finding.blocks) == ("UNMANAGED-RELAY", Severity.WARNING, "")
    assert finding.summary == (
        f'inbound_connector["by hand"] is not declared and relays mail of any sender to any recipient {words}'
    )
    assert "under its name in inbound_connectors" in finding.hint
    assert "provisioner export --target 'inbound_connector/by hand'" in finding.hint
    assert 'list "inbound_connector/by hand" under ignore' in finding.hint


@pytest.mark.parametrize(
    ("live", "wanted", "what"),
    [
        ({}, {"sender_ip_addresses": nets("81.2.69.142", "52.202.8.242")}, "81.2.69.142"),
        ({}, {"sender_ip_addresses": nets("81.2.69.128/27")}, "81.2.69.142"),
        (
            {"sender_ip_addresses": nets("81.2.69.128/27"), "associated_accepted_domains": frozenset({"contoso.com"})},
            {"sender_ip_addresses": nets("81.2.69.142")},
            "81.2.69.142",
        ),
        ({"tls_sender_certificate_name": "*.contoso.com"}, {"tls_sender_certificate_name": CERTIFICATE}, CERTIFICATE),
        ({"tls_sender_certificate_name": CERTIFICATE}, {"tls_sender_certificate_name": CERTIFICATE}, CERTIFICATE),
        ({}, {}, None),
        ({"enabled": False}, {"sender_ip_addresses": nets("81.2.69.142")}, None),
        ({}, {"sender_ip_addresses": nets("81.2.69.142"), "enabled": False}, None),
        (
            {"associated_accepted_domains": frozenset({"contoso.com"})},
            {
                "sender_ip_addresses": nets("81.2.69.142"),
                "associated_accepted_domains": frozenset({"fabrikam.com"}),
            },
            None,
        ),
    ],
)
def test_a_connector_for_a_source_of_the_plan_is_a_warning(
    live: dict[str, Any], wanted: dict[str, Any], what: str | None
) -> None:
    """Whether the plan's connector is still to be created, or is there."""
    for there in (False, True):
        found = findings(replace(RELAY, **live), replace(WANTED, **wanted), there=there)
        if what is None:
            assert found == []
            continue
        (finding,) = found
        assert (finding.rule, finding.severity, finding.blocks) == ("UNMANAGED-OVERLAP", Severity.WARNING, "")
        assert finding.summary == (
            f'inbound_connector["by hand"] is not declared and already accepts mail from {what}, as '
            'inbound_connector["hq"] does in this plan: it is not certain which of them a message matches'
        )
        assert (str(finding.address), finding.location) == ('inbound_connector["by hand"]', AT)


def test_partner_connectors_overlap_where_both_restrict_the_same_domains() -> None:
    bank, shop = (frozenset({name}) for name in ("bank.example", "shop.example"))
    wanted = replace(PARTNER, name="hq", owner=None, sender_domains=bank)
    assert [f.rule for f in findings(replace(PARTNER, sender_domains=bank), wanted)] == ["UNMANAGED-OVERLAP"]
    assert [f.rule for f in findings(PARTNER, wanted)] == ["UNMANAGED-OVERLAP"]
    assert findings(replace(PARTNER, sender_domains=shop), wanted) == []
    unrestricted = replace(PARTNER, sender_domains=bank, restrict_domains_to_ip_addresses=False)
    assert findings(unrestricted, wanted) == [], "without the restriction the addresses do not count"


def test_the_hint_follows_who_made_the_connector() -> None:
    open_relay = replace(RELAY, require_tls=False)
    (wizard,) = findings(replace(open_relay, source="hybrid_wizard"))
    assert "change it with the wizard" in wizard.hint
    assert "inbound_connectors (" not in wizard.hint
    assert "another certificate" not in wizard.hint
    address = nets("81.2.69.142")
    overlap = findings(replace(RELAY, source="hybrid_wizard"), replace(WANTED, sender_ip_addresses=address))[-1]
    assert overlap.hint.startswith("let the devices use another certificate or address, so that hybrid mail goes on")
    (marked,) = findings(replace(open_relay, owner="fax/prod"))
    assert 'it belongs to the plan "fax/prod"' in marked.hint


def test_several_of_the_tenant_are_judged_in_order() -> None:
    names = ["c", "a", "d", "b"]
    live = {Address("inbound_connector", name): replace(RELAY, name=name, require_tls=False) for name in names}
    told = check_unmanaged(live, Desired("contoso", "", {}), (), {t.name: t for t in TYPES})
    assert [f.address and f.address.key for f in told] == sorted(names)


def test_what_is_ignored_is_not_judged() -> None:
    open_relay = replace(RELAY, require_tls=False)
    assert findings(open_relay, ignore=("inbound_connector/by *",)) == []


def test_several_connectors_of_the_plan_are_one_finding() -> None:
    yard = Address("inbound_connector", "yard")
    address = nets("81.2.69.142")
    specs = {HQ: replace(WANTED, sender_ip_addresses=address), yard: replace(WANTED, name="yard")}
    specs[yard] = replace(specs[yard], sender_ip_addresses=address)
    desired = Desired("contoso", "", {a: Resource(a, s) for a, s in specs.items()})
    observed = Observed(dict.fromkeys(specs, Absent()), {Address("inbound_connector", "by hand"): RELAY})
    found = [f for f in planning.plan(desired, observed, TYPES).findings if f.rule == "UNMANAGED-OVERLAP"]
    assert len(found) == 1
    assert 'inbound_connector["hq"], inbound_connector["yard"]' in found[0].summary


def test_only_declared_connectors_count_as_this_plan_s() -> None:
    """A change of what the plan does not declare takes something away: it claims no source."""
    address = Address("inbound_connector", "undeclared")
    change = Change(address, Action.UPDATE, None, replace(RELAY, name="undeclared"))
    declared = Change(HQ, Action.CREATE, None, replace(WANTED, enabled=True))
    desired = Desired("contoso", "", {HQ: Resource(HQ, WANTED, AT)})
    live = {Address("inbound_connector", "by hand"): RELAY}
    kinds = {t.name: t for t in TYPES}
    assert list(check_unmanaged(live, desired, [change, declared], kinds)) == []
    same = replace(declared, after=replace(WANTED, enabled=True, sender_ip_addresses=RELAY.sender_ip_addresses))
    assert [f.rule for f in check_unmanaged(live, desired, [change, same], kinds)] == ["UNMANAGED-OVERLAP"]
