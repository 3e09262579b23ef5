"""Tenants and plans: for each kind of change a generator, and around it what else a tenant and a plan hold.

A piece is one declared object (or one that is to go), with what an administrator did to it before. A scene has the
piece that it is about, up to three more of any kind, and objects of others that no plan declares.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from provisioner.model import Address, Desired, Waiver
from provisioner.plan import document
from provisioner.resources import TYPES
from provisioner.resources.organization import SETTINGS
from provisioner.resources.smtp_auth import ORGANIZATION
from provisioner.rules import RULES
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant
from tests.engine.lifecycle.port import Service, born, kept

OWNER = "contoso/lifecycle"
EVERY_GUARD = tuple(Waiver(rule, reason="a test") for rule in RULES)

_SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com", "display_name": "Contoso"},
    "objects": {
        "AcceptedDomain": [
            {"DomainName": "contoso.onmicrosoft.com", "InitialDomain": True},
            {"DomainName": "contoso.com", "Default": True},
            *({"DomainName": f"sign{n}.example"} for n in range(5)),
        ],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
    },
    "mailboxes": [{"address": f"box{n}@contoso.com"} for n in range(5)]
    + [{"address": f"app{n}@contoso.com"} for n in range(5)],
}

Commands = Sequence[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Piece:
    """`sections` is its part of the plan, `before` what an administrator ran. `signs` is a domain that needs DNS."""

    sections: Mapping[str, Any]
    before: Commands = ()
    signs: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """One generated tenant with its plan. `published` is when DNS gets its records: before, while waiting, after."""

    kind: str
    desired: Desired
    before: Commands
    signs: Sequence[str]
    published: str
    wait_s: float
    writes: int
    seed: int
    number: int

    def is_about(self, address: Address) -> bool:
        """Whether a change is the one that the scene is about: by the piece's number, or the organization's."""
        if address.key in {ORGANIZATION, SETTINGS}:
            return f"{address.type} update, {'organization ' if address.key == ORGANIZATION else ''}" in self.kind
        return str(self.number) in address.key

    def move(self, service: Service) -> None:
        """What another client does to the object: a field that the plan writes gets a third value."""
        rows = service.tenant.rows
        for row in (r for r in rows("InboundConnector") if r["Name"] == f"in{self.number}"):
            row["ConnectorType"] = "Partner"
        for row in (r for r in rows("OutboundConnector") if r["Name"] == f"out{self.number}"):
            row["RecipientDomains"] = ["moved.example"]

    def service(self) -> Service:
        """The tenant as the scene begins, anew each time."""
        service = born(_dump(), self.seed)
        for name, parameters in self.before:
            service.administrate(name, parameters)
        if self.published == "before":
            self.publish(service)
        return service

    def publish(self, service: Service) -> None:
        for domain in self.signs:
            service.publish(domain)


@cache
def _dump() -> bytes:
    tenant = Tenant()
    tenant.merge(load_seed(_SEED))
    return kept(tenant)


# --- the kinds of change ---------------------------------------------------------------------------------------------

Make = Callable[[random.Random, int], Piece]


def _inbound(n: int, fields: Mapping[str, Any], before: Commands = ()) -> Piece:
    return Piece({"inbound_connectors": {f"in{n}": {"type": "on_premises", **fields}}}, before)


def _mark(key: str) -> str:
    return f"[provisioner: {OWNER} [{key}]]"


def _has_inbound(n: int, **columns: Any) -> Commands:
    row = {"ConnectorType": "OnPremises", "SenderDomains": ["*"], "SenderIPAddresses": [f"192.0.2.{n + 1}"]}
    return (("New-InboundConnector", {"Name": f"in{n}", "Comment": _mark(f"in{n}"), **row, **columns}),)


def _outbound(n: int, fields: Mapping[str, Any], before: Commands = ()) -> Piece:
    return Piece({"outbound_connectors": {f"out{n}": {"recipient_domains": [f"to{n}.example"], **fields}}}, before)


def _has_outbound(n: int, **columns: Any) -> Commands:
    row = {"ConnectorType": "Partner", "RecipientDomains": [f"to{n}.example"], "UseMXRecord": True}
    return (("New-OutboundConnector", {"Name": f"out{n}", "Comment": _mark(f"out{n}"), **row, **columns}),)


def _mailbox(n: int, value: str, before: bool | None) -> Piece:
    was = {"Identity": f"box{n}@contoso.com", "SmtpClientAuthenticationDisabled": before}
    return Piece({"smtp_auth": {"mailboxes": {f"box{n}@contoso.com": value}}}, (("Set-CASMailbox", was),))


def _organization(value: str, *, disabled: bool) -> Piece:
    was = {"SmtpClientAuthenticationDisabled": disabled}
    return Piece({"smtp_auth": {"organization": value}}, (("Set-TransportConfig", was),))


def _direct_send(*, reject: bool) -> Piece:
    was = (("Set-OrganizationConfig", {"RejectDirectSend": not reject}),)
    return Piece({"organization": {"reject_direct_send": reject}}, was)


def _right(n: int) -> dict[str, Any]:
    return {"Identity": f"box{n}@contoso.com", "Trustee": f"app{n}@contoso.com", "AccessRights": ["SendAs"]}


def _grant(n: int) -> Piece:
    return Piece({"send_as": {f"app{n}@contoso.com": [f"box{n}@contoso.com"]}})


def _revoke(n: int) -> Piece:
    return Piece({"absent": [f"send_as/app{n}@contoso.com as box{n}@contoso.com"]}, (_add(n),))


def _add(n: int) -> tuple[str, Mapping[str, Any]]:
    return "Add-RecipientPermission", {**_right(n), "Confirm": False}


def _dkim(n: int, fields: Mapping[str, Any], before: Commands = ()) -> Piece:
    domain = f"sign{n}.example"
    return Piece({"dkim": {domain: fields}}, before, domain if fields.get("enabled") else "")


def _has_dkim(n: int) -> Commands:
    return (("New-DkimSigningConfig", {"DomainName": f"sign{n}.example", "Enabled": False, "KeySize": 2048}),)


def _gone(random_: random.Random, n: int, section: str, key: str, before: Commands) -> Piece:
    """An object of ours that is not declared any more, or is listed under absent."""
    if random_.random() < 0.5:
        return Piece({"absent": [f"{section}/{key}"]}, before)
    return Piece({f"{section}s": {}}, before)


def _unchanged(random_: random.Random, n: int) -> Piece:
    """Something that is as declared, of any type."""
    return random_.choice(
        (
            lambda: _inbound(n, {"sender_ip_addresses": [f"192.0.2.{n + 1}"]}, _has_inbound(n)),
            lambda: _outbound(n, {}, _has_outbound(n)),
            lambda: _mailbox(n, "enabled", before=False),
            lambda: Piece(_grant(n).sections, (_add(n),)),
            lambda: _dkim(n, {"enabled": False}, _has_dkim(n)),
            lambda: _organization("disabled", disabled=True),
            lambda: Piece({"organization": {"reject_direct_send": False}}),
        )
    )()


def _move(random_: random.Random, n: int) -> Piece:
    """A site that moves: a new connector, and the old one goes."""
    fields = {"type": "on_premises", "sender_ip_addresses": [f"198.51.100.{n + 1}"]}
    return Piece({"inbound_connectors": {f"new{n}": fields}, "absent": [f"inbound_connector/in{n}"]}, _has_inbound(n))


KINDS: Mapping[str, Make] = {
    "smtp_auth update, mailbox opens": lambda r, n: _mailbox(n, "enabled", before=r.choice((True, None))),
    "smtp_auth update, mailbox closes": lambda _, n: _mailbox(n, "disabled", before=False),
    "smtp_auth update, mailbox inherits": lambda r, n: _mailbox(n, "inherit", before=r.choice((True, False))),
    "smtp_auth update, organization opens": lambda _, __: _organization("enabled", disabled=True),
    "smtp_auth update, organization closes": lambda _, __: _organization("disabled", disabled=False),
    "organization update, opens": lambda _, __: _direct_send(reject=False),
    "organization update, closes": lambda _, __: _direct_send(reject=True),
    "send_as create": lambda _, n: _grant(n),
    "send_as delete": lambda _, n: _revoke(n),
    "inbound_connector create": lambda r, n: _inbound(
        n, {"sender_ip_addresses": [f"192.0.2.{n + 1}"], **({"enabled": True} if r.random() < 0.5 else {})}
    ),
    "inbound_connector update, neutral": lambda _, n: _inbound(n, {"comment": "third floor"}, _has_inbound(n)),
    "inbound_connector update, opens": lambda _, n: _inbound(
        n, {"sender_ip_addresses": [f"192.0.2.{n + 1}", "198.51.100.7"]}, _has_inbound(n)
    ),
    "inbound_connector update, enables": lambda _, n: _inbound(n, {"enabled": True}, _has_inbound(n, Enabled=False)),
    "inbound_connector update, closes": lambda _, n: _inbound(n, {"enabled": False}, _has_inbound(n)),
    "inbound_connector update, opens and closes": lambda _, n: _inbound(
        n, {"sender_ip_addresses": ["198.51.100.8"]}, _has_inbound(n)
    ),
    "inbound_connector delete": lambda r, n: _gone(r, n, "inbound_connector", f"in{n}", _has_inbound(n)),
    "inbound_connector create and delete": _move,
    "outbound_connector create": lambda _, n: _outbound(n, {}),
    "outbound_connector create, two writes": lambda _, n: _outbound(
        n, {"test_mode": True, "validation_recipients": [f"box{n}@contoso.com"]}
    ),
    "outbound_connector update": lambda r, n: _outbound(
        n,
        r.choice(({"tls": "encryption_only"}, {"enabled": False}, {"smart_hosts": ["mx.to.example"]})),
        _has_outbound(n),
    ),
    "outbound_connector delete": lambda r, n: _gone(r, n, "outbound_connector", f"out{n}", _has_outbound(n)),
    "dkim create, disabled": lambda _, n: _dkim(n, {"enabled": False}),
    "dkim create, waits for DNS": lambda _, n: _dkim(n, {"enabled": True}),
    "dkim update": lambda _, n: _dkim(n, {"enabled": False, "body_canonicalization": "simple"}, _has_dkim(n)),
    "dkim update, waits for DNS": lambda _, n: _dkim(
        n, {"enabled": True, "header_canonicalization": "simple"}, _has_dkim(n)
    ),
    "dkim update, closes": lambda _, n: _signing(n),
    "no-op": _unchanged,
    "no-op, not in force": lambda _, n: _inbound(
        n, {"sender_ip_addresses": [f"192.0.2.{n + 1}"]}, _has_inbound(n, Enabled=False)
    ),
}


_OPENERS = ("inbound_connector create", "inbound_connector update, opens", "send_as create", "no-op, not in force")


def closes(kind: str) -> bool:
    """Whether a kind of change waits for what opens sending paths."""
    return "closes" in kind or "delete" in kind


def _signing(n: int) -> Piece:
    """A domain that signs, and is to stop."""
    domain = f"sign{n}.example"
    enable = ("Set-DkimSigningConfig", {"Identity": domain, "Enabled": True})
    return Piece({"dkim": {domain: {"enabled": False}}}, (*_has_dkim(n), ("publish", {"domain": domain}), enable))


# --- a scene ---------------------------------------------------------------------------------------------------------


def scene(kind: str, variant: int, folder: Path) -> Scene:
    """The scene of this number about a kind of change; the same every time. `folder` is for the plan's file."""
    seed = random.Random(f"{kind} {variant}").randrange(2**32)
    random_ = random.Random(seed)
    numbers = random_.sample(range(5), 4)
    pieces = [KINDS[kind](random_, numbers[0])]
    others = [random_.choice(sorted(KINDS)) for _ in range(random_.randrange(4))]
    if closes(kind):
        others = [random_.choice(_OPENERS), *others[:2]]  # something to wait for
    pieces += [KINDS[other](random_, n) for other, n in zip(others, numbers[1:], strict=False)]
    plan: dict[str, Any] = {"provisioner": 1, "tenant": "contoso.onmicrosoft.com", "owner": OWNER}
    taken: list[Piece] = []
    for piece in pieces:
        if _fits(plan, piece):
            taken.append(piece)
            _merge(plan, piece.sections)
    random_.shuffle(taken)
    stranger = {"ConnectorType": "Partner", "SenderDomains": ["x.example"]}
    unmanaged = [("New-InboundConnector", {"Name": "stranger", **stranger})] if random_.random() < 0.5 else []
    return Scene(
        kind,
        _loaded(plan, folder),
        (*unmanaged, *(command for piece in taken for command in piece.before)),
        [piece.signs for piece in taken if piece.signs],
        random_.choice(("before", "while waiting", "after")),
        random_.choice((0.0, 90.0)),
        random_.choice((1, 4)),
        seed,
        numbers[0],
    )


def _fits(plan: Mapping[str, Any], piece: Piece) -> bool:
    """Whether a piece says nothing that the plan says already: there is one organization."""
    for section, content in piece.sections.items():
        have = plan.get(section)
        if isinstance(have, dict) and isinstance(content, dict) and have.keys() & content.keys() - {"mailboxes"}:
            return False
    return True


def _merge(plan: dict[str, Any], sections: Mapping[str, Any]) -> None:
    for section, content in sections.items():
        if isinstance(content, list):
            plan[section] = [*plan.get(section, []), *content]
        else:
            have = plan.setdefault(section, {})
            for key, value in content.items():
                have[key] = {**have[key], **value} if key == "mailboxes" and key in have else value


def _loaded(plan: Mapping[str, Any], folder: Path) -> Desired:
    path = folder / "plan.yaml"
    path.write_text(json.dumps(plan), encoding="utf-8")
    desired, _ = document.load(path, TYPES, today=dt.date(2026, 11, 23), waivers=EVERY_GUARD)
    return desired
