"""A resource type that the tool does not know gets the same consequences, order and findings as an inbound connector.

What protects the user asks the type; nothing outside of it knows it by its class.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from provisioner import engine
from provisioner.changes import ordering, planning
from provisioner.diagnostics import Severity
from provisioner.mail_dns.dialogue import DnsAnswer, Status
from provisioner.model import (
    Absent,
    Action,
    Address,
    Answer,
    ChangeSet,
    Cmdlet,
    Declared,
    Desired,
    DnsQuery,
    GraphRequest,
    Guard,
    Observed,
    Parameter,
    Present,
    Query,
    Resource,
    Rule,
    Send,
    Step,
)
from provisioner.model.devices import Choice, Device
from provisioner.model.picture import Contribution, Contributions, Relay
from provisioner.resources import TYPES
from provisioner.resources.base import BaseType
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.tenant.ports import Ports
from tests.clocks import TurnClock


@dataclass(frozen=True, slots=True)
class Gateway:
    """Its fields are called otherwise than a connector's."""

    name: str
    admits: frozenset[str] | None = None
    running: bool | None = None


class GatewayType(BaseType):
    name: ClassVar[str] = "gateway"
    section: ClassVar[str] = "gateways"
    section_type: ClassVar[Any] = dict[str, Any]
    spec: ClassVar[type[Gateway]] = Gateway
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Relay,)
    rules: ClassVar[tuple[Rule, ...]] = (Rule("GATEWAY-WIDE", Severity.ERROR, "apply", "A gateway admits a network."),)

    def declare(self, section: Mapping[str, Any], _owner: str, /) -> Iterable[Declared]:
        return ()

    def queries(self, wanted: Mapping[str, Gateway | None], _everything: bool, /) -> Sequence[Query]:
        return (Query(Cmdlet("Get-Gateway"), frozenset(wanted)),)

    def decode(
        self, wanted: Mapping[str, Gateway | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, Gateway]:
        rows = [row for _, answer in answers for row in answer.rows]
        return {r["Name"]: Gateway(r["Name"], frozenset(r["Admits"]), r["Running"]) for r in rows}

    def steps(self, before: Gateway | None, after: Gateway | None) -> Sequence[Step]:
        if after is None:
            return (Send(Cmdlet("Remove-Gateway", {"Name": before.name if before else ""})),)
        parameters: dict[str, Parameter] = {"Name": after.name, "Admits": tuple(sorted(after.admits or ()))}
        return (Send(Cmdlet("Set-Gateway" if before else "New-Gateway", parameters)),)

    def written_form(self, spec: Gateway) -> tuple[tuple[str, ...], Any] | None:
        return (spec.name,), {}

    def contribution(self, spec: Gateway) -> Contributions:
        return () if spec.running is False else (Relay(spec.admits or frozenset()),)

    def guards(self, _before: Gateway | None, after: Gateway | None, /) -> Iterable[Guard]:
        if after and any(not network.endswith("/32") for network in after.admits or ()):
            yield Guard("GATEWAY-WIDE", "it admits a network", "name the addresses")

    def in_force(self, _wanted: Gateway, live: Gateway, /) -> str:
        return "the gateway does not run" if live.running is False else ""


KINDS = (*TYPES, GatewayType())
ONE, TWO = frozenset({"9.8.8.1/32"}), frozenset({"9.8.8.1/32", "9.8.8.2/32"})


def made(kind: str, name: str, sources: frozenset[str], enabled: bool | None = True) -> Any:
    if kind == "gateway":
        return Gateway(name, sources, enabled)
    return InboundConnector(
        name, type="on_premises", enabled=enabled, sender_ip_addresses=sources, sender_domains=frozenset({"*"})
    )


def planned(kind: str, live: Any | None, wanted: Any | None, **rest: Any) -> ChangeSet:
    address = Address(kind, "g")
    resources = {address: Resource(address, wanted)} if wanted else {}
    desired = Desired("contoso.onmicrosoft.com", "", resources, absent={} if wanted else {address: None}, **rest)
    observed = Observed({address: Present(live) if live else Absent()})
    return planning.plan(desired, observed, KINDS)


@pytest.mark.parametrize("kind", ["gateway", "inbound_connector"])
@pytest.mark.parametrize(
    ("before", "after", "consequences"),
    [
        (None, (ONE, True), ("widens exposure",)),
        ((ONE, True), (TWO, True), ("widens exposure",)),
        ((TWO, True), (ONE, True), ("can stop mail",)),
        ((ONE, True), (ONE, False), ("can stop mail",)),
        ((ONE, False), (ONE, True), ("widens exposure",)),
        ((ONE, True), None, ("deletes", "can stop mail")),
        ((ONE, False), None, ("deletes",)),
    ],
)
def test_what_a_change_opens_and_closes_is_computed(
    kind: str,
    before: tuple[frozenset[str], bool] | None,
    after: tuple[frozenset[str], bool] | None,
    consequences: tuple[str, ...],
) -> None:
    live, wanted = (made(kind, "g", *state) if state else None for state in (before, after))
    (change,) = planned(kind, live, wanted).pending
    assert change.consequences == consequences
    closing = consequences != ("widens exposure",)
    assert ordering.stages([change]) == {change.address: ordering.Stage.CLOSING if closing else ordering.Stage.FREE}


def test_a_rule_that_only_the_type_knows_stops_apply() -> None:
    found = planned("gateway", None, Gateway("g", frozenset({"9.8.8.0/24"})))
    assert [(f.rule, f.blocks, f.summary) for f in found.findings] == [
        ("GATEWAY-WIDE", "apply", 'gateway["g"]: it admits a network')
    ]
    assert not found.applyable


@pytest.mark.parametrize("kind", ["gateway", "inbound_connector"])
def test_a_device_that_it_let_in_is_named(kind: str) -> None:
    device = Device(
        "mfp", "mfp@contoso.com", "anyone", "1.2", frozenset(), "", sender_ip_addresses=ONE, method="smtp_relay"
    )
    choices = {"mfp": Choice("smtp_relay", "none", (), {})}
    found = planned(kind, made(kind, "g", TWO), None, devices={"mfp": device}, choices=choices)
    (lost,) = [f for f in found.findings if f.rule == "DEVICE-LOSES-WAY"]
    assert lost.address == Address(kind, "g")


# --- applying --------------------------------------------------------------------------------------------------------


@dataclass
class Tenant:
    """Gateways by name, and the organization's switch. A gateway that is created does not run where `idle` is set."""

    gateways: dict[str, dict[str, Any]]
    idle: bool = False
    disabled: bool = False
    transport = "rest"
    log: list[str] = field(default_factory=list)

    async def run(self, cmdlet: Cmdlet) -> Answer:
        p = cmdlet.parameters
        if not cmdlet.reads:
            self.log.append(cmdlet.name)
        match cmdlet.name:
            case "Get-Gateway":
                return Answer(tuple(self.gateways.values()))
            case "New-Gateway":
                self.gateways[str(p["Name"])] = {"Name": p["Name"], "Admits": p["Admits"], "Running": not self.idle}
            case "Remove-Gateway":
                del self.gateways[str(p["Name"])]
            case "Get-TransportConfig":
                return Answer(({"SmtpClientAuthenticationDisabled": self.disabled},))
            case "Set-TransportConfig":
                self.disabled = True
            case other:
                raise AssertionError(other)
        return Answer()

    async def send(self, request: GraphRequest) -> Answer:
        raise AssertionError(request)

    async def query(self, query: DnsQuery) -> Answer:
        raise AssertionError(query)

    async def look_up(self, query: DnsQuery) -> DnsAnswer:
        return DnsAnswer(Status.ROWS)


def carried_out(tenant: Tenant) -> dict[str, str]:
    """A gateway is replaced by another, and SMTP AUTH goes off for the organization: open, then close."""
    (switch,) = next(t for t in TYPES if t.name == "smtp_auth").declare({"organization": "disabled"}, "")
    new = Address("gateway", "new")
    resources = {
        new: Resource(new, Gateway("new", ONE)),
        Address("smtp_auth", switch.key): Resource(Address("smtp_auth", switch.key), switch.spec),
    }
    wanted = Desired("contoso.onmicrosoft.com", "", resources, absent={Address("gateway", "old"): None})
    ports = Ports(tenant, tenant, tenant)
    found = planning.plan(wanted, asyncio.run(engine.read(wanted, KINDS, ports)), KINDS)
    assert next(c.action for c in found.pending) is Action.CREATE
    outcome = asyncio.run(engine.apply(found, KINDS, ports, confirm_s=0.2, clock=TurnClock()))
    return {r.address.key: r.status for r in outcome.results}


def test_what_closes_waits_until_a_new_gateway_is_in_force() -> None:
    old = {"old": {"Name": "old", "Admits": ["9.8.8.1/32"], "Running": True}}
    idle = Tenant(dict(old), idle=True)
    assert carried_out(idle) == {"new": "unconfirmed", "old": "held_back", "organization": "held_back"}
    assert (sorted(idle.gateways), idle.disabled) == (["new", "old"], False)
    running = Tenant(dict(old))
    assert carried_out(running) == {"new": "done", "old": "done", "organization": "done"}
    assert running.log[0] == "New-Gateway"
    assert (sorted(running.gateways), running.disabled) == (["new"], True)
