"""Guards ask the resource type, whatever type it is: one that is made up here gets the same as a connector."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from provisioner.changes import planning
from provisioner.diagnostics import Location, Severity
from provisioner.model import (
    Absent,
    Address,
    Answer,
    ChangeSet,
    Cmdlet,
    Declared,
    Desired,
    Guard,
    Observed,
    Present,
    Query,
    Resource,
    Send,
    Step,
    Undeclared,
    request_key,
)
from provisioner.model.picture import Contribution, Contributions, Relay
from provisioner.plan import document
from provisioner.resources import TYPES
from provisioner.resources.base import BaseType
from provisioner.resources.domain import Domain
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.outbound_connector import OutboundConnector
from provisioner.resources.rows import accepted_domain
from provisioner.resources.smtp_auth import SmtpAuth
from provisioner.rules import check, parse_allow, questions


@dataclass(frozen=True, slots=True)
class Gateway:
    """An object of a type that the tool does not know. Its fields are called otherwise than a connector's."""

    name: str
    target: str | None = None
    marked_for: str | None = None
    wizard: bool | None = None


class GatewayType(BaseType):
    name: ClassVar[str] = "gateway"
    section: ClassVar[str] = "gateways"
    section_type: ClassVar[Any] = dict[str, Any]
    spec: ClassVar[type[Gateway]] = Gateway
    creatable: ClassVar[bool] = True
    deletable: ClassVar[bool] = True
    precondition: ClassVar[bool] = False
    marks_ownership: ClassVar[bool] = True
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Relay,)

    def declare(self, section: Mapping[str, Any], owner: str) -> Iterable[Declared]:
        return (
            Declared(name, Gateway(name, marked_for=owner or None, **body), (name,)) for name, body in section.items()
        )

    def exclusive(self, section: Mapping[str, Any]) -> bool:
        return False

    def queries(self, wanted: Mapping[str, Gateway | None], everything: bool) -> Sequence[Query]:
        return ()

    def decode(
        self, wanted: Mapping[str, Gateway | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, Gateway]:
        return {}

    def undeclared(self, observed: Gateway, owner: str, exclusive: bool) -> Undeclared:
        return Undeclared.KEEP

    def owner_of(self, spec: Gateway) -> str:
        return spec.marked_for or ""

    def made_by(self, spec: Gateway) -> str:
        return "hybrid_wizard" if spec.wizard else ""

    def steps(self, before: Gateway | None, after: Gateway | None) -> Sequence[Step]:
        return (Send(Cmdlet("Set-Gateway", {"Target": after.target if after else None})),)

    def completed(self, spec: Gateway) -> Gateway:
        return spec

    def needs(self, spec: Gateway) -> Sequence[Address]:
        return ()

    def written_form(self, spec: Gateway) -> tuple[tuple[str, ...], Any] | None:
        return (spec.name,), {}

    def contribution(self, spec: Gateway) -> Contributions:
        return (Relay(certificate=spec.target or "", domains=frozenset({spec.target or "*"})),)

    def guards(self, before: Gateway | None, after: Gateway | None) -> Iterable[Guard]:
        return ()

    def in_force(self, wanted: Gateway, live: Gateway) -> str:
        return ""


KINDS = (*TYPES, GatewayType())
WANTED = {
    "gateway": Gateway("g", target="b.example"),
    "inbound_connector": InboundConnector("g", sender_domains=frozenset({"b.example"})),
    "outbound_connector": OutboundConnector("g", recipient_domains=frozenset({"b.example"})),
}


def there(kind: str, owner: str | None, wizard: bool | None) -> Any:
    if kind == "gateway":
        return Gateway("g", target="a.example", marked_for=owner, wizard=wizard)
    source = "hybrid_wizard" if wizard else "default"
    if kind == "outbound_connector":
        return OutboundConnector("g", recipient_domains=frozenset({"a.example"}), owner=owner, source=source)
    return InboundConnector("g", sender_domains=frozenset({"a.example"}), owner=owner, source=source)


def planned(kind: str, live: Any, *allows: str, tombstone: bool = False) -> ChangeSet:
    address = Address(kind, "g")
    absent: dict[Address, Location | None] = {address: None} if tombstone else {}
    resources = {} if tombstone else {address: Resource(address, WANTED[kind])}
    desired = Desired("contoso.onmicrosoft.com", "mail/prod", resources, absent=absent)
    waivers = [parse_allow(text) for text in allows]
    return planning.plan(desired, Observed({address: Present(live)}), KINDS, waivers=waivers)


def told(found: ChangeSet) -> list[tuple[str, str]]:
    return [(finding.rule, finding.blocks) for finding in found.findings]


@pytest.mark.parametrize("kind", sorted(WANTED))
@pytest.mark.parametrize("tombstone", [False, True])
def test_what_another_plan_has_marked_is_guarded(kind: str, tombstone: bool) -> None:
    found = planned(kind, there(kind, "other/plan", None), tombstone=tombstone)
    assert told(found) == [("OWNER-FOREIGN", "apply")]
    assert '"other/plan"' in found.findings[0].summary
    assert not found.applyable
    assert planned(kind, there(kind, "other/plan", None), f"OWNER-FOREIGN:{kind}/g", tombstone=tombstone).applyable
    for owner in ("mail/prod", "", None):
        assert told(planned(kind, there(kind, owner, None), tombstone=tombstone)) == []


@pytest.mark.parametrize("kind", sorted(WANTED))
@pytest.mark.parametrize("tombstone", [False, True])
def test_what_the_hybrid_wizard_made_is_guarded(kind: str, tombstone: bool) -> None:
    found = planned(kind, there(kind, None, True), tombstone=tombstone)
    assert told(found) == [("HYBRID-CONNECTOR", "apply")]
    assert not found.applyable
    assert planned(kind, there(kind, None, True), f"HYBRID-CONNECTOR:{kind}/g", tombstone=tombstone).applyable


@pytest.mark.parametrize("kind", sorted(WANTED))
def test_both_guards_stand_side_by_side(kind: str) -> None:
    found = planned(kind, there(kind, "other/plan", True))
    assert {rule for rule, _ in told(found)} == {"OWNER-FOREIGN", "HYBRID-CONNECTOR"}
    assert not planned(kind, there(kind, "other/plan", True), "OWNER-FOREIGN").applyable


# --- advice ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "wanted", "live", "rule", "severity"),
    [
        # What would stop a change is a warning where it is so already: nothing is changed.
        (
            Address("smtp_auth", "organization"),
            SmtpAuth("organization", "enabled"),
            SmtpAuth("organization", "enabled"),
            "SMTP-TENANT-WIDE",
            Severity.WARNING,
        ),
        (
            Address("domain", "contoso.com"),
            Domain("contoso.com", accepted=True),
            Domain("contoso.com", accepted=True, sending_disabled=True),
            "DOMAIN-SENDING-DISABLED",
            Severity.WARNING,
        ),
    ],
)
def test_advice_never_blocks_and_keeps_its_severity_below_an_error(
    address: Address, wanted: Any, live: Any, rule: str, severity: Severity
) -> None:
    desired = Desired("contoso", "us", {address: Resource(address, wanted)})
    types = {t.name: t for t in TYPES}
    found = [f for f in check(desired, Observed({address: Present(live)}), (), types) if f.rule == rule]
    assert [(f.severity, f.blocks, f.address) for f in found] == [(severity, "", address)]


# --- domains that a change needs -------------------------------------------------------------------------------------


def _needing(*rows: str, sections: Any, live: Mapping[str, Any] | None = None) -> list[tuple[str, str]]:
    """DOMAIN-NOT-ACCEPTED, by address and advice, in a tenant with these accepted domains."""
    head = {"provisioner": 1, "tenant": "contoso.onmicrosoft.com", "owner": "us", **sections}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "plan.yaml").write_text(json.dumps(head))
        wanted, _ = document.load(Path(folder), TYPES, today=dt.date(2026, 11, 23))
    there = {Address.parse(short): Present(spec) for short, spec in (live or {}).items()}
    answer = Answer(tuple({"DomainName": name, "DomainType": "Authoritative"} for name in rows))
    asked = {request_key(accepted_domain.REQUEST): answer}
    seen = Observed({a: there.get(a, Absent()) for a in wanted.resources}, evidence=asked)
    assert accepted_domain.REQUEST in questions(wanted) or any(a.type == "domain" for a in wanted.resources)
    found = [f for f in planning.plan(wanted, seen, TYPES).findings if f.rule == "DOMAIN-NOT-ACCEPTED"]
    assert all(f.location and f.location == wanted.resources[f.address].location for f in found if f.address)
    return [(str(f.address), f.hint) for f in found]


SIGNING = {"dkim": {"a.contoso.com": {"enabled": False}}}
OWN = {"type": "on_premises", "require_tls": True, "tls_sender_certificate_name": "mail.contoso.com"}
ADD = "add the domain in the Microsoft 365 admin center and verify it, or "


def test_a_domain_that_a_change_needs_is_told_where_the_tenant_does_not_accept_it() -> None:
    assert _needing("fabrikam.com", sections=SIGNING) == [('dkim["a.contoso.com"]', ADD + "correct the name")]
    assert _needing("a.contoso.com", sections=SIGNING) == []
    certificate = {"inbound_connectors": {"own": OWN}}
    told = [('inbound_connector["own"]', ADD + "correct the name")]
    assert _needing("fabrikam.com", sections=certificate) == told
    assert _needing(sections=certificate) == [], "every tenant has one: an answer without any says nothing"


def test_dkim_takes_a_domain_of_its_own_and_a_certificate_one_below_an_accepted_domain() -> None:
    assert len(_needing("contoso.com", sections=SIGNING)) == 1
    assert _needing("contoso.com", sections={"inbound_connectors": {"own": OWN}}) == []
    assert _needing("com.example", sections={"inbound_connectors": {"own": OWN}}) != []


def test_only_what_a_change_needs_of_the_domains_is_one() -> None:
    rules = {"Sign": {"route_message_outbound_connector": "out"}}
    connectors = {"out": {"type": "on_premises", "smart_hosts": ["mx.example.com"]}}
    sections = {**SIGNING, "transport_rules": rules, "outbound_connectors": connectors}
    assert [address for address, _ in _needing("fabrikam.com", sections=sections)] == ['dkim["a.contoso.com"]']


def test_what_the_object_needed_before_and_what_is_declared_is_not_told() -> None:
    live = {"inbound_connector/own": InboundConnector("own", type="on_premises", enabled=True, owner="us",
            tls_sender_certificate_name="mail.contoso.com", require_tls=False)}  # fmt: skip
    assert _needing("fabrikam.com", sections={"inbound_connectors": {"own": OWN}}, live=live) == []
    declared = {"domains": {"a.contoso.com": {"accepted": True}}}
    assert _needing("fabrikam.com", sections={**SIGNING, **declared}) == [], "its precondition says it"


def test_a_certificate_that_only_a_device_names_is_corrected_there() -> None:
    device = {"from": "scan@fabrikam.com", "recipients": "anyone", "certificate": "scan.contoso.com",
              "supports": {"tls": "1.2", "authentication": []}}  # fmt: skip
    told = _needing("fabrikam.com", sections={"devices": {"scan": device}})
    assert told == [('inbound_connector["certificate-scan.contoso.com"]', ADD + "correct certificate of device/scan")]
    told = _needing("fabrikam.com", sections={"devices": {"scan": device, "fax": device}})
    assert [hint for _, hint in told] == [ADD + "correct certificate of device/scan, device/fax"]
