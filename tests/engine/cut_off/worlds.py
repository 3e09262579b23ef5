"""A generated tenant with a plan for it: connectors, switches, rights, a device that moves."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from provisioner.diagnostics import InputError
from provisioner.mailflow.senders import Sender, sender_of
from provisioner.model import Desired
from provisioner.plan import document
from provisioner.resources import TYPES
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant
from tests.engine.cut_off import topics
from tests.engine.cut_off.attempts import Ways
from tests.engine.cut_off.topics import BOXES, INSIDE, NETWORKS, OUTSIDE, Draft
from tests.engine.lifecycle.port import Service, born, kept
from tests.engine.lifecycle.scenes import EVERY_GUARD

OWNER = "contoso/mail"
MARK = f"[provisioner: {OWNER}]"
DOMAINS = ("contoso.com", "fabrikam.com")
PARTNERS = ("bank.example", "*.bank.example", "fund.example")
CERTIFICATES = ("mail.contoso.com", "*.fabrikam.com", "gw.fabrikam.com", "mail2.contoso.com")
Commands = Sequence[tuple[str, Mapping[str, Any]]]

_SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com", "display_name": "Contoso"},
    "objects": {
        "AcceptedDomain": [
            {"DomainName": "contoso.onmicrosoft.com", "InitialDomain": True},
            {"DomainName": "contoso.com", "Default": True},
            {"DomainName": "fabrikam.com", "DomainType": "InternalRelay", "MatchSubDomains": True},
            *({"DomainName": name} for name in CERTIFICATES if not name.startswith("*")),
        ],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
        **topics.SEED,
    },
    "mailboxes": [{"address": box} for box in BOXES],
    "apps": [*topics.APPS],
}


@dataclass(frozen=True, slots=True)
class World:
    """`before` is what an administrator ran, `known` the devices that the journal of earlier runs would name.

    `known` is None where there is no such journal. `connectors` are those of before and after as the plan and the
    commands write them, for those who send through them. `moving` are senders with several ways of which the world's
    topic is about some; mail goes to `recipients`.
    """

    number: int
    desired: Desired
    before: Commands
    known: Sequence[Sender] | None
    devices: Sequence[Sender]
    connectors: Sequence[Mapping[str, Any]]
    moving: Sequence[Ways] = ()
    recipients: Sequence[str] = (INSIDE, OUTSIDE)
    topic: str = ""

    @property
    def name(self) -> str:
        return f"world {self.number}" + (f" of {self.topic}" if self.topic else "")

    def service(self) -> Service:
        """The tenant as it begins, anew each time."""
        service = born(_dump(), self.number)
        for name, parameters in self.before:
            service.administrate(name, parameters)
        return service


@cache
def _dump() -> bytes:
    tenant = Tenant()
    tenant.merge(load_seed(_SEED))
    return kept(tenant)


def world(number: int, folder: Path, topic: str = "") -> World | None:
    """The world of this number about a topic, the same every time; None where its plan is not one."""
    choose = random.Random(f"cut off {topic} {number}" if topic else f"cut off {number}")
    was, will = _connectors(choose, (0, 1, 2) if topic else (1, 2, 3, 4))
    plan, before = _switches(choose)
    plan["inbound_connectors"] = will
    device = _device(choose, plan)
    before += [("New-InboundConnector", _row(name, body)) for name, body in was.items()]
    draft = Draft(plan, before)
    for one in topics.of(choose, topic) if topic else ():
        one(choose, draft)
    desired = _loaded(draft.plan, folder)
    if desired is None:
        return None
    devices = [sender_of(d, desired.sites.get(d.site or "")) for d in desired.devices.values()] if device else []
    known = choose.random() < 0.7
    connectors = [*was.values(), *will.values()]
    moving = list(_moving(choose, draft, connectors)) if topic else []
    senders = [*devices, *(sender for sender, _ in moving)]
    ways = [ways for _, ways in moving]
    all_of_it = (number, desired, draft.before, senders if known else None, devices, connectors)
    return World(*all_of_it, ways, draft.recipients, topic)


def _loaded(plan: Mapping[str, Any], folder: Path) -> Desired | None:
    path = folder / "plan.yaml"
    path.write_text(json.dumps({"provisioner": 1, "tenant": "contoso.onmicrosoft.com", "owner": OWNER, **plan}))
    try:
        return document.load(path, TYPES, today=dt.date(2026, 11, 23), waivers=EVERY_GUARD)[0]
    except InputError:
        return None


def _moving(
    choose: random.Random, draft: Draft, connectors: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Sender, Ways]]:
    """Senders who have some of the doors of the topics, of the connectors and of the mailboxes."""
    for body in connectors:
        for network in body["sender_ip_addresses"]:
            draft.brings(network)
        if name := body.get("tls_sender_certificate_name"):
            draft.brings("203.0.113.78", certificate=name.replace("*", "any"))
    for box in BOXES[:2]:
        draft.signs_in(box)
    doors = list(dict.fromkeys(draft.doors))
    return (topics.mover(choose, n, doors) for n in range(40))


# --- connectors ------------------------------------------------------------------------------------------------------


def _connectors(choose: random.Random, counts: Sequence[int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The connectors that the tenant has and those that the plan wants, by name."""
    was, will = {}, {}
    for name in (f"c{n}" for n in range(choose.choice(counts))):
        one, other = _connector(choose), _connector(choose)
        shape = choose.choice(("new", "gone", "same", "changed", "changed", "changed", "other"))
        if shape != "new":
            was[name] = one
        if shape != "gone":
            will[name] = one if shape == "same" else other if shape != "changed" else _changed(choose, one)
    if len(was) > 1 and choose.random() < 0.3:
        _exchange(choose, was, will)
    return was, will


def _connector(choose: random.Random) -> dict[str, Any]:
    partner = choose.random() < 0.35
    networks = sorted(choose.sample(NETWORKS, choose.choice((0, 1, 1, 2))))
    body: dict[str, Any] = {
        "type": "partner" if partner else "on_premises",
        "sender_ip_addresses": networks,
        "sender_domains": [choose.choice(("*", *PARTNERS))] if partner else ["*"],
        "require_tls": choose.random() < 0.4,
        "enabled": choose.random() < 0.9,
    }
    if choose.random() < 0.35 or not networks:
        body |= {"tls_sender_certificate_name": choose.choice(CERTIFICATES), "require_tls": True}
    if partner and networks and choose.random() < 0.5:
        body["restrict_domains_to_ip_addresses"] = True
    elif partner and "tls_sender_certificate_name" in body and choose.random() < 0.3:
        body["restrict_domains_to_certificate"] = True
    return body


def _changed(choose: random.Random, body: Mapping[str, Any]) -> dict[str, Any]:
    """The same connector with one or two values of another."""
    other = _connector(choose)
    names = choose.sample(sorted(other), 2)
    changed = {**body, **{name: other[name] for name in names if name != "type"}}
    if choose.random() < 0.5:
        changed["sender_ip_addresses"] = sorted(choose.sample(NETWORKS, choose.choice((1, 2, 3))))
    return changed


def _exchange(choose: random.Random, was: Mapping[str, Any], will: dict[str, Any]) -> None:
    """Two connectors get each other's sources."""
    one, other = choose.sample(sorted(was), 2)
    sources = ("sender_ip_addresses", "tls_sender_certificate_name")
    for name, giver in ((one, other), (other, one)):
        will[name] = {**was[name], **{s: was[giver].get(s, "" if s.startswith("tls") else []) for s in sources}}


def _row(name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of New for the connector as it is before."""
    columns = {
        "sender_ip_addresses": "SenderIPAddresses",
        "sender_domains": "SenderDomains",
        "require_tls": "RequireTls",
        "enabled": "Enabled",
        "tls_sender_certificate_name": "TlsSenderCertificateName",
        "restrict_domains_to_ip_addresses": "RestrictDomainsToIPAddresses",
        "restrict_domains_to_certificate": "RestrictDomainsToCertificate",
    }
    kind = "Partner" if body["type"] == "partner" else "OnPremises"
    written = {columns[n]: value for n, value in body.items() if n in columns and value not in ([], "")}
    return {"Name": name, "ConnectorType": kind, "Comment": MARK, **written}


# --- switches, rights, a device --------------------------------------------------------------------------------------


def _switches(choose: random.Random) -> tuple[dict[str, Any], list[tuple[str, Mapping[str, Any]]]]:
    words: dict[bool | None, str] = {True: "disabled", False: "enabled", None: "inherit"}
    switch, off, rejects = "SmtpClientAuthenticationDisabled", choose.random() < 0.4, choose.random() < 0.3
    before: list[tuple[str, Mapping[str, Any]]] = [("Set-TransportConfig", {switch: off})]
    before.append(("Set-OrganizationConfig", {"RejectDirectSend": rejects}))
    mailboxes = {}
    for box in BOXES:
        was = choose.choice((True, False, False, None))
        before.append(("Set-CASMailbox", {"Identity": box, switch: was}))
        if choose.random() < 0.6:
            mailboxes[box] = words[choose.choice((True, False, None))]
    plan: dict[str, Any] = {"smtp_auth": {"mailboxes": mailboxes}}
    if choose.random() < 0.6:
        plan["smtp_auth"]["organization"] = choose.choice(("disabled", "disabled", "enabled"))
    if choose.random() < 0.6:
        plan["organization"] = {"reject_direct_send": choose.random() < 0.7}
    right = {"Identity": BOXES[0], "Trustee": BOXES[1], "AccessRights": ["SendAs"], "Confirm": False}
    fate = choose.choice(("granted", "revoked", "", ""))
    if fate == "revoked":
        before.append(("Add-RecipientPermission", right))
        plan["absent"] = [f"send_as/{BOXES[1]} as {BOXES[0]}"]
    elif fate == "granted":
        plan["send_as"] = {BOXES[1]: [BOXES[0]]}
    return plan, before


def _device(choose: random.Random, plan: dict[str, Any]) -> bool:
    """A scanner that signs in today and is to relay from its site, or the other way round."""
    if choose.random() < 0.5:
        return False
    box = choose.choice(BOXES)
    plan["sites"] = {"hq": {"egress_ip_addresses": [choose.choice(NETWORKS)]}}
    relays = choose.random() < 0.7
    plan["devices"] = {
        "scanner": {
            "site": "hq",
            "from": box,
            "recipients": "anyone",
            "mailbox": box,
            "method": "smtp_relay" if relays else "client_submission",
            "supports": {"tls": "1.2", "authentication": ["basic"]},
        }
    }
    plan["smtp_auth"]["mailboxes"].pop(box, None)
    if relays:
        plan["smtp_auth"]["mailboxes"][box] = "disabled"
    return True


# --- everybody who may send ------------------------------------------------------------------------------------------


def networks(found: World) -> Iterator[str]:
    for body in found.connectors:
        yield from body["sender_ip_addresses"]
    for device in found.devices:
        yield from device.networks


def certificates(found: World) -> Iterator[str]:
    for body in found.connectors:
        name = body.get("tls_sender_certificate_name")
        if name:
            yield name.replace("*", "any")
            yield name.removeprefix("*.")
