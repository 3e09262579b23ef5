"""Get-TransportRule: the rules that keep mail from its recipients or lead it elsewhere, and for which mail they do.

A rule acts where it is enabled and enforced, all its conditions are met and none of its exceptions is; one with
StopRuleProcessing ends the processing of a message (Learn, "Mail flow rules in Exchange Online"). Read are conditions
that name the sender or the recipient's domain. Whether there are others, `Conditions` and `Exceptions` tell, which list
each by the name of its class (recorded rows).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from provisioner.model import Cmdlet, Needed, Row
from provisioner.resources.canonical import domain_name, email_address
from provisioner.resources.rows.connection_filter import networks

REJECTS, DELETES, QUARANTINES, REDIRECTS = "rejects", "deletes", "quarantines", "redirects"
_FATES = {
    "RejectMessageReasonText": REJECTS,
    "RejectMessageEnhancedStatusCode": REJECTS,
    "DeleteMessage": DELETES,
    "Quarantine": QUARANTINES,
    "RedirectMessageTo": REDIRECTS,
}
_PREDICATES = ("From", "SenderDomainIs", "SenderIpRanges", "RecipientDomainIs", "FromScope", "SentToScope")
_EXCEPT = "ExceptIf"
OF_FATES = frozenset(_FATES)
_SCL, CONNECTOR, _TLS = "SetSCL", "RouteMessageOutboundConnector", "RouteMessageOutboundRequireTls"
LOWEST_OF_SPAM = 5
"""The lowest SCL that asks for a verdict of spam (New-TransportRule, -SetSCL)."""
_LEVELS = frozenset(map(str, range(-1, 10)))
COLUMNS = frozenset({
    "Name", "State", "Mode", "Priority", "StopRuleProcessing", "Conditions", "Exceptions",
    _SCL, CONNECTOR, _TLS, *OF_FATES, *_PREDICATES,
    *(f"{_EXCEPT}{name}" for name in _PREDICATES),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Predicates:
    """What a rule looks at, or what it excepts. `others`: there are more, which the message itself decides.

    Empty ones say nothing. `sender_scope` and `recipient_scope` are values of FromScope and SentToScope.
    """

    senders: frozenset[str] = frozenset()
    sender_domains: frozenset[str] = frozenset()
    sender_networks: tuple[IPv4Network, ...] = ()
    recipient_domains: frozenset[str] = frozenset()
    sender_scope: str = ""
    recipient_scope: str = ""
    others: bool = False


@dataclass(frozen=True, slots=True)
class FlowRule:
    """A rule that acts, and keeps mail from its recipients (`fate`), or ends the processing of later rules (`stops`).

    `place` is its Priority, 0 for the first. `code` is the enhanced status code of a rejection. `scl` is the spam
    confidence level that it submits, `connector` the outbound connector that it gives the mail to, `tls` that mail to
    the outside is delivered over TLS only.
    """

    name: str
    place: int
    fate: str = ""
    code: str = ""
    stops: bool = False
    scl: int | None = None
    connector: str = ""
    tls: bool = False
    conditions: Predicates = Predicates()
    exceptions: Predicates = Predicates()

    @property
    def marks_spam(self) -> bool:
        """Whether its SCL asks for a verdict of spam."""
        return self.scl is not None and self.scl >= LOWEST_OF_SPAM


def fate_of(row: Row) -> str:
    """What a rule does to mail that does not reach its recipients then; "" where nothing."""
    return next((fate for column, fate in _FATES.items() if row.get(column) not in (None, "", False, [])), "")


def matters(row: Row) -> bool:
    """Whether a rule does something to mail that counts here, or may keep a later rule from acting.

    A row of another form may.
    """
    does = fate_of(row) or row.get(CONNECTOR) or row.get(_TLS) is True or scl_of(row) is not None
    return bool(does) or row.get("StopRuleProcessing") is True or not isinstance(row.get("State"), str)


def scl_of(row: Row) -> int | None:
    """The spam confidence level that a rule sets: -1 to 9, None for none."""
    value = str(row.get(_SCL))
    return int(value) if value in _LEVELS else None


def _that_matter(rows: Sequence[Row], _names: frozenset[str]) -> Sequence[Row]:
    return [row for row in rows if matters(row)]


REQUEST = Cmdlet("Get-TransportRule", {"ResultSize": "Unlimited"}, COLUMNS, Needed(_that_matter))


def decode(rows: Iterable[Row]) -> tuple[FlowRule, ...]:
    """The rules that matter, in their order. Raises ValueError for a row that does not say whether it acts."""
    found = []
    for row in rows:
        name, state, place = row.get("Name"), row.get("State"), row.get("Priority")
        if not isinstance(name, str) or not isinstance(state, str) or not isinstance(place, int):
            raise ValueError("a row has no Name, State or Priority")
        acts = state.lower() == "enabled" and str(row.get("Mode") or "Enforce").lower() == "enforce"
        if acts and matters(row):
            fate = fate_of(row)
            code = str(row.get("RejectMessageEnhancedStatusCode") or "5.7.1") if fate == REJECTS else ""
            conditions, exceptions = _predicates(row, "", "Conditions"), _predicates(row, _EXCEPT, "Exceptions")
            stops, tls = row.get("StopRuleProcessing") is True, row.get(_TLS) is True
            connector = str(row.get(CONNECTOR) or "")
            found.append(FlowRule(name, place, fate, code, stops, scl_of(row), connector, tls, conditions, exceptions))
    return tuple(sorted(found, key=lambda rule: rule.place))


def routed(rows: Iterable[Row]) -> Mapping[str, str]:
    """The connectors that rules name, by the name of the rule, enabled or not. Raises ValueError for a rule without."""
    found = {}
    for row in rows:
        name, connector = row.get("Name"), row.get(CONNECTOR)
        if connector and not isinstance(name, str):
            raise ValueError("a rule that names a connector has no Name")
        if connector:
            found[str(name)] = str(connector)
    return found


def _predicates(row: Row, prefix: str, listing: str) -> Predicates:
    """What of a row is of a kind that is read. One that is not understood is one of the others."""
    written = {name: row[f"{prefix}{name}"] for name in _PREDICATES if row.get(f"{prefix}{name}") not in (None, "", [])}
    classes = row.get(listing, ()) if listing in row else ("?",)
    others = len(classes or ()) > len(written)
    texts = {name: [str(text) for text in _listed(value)] for name, value in written.items()}
    try:
        return Predicates(
            frozenset(map(email_address, texts.get("From", ()))),
            frozenset(map(domain_name, texts.get("SenderDomainIs", ()))),
            tuple(networks(texts.get("SenderIpRanges", ()))),
            frozenset(map(domain_name, texts.get("RecipientDomainIs", ()))),
            str(written.get("FromScope", "")).lower(),
            str(written.get("SentToScope", "")).lower(),
            others,
        )
    except ValueError:
        return Predicates(others=True)


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else (value,)
