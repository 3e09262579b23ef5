"""Outbound connectors that a change takes out of force, and that transport rules still name.

Exchange Server 2016 refuses to remove or disable such a connector (its class TenantOutboundConnector). What Exchange
Online does, and what becomes of the mail of the rule, is not published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provisioner.mailflow.picture import is_outbound_connector
from provisioner.model import (
    Action,
    Answer,
    Change,
    Desired,
    Finding,
    Observed,
    ResourceType,
    Unknown,
    goal_of,
    request_key,
)
from provisioner.model.listing import listed
from provisioner.model.names import caseless
from provisioner.model.picture import MailRule
from provisioner.resources.rows import transport_rule
from provisioner.rules.catalogue import RULES
from provisioner.rules.unread import not_decided, why_unread

Types = Mapping[str, ResourceType[Any]]


def in_use_findings(desired: Desired, observed: Observed, changes: Sequence[Change], types: Types) -> Iterator[Finding]:
    """The connectors that rules use once all changes are made, whether the plan declares these rules or not."""
    rule = RULES["CONNECTOR-IN-USE"]
    for change in changes:
        ends = change.action is Action.DELETE or change.disables
        if not ends or not is_outbound_connector(types[change.address.type]):
            continue
        resource = desired.resources.get(change.address)
        at = resource.location if resource else desired.absent.get(change.address)
        users = _users(change, observed, changes, types)
        if isinstance(users, Unknown):
            what = f"whether a transport rule names {change.address}"
            yield not_decided(rule.id, what, str(transport_rule.REQUEST), users, at)
        elif users:
            does = "deleted" if change.action is Action.DELETE else "disabled"
            verb = "names" if len(users) == 1 else "name"
            summary = f"{change.address} would be {does}, and {listed(users)} still {verb} it"
            hint = (
                'write another connector, or "", as route_message_outbound_connector of the rule, '
                "or take this one out of the rule by hand first"
            )
            yield Finding(rule.id, rule.severity, summary, hint, change.address, rule.blocks, location=at)


def _users(connector: Change, observed: Observed, changes: Sequence[Change], types: Types) -> Sequence[str] | Unknown:
    """The rules that name a connector after the changes, enabled or not; Unknown where they could not be read."""
    kind, planned = types[connector.address.type], {}
    names = {caseless(name) for name in kind.names(connector.observed)}
    for change in changes:
        if MailRule in types[change.address.type].contributes:
            goal = goal_of(change)
            needs = () if goal is None else types[change.address.type].needs(goal)
            used = any(need.type == kind.name and caseless(need.key) in names for need in needs)
            planned[caseless(change.address.key)] = str(change.address) if used else ""
    found = sorted(filter(None, planned.values()))
    answer = observed.evidence.get(request_key(transport_rule.REQUEST))
    try:
        routed = transport_rule.routed(answer.rows) if isinstance(answer, Answer) else None
    except ValueError:
        routed = None
    if routed is None:
        return found or why_unread(answer) or ()
    others = [n for n, to in routed.items() if caseless(n) not in planned and caseless(to) in names]
    return [*found, *(f'the transport rule "{name}"' for name in sorted(others))]
