"""Outbound spam policies with their rules: how many recipients a mailbox may send to, and which policy holds for it.

Get-HostedOutboundSpamFilterPolicy and Get-HostedOutboundSpamFilterRule. A policy other than Default holds for the
senders of its rule; of several rules the one with the lowest Priority counts, and Default for everybody else. All
conditions of a rule must be met, and none of its exceptions (Learn, "Configure outbound spam policies"; "Order and
precedence of email protection"). A limit of 0 is the service's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from provisioner.model import Cmdlet, Row
from provisioner.model.names import caseless
from provisioner.resources.canonical import domain_name, email_address, lenient, texts

DEFAULT = "default"
_PER_DAY = "RecipientLimitPerDay"
_PER_HOUR = ("RecipientLimitExternalPerHour", "RecipientLimitInternalPerHour")
_ACTION = "ActionWhenThresholdReached"
_CONDITIONS = ("From", "FromMemberOf", "SenderDomainIs")
POLICIES = Cmdlet("Get-HostedOutboundSpamFilterPolicy", columns=frozenset({"Name", _PER_DAY, *_PER_HOUR, _ACTION}))
RULES = Cmdlet(
    "Get-HostedOutboundSpamFilterRule",
    columns=frozenset({
        "Name", "State", "Priority", "HostedOutboundSpamFilterPolicy", *_CONDITIONS,
        *(f"ExceptIf{name}" for name in _CONDITIONS),
    }),
)  # fmt: skip

_address, _domain = lenient(email_address), lenient(domain_name)


@dataclass(frozen=True, slots=True)
class Limits:
    """The recipients that a policy lets a mailbox reach in a day, outside and inside in an hour; 0 where it says none.

    `blocks`: who exceeds one is stopped; else administrators are told.
    """

    per_day: int = 0
    external_per_hour: int = 0
    internal_per_hour: int = 0
    blocks: bool = True


@dataclass(frozen=True, slots=True)
class Senders:
    """Whom a rule means, or excepts; empty ones say nothing."""

    addresses: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class OutboundRule:
    """A rule that is in force: which policy holds for which senders. 0 is the first in order."""

    name: str
    policy: str
    place: int
    senders: Senders
    excepted: Senders


def limits(rows: Iterable[Row]) -> dict[str, Limits]:
    """The limits of each policy, by its name without case. Raises ValueError for a row that lacks them."""
    found = {}
    for row in rows:
        numbers = [row.get(column) for column in (_PER_DAY, *_PER_HOUR)]
        if not isinstance(row.get("Name"), str) or not all(isinstance(number, int) for number in numbers):
            raise ValueError("a policy has no Name or no limits")
        per_day, external, internal = (int(number or 0) for number in numbers)
        blocks = str(row.get(_ACTION) or "").lower() != "alert"
        found[caseless(str(row["Name"]))] = Limits(per_day, external, internal, blocks)
    return found


def rules(rows: Iterable[Row]) -> tuple[OutboundRule, ...]:
    """The rules in force, in their order. Raises ValueError for a row that does not say its policy or its place."""
    found = []
    for row in rows:
        name, policy, place = row.get("Name"), row.get("HostedOutboundSpamFilterPolicy"), row.get("Priority")
        if not isinstance(name, str) or not isinstance(policy, str) or not isinstance(place, int):
            raise ValueError("a rule has no Name, policy or Priority")
        if str(row.get("State") or "").lower() == "enabled":
            found.append(OutboundRule(name, policy, place, _senders(row, ""), _senders(row, "ExceptIf")))
    return tuple(sorted(found, key=lambda rule: rule.place))


def _senders(row: Row, prefix: str) -> Senders:
    addresses, groups, domains = (texts(row, f"{prefix}{name}") or () for name in _CONDITIONS)
    return Senders(frozenset(map(_address, addresses)), frozenset(groups), frozenset(map(_domain, domains)))
