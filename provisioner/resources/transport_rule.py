"""Transport rules (mail flow rules) that mail from devices needs: by sender or source, a header, an SCL, a connector.

Of a rule that exists, only the fields that are written are set: whatever else it looks at or does stays. Its place is
said by the names of the rules that it comes before, never by a number: the service numbers the rules anew whenever one
comes, moves or goes (Set-TransportRule, -Priority). A rule is switched on and off by Enable- and Disable-TransportRule.
Parameters: New-/Set-TransportRule in the PowerShell reference (2026).
"""

from __future__ import annotations

import dataclasses
import graphlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import pydantic
from pydantic import AfterValidator

from provisioner.diagnostics import Severity
from provisioner.model import (
    Absent,
    Address,
    Answer,
    Cmdlet,
    Declared,
    Guard,
    Links,
    Parameter,
    Query,
    ReadBack,
    Ref,
    Row,
    Rule,
    Send,
    Step,
    Unknown,
)
from provisioner.model.listing import listed
from provisioner.model.names import caseless
from provisioner.model.picture import ANY, NONE, Contribution, Contributions, MailRule, Privilege, Route, Scope
from provisioner.resources import fields
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import (
    answered,
    by_name,
    domain_name,
    email_address,
    prose,
    read_only,
    refusal,
    skip_network,
    wire_network,
)
from provisioner.resources.fields import BOOLEAN, Boolean, Text, Texts, Words, column
from provisioner.resources.rows import transport_rule as rows

# --- fields ----------------------------------------------------------------------------------------------------------

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_LONGEST_COMMENT = 1024
BYPASS = -1
NONE_SET = "none"


def _header(text: str) -> str:
    """The name of a header field, "" for none. Names are compared without case. Raises HEADER-INVALID."""
    if text and not _HEADER.fullmatch(text):
        raise refusal("HEADER-INVALID", f'"{text}" is not the name of a header field', "write X-Device, or similar")
    return text


def _comment(text: str) -> str:
    text = prose(text)
    if len(text) > _LONGEST_COMMENT:
        what = f"the comment is longer than {_LONGEST_COMMENT:,} characters"
        raise refusal("COMMENT-LONG", what, "shorten it")
    return text


class _Scl:
    """-1 to 9, or none."""

    values = "`-1` to `9`, `none`"

    @property
    def schema(self) -> Any:
        return fields.literal((*range(-1, 10), NONE_SET))

    def read(self, row: Row, column: str) -> int | str | None:
        value = row.get(column)
        if value is None or value == "":
            return NONE_SET if column in row else None
        return int(value) if re.fullmatch(r"-1|[0-9]", str(value)) else str(value)

    def sent(self, value: Any) -> Parameter:
        return None if value == NONE_SET else value

    def change(self, _before: Any, value: Any, _stored: Any) -> Parameter:
        return self.sent(value)


class _State(Boolean):
    """Whether a rule is on: New takes Enabled, and Get shows State."""

    def read(self, row: Row, _column: str) -> bool | None:
        return {"enabled": True, "disabled": False}.get(str(row.get("State") or "").lower())


_ADDRESS = Text(email_address, "e-mail addresses", examples=("scanner@contoso.com",))
_DOMAIN = Text(domain_name, "domain names", examples=("contoso.com",))
_NETWORK = Text(
    skip_network,
    "IPv4 addresses, CIDR blocks of any size, ranges",
    examples=("203.0.113.10", "203.0.112.0/22"),
    wire=wire_network,
)


@dataclass(frozen=True, slots=True)
class TransportRule:
    """One rule. `before` are rules that come after it; of an observed rule, those of the plan's that do.

    `place` is the first of the rules that it has to come before, None where it does already; `more` what the rule looks
    at and does besides, `fate` what it does to mail that does not reach its recipients then (rejects, deletes,
    quarantines, redirects). These are observed only. `after` is the rule of the plan that is changed before it;
    `declared` are those of `before` that the plan declares, `routed` says that it declares the connector: they follow
    from the plan.
    """

    name: str
    enabled: bool | None = column("Enabled", _State(), "Whether the rule is in force.", default=True)
    mode: str | None = column(
        "Mode",
        Words({"enforce": "Enforce", "audit": "Audit", "audit_and_notify": "AuditAndNotify"}),
        "Whether the rule acts, or only records what it would do.",
        default="enforce",
    )
    senders: frozenset[str] | None = column("From", Texts(_ADDRESS, plain=True), "Mail from these senders.")
    sender_domains: frozenset[str] | None = column(
        "SenderDomainIs", Texts(_DOMAIN, plain=True), "Mail from senders of these domains and their subdomains."
    )
    sender_ip_ranges: frozenset[str] | None = column(
        "SenderIpRanges", Texts(_NETWORK, plain=True), "Mail that the last host before Exchange Online sends from here."
    )
    recipient_domains: frozenset[str] | None = column(
        "RecipientDomainIs", Texts(_DOMAIN, plain=True), "Mail to recipients of these domains and their subdomains."
    )
    sender_address_location: str | None = column(
        "SenderAddressLocation",
        Words({"header": "Header", "envelope": "Envelope", "header_or_envelope": "HeaderOrEnvelope"}),
        "Which address of the sender counts: From, MAIL FROM, or either.",
        default="header",
    )
    set_header_name: str | None = column("SetHeaderName", Text(_header, 'name, `""` for none'), "Header field to set.")
    set_header_value: str | None = column("SetHeaderValue", Text(str.strip, 'text, `""` for none'), "Its value.")
    set_scl: int | str | None = column(
        "SetSCL", _Scl(), "-1 asks to skip most spam filtering; 5, 6 and 9 ask for a verdict.", default=NONE_SET
    )
    route_message_outbound_connector: str | None = column(
        "RouteMessageOutboundConnector",
        Text(str.strip, 'name, `""` for none'),
        "Outbound connector that gets the mail.",
    )
    route_message_outbound_require_tls: bool | None = column(
        "RouteMessageOutboundRequireTls",
        BOOLEAN,
        "Deliver the mail to external recipients over TLS only.",
        default=False,
    )
    stop_rule_processing: bool | None = column("StopRuleProcessing", BOOLEAN, "Look at no further rule.", default=False)
    comment: str | None = column("Comments", Text(_comment, "your text"), "Your note.", default="")
    before: frozenset[str] | None = None
    place: str | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})
    more: str | None = read_only()
    fate: str | None = read_only()
    after: frozenset[str] | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})
    declared: frozenset[str] | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})
    routed: bool | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})


_CONDITIONS = ("senders", "sender_domains", "sender_ip_ranges", "recipient_domains")
_ACTIONS = (
    "set_header_name", "set_scl", "route_message_outbound_connector", "route_message_outbound_require_tls",
    "stop_rule_processing",
)  # fmt: skip
_COLUMNS = fields.wire_names(TransportRule) - {"Enabled"} | {
    "Name", "Identity", "Guid", "State", "Priority", "Conditions", "Actions", "Exceptions", *rows.OF_FATES
}  # fmt: skip
_CONNECTORS = "Get-OutboundConnector"
_BEFORE = Annotated[
    list[str],
    pydantic.Field(description="Names of rules that come after this one.", examples=[["Disclaimer"]]),
]


def _agree(rule: TransportRule) -> None:
    if bool(rule.set_header_name) != bool(rule.set_header_value) and None not in (
        rule.set_header_name,
        rule.set_header_value,
    ):
        what = "set_header_name and set_header_value belong together"
        raise refusal("TRANSPORT-RULE-HEADER", what, "write both, or neither")


def _rule_name(text: str) -> str:
    if not text.strip() or text != text.strip() or len(text) > 64 or not text.isprintable():
        hint = "write 1 to 64 printable characters, without spaces around them"
        raise refusal("TRANSPORT-RULE-NAME-INVALID", f"{text!r} is not a name for a rule", hint)
    return text


def _in_order(section: dict[str, Any]) -> dict[str, Any]:
    """Raise TRANSPORT-RULE-ORDER for rules that would have to come before each other, and for one before itself."""
    graph = {caseless(name): {caseless(n) for n in body.get("before", ())} for name, body in section.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        spelled = {caseless(name): name for name in section}
        loop = [
            spelled[form] for form in reversed(error.args[1])
        ]  # graphlib lists each behind one that it comes before
        what, hint = f"the order contradicts itself: {' before '.join(loop)}", "take one of these names out of before"
        later = [caseless(name) for name in section[loop[0]]["before"]]
        at = (loop[0], "before", later.index(caseless(loop[1])))
        raise refusal("TRANSPORT-RULE-ORDER", what, hint, at) from None
    return section


_DESCRIPTION = "One transport rule. What is not written is left as it is."


class TransportRuleType(BaseType):
    """transport_rule["Mark scanners"]. Exchange tells names apart without case, and so do we."""

    name: ClassVar[str] = "transport_rule"
    section: ClassVar[str] = "transport_rules"
    section_type: ClassVar[Any] = Annotated[
        fields.section(
            Annotated[str, AfterValidator(_rule_name)],
            fields.entry(TransportRule, "TransportRuleBody", _DESCRIPTION, _agree, more={"before": _BEFORE}),
            "Transport rules, by name.",
            {"Mark scanners": {"sender_ip_ranges": ["203.0.113.10"], "set_header_name": "X-Device"}},
        ),
        AfterValidator(_in_order),
    ]
    spec: ClassVar[type[TransportRule]] = TransportRule
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Privilege, Route, MailRule)
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "TRANSPORT-RULE-BYPASS", Severity.ERROR, "apply", "A transport rule begins to let mail past spam filtering."
        ),
        Rule(
            "TRANSPORT-RULE-EVERY-MESSAGE", Severity.ERROR, "apply", "A transport rule begins to act on every message."
        ),
        Rule(
            "TRANSPORT-RULE-INCOMPLETE",
            Severity.ERROR,
            "precondition",
            "A transport rule would have no action, or half of a header.",
        ),
        Rule("TRANSPORT-RULE-SPAM", Severity.ERROR, "apply", "A transport rule begins to mark mail as spam."),
        Rule("TRANSPORT-RULE-ROUTE", Severity.ERROR, "apply", "A transport rule begins to give mail to a connector."),
    )

    def declare(self, section: Mapping[str, Mapping[str, Any]], _owner: str, /) -> Iterable[Declared]:
        spelling: dict[str, str] = {}
        for name, body in section.items():
            key = spelling.setdefault(caseless(name), name)
            yield Declared(key, fields.declared(TransportRule, key, body), (name,))

    def linked(self, spec: TransportRule, links: Links, /) -> TransportRule:
        """With all rules that have to come after it, and the rule of the plan that is changed before it.

        Each new or moved rule moves others: such rules of a plan are changed one after the other, in their order.
        """
        connectors = [a.key for a in links.declared if a.type == "outbound_connector"]
        spec = _as_named(spec, connectors)
        if spec.route_message_outbound_connector in connectors:
            spec = dataclasses.replace(spec, routed=True)
        rules = {caseless(a.key): s for a, s in links.declared.items() if a.type == self.name}
        graph = {form: {caseless(n) for n in _before(rule)} for form, rule in rules.items()}
        own = caseless(spec.name)
        if own not in rules:
            return spec
        resting = {caseless(a.key) for a in links.present if a.type == self.name and links.declared[a].place is None}
        order = [form for form in _sorted(graph) if form in rules.keys() - resting]
        at = order.index(own) if own in order else 0
        earlier = order[max(0, at - 1) : at]
        spelled = {caseless(n): n for rule in rules.values() for n in sorted(_before(rule))}
        later = {spelled[form] for form in _reached(own, graph)} | _before(spec)
        declared = frozenset(name for name in later if caseless(name) in rules)
        return dataclasses.replace(
            spec,
            before=frozenset(later) if later else spec.before,
            after=frozenset(rules[form].name for form in earlier) or None,
            declared=declared or None,
        )

    def needs(self, spec: TransportRule) -> Sequence[Address]:
        """Its connector, and the rule of the plan that is changed before it."""
        connector = spec.route_message_outbound_connector
        rules = tuple(Address(self.name, name) for name in sorted(spec.after or ()))
        return (*rules, *((Address("outbound_connector", connector),) if connector else ()))

    def queries(self, wanted: Mapping[str, TransportRule | None], everything: bool) -> Sequence[Query]:
        """One listing: where a rule stands follows from all of them. And the connectors that rules name."""
        if not wanted and not everything:
            return ()
        rules = Query(Cmdlet("Get-TransportRule", {"ResultSize": "Unlimited"}, _COLUMNS), frozenset(wanted))
        routing = frozenset(key for key, spec in wanted.items() if spec and _unrouted(spec))
        parts: list[dict[str, Parameter]] = [{}, {"IncludeTestModeConnectors": True}] if routing else []
        return (rules, *(Query(Cmdlet(_CONNECTORS, {"ResultSize": "Unlimited", **part}, frozenset({"Name"})), routing)
                         for part in parts))  # fmt: skip

    def decode(
        self, wanted: Mapping[str, TransportRule | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, TransportRule | Absent | Unknown]:
        if not answers:
            return {}
        keys = {caseless(key): key for key in wanted}
        told = [(str(query.request), row) for query, answer in answers for row in answer.rows]
        rows = by_name((row for name, row in told if name != _CONNECTORS), caseless, "Name", "Identity")
        connectors = {caseless(str(row.get("Name"))) for name, row in told if name == _CONNECTORS}
        places: dict[str, Any] = {
            form: row.get("Priority") for form, row in rows.items() if not isinstance(row, Unknown)
        }
        seen: dict[str, TransportRule | Absent | Unknown] = {}
        for form, row in rows.items():
            key = keys.get(form) or (form if isinstance(row, Unknown) else str(row.get("Name") or row["Identity"]))
            spec = wanted.get(key)
            found = row if isinstance(row, Unknown) else _decode(key, row, spec, places)
            asked = spec and dataclasses.replace(spec, place=None)
            seen[key] = found if isinstance(found, Unknown) else answered(asked, found)
        for key, spec in wanted.items():
            what, fix = _missing(spec, rows, connectors) if spec else ("", "")
            if what:
                seen[key] = Absent(what, fix) if caseless(key) not in rows else Unknown(what)
            elif spec and caseless(key) not in rows and not any(_is_set(getattr(spec, name)) for name in _ACTIONS):
                seen[key] = Absent("a new rule needs an action", f"write one of {', '.join(_ACTIONS)}")
            elif spec and caseless(key) not in rows:
                there: dict[str, Any] = {n: places.get(caseless(n)) for n in _before(spec) if caseless(n) in rows}
                if not all(isinstance(place, int) for place in there.values()):
                    seen[key] = _NO_PLACE
                elif there:
                    seen[key] = Absent(known=TransportRule(key, place=min(there, key=there.__getitem__)))
        return seen

    def steps(self, before: TransportRule | None, after: TransportRule | None) -> Sequence[Step]:
        if after is None:
            return (_send("Remove", before, {"Confirm": False}),) if before else ()
        if before is None:
            made = {"Name": after.name, **fields.creation(after)}
            return _placed(after.place, lambda place: [Send(Cmdlet("New-TransportRule", {**made, **place}))])
        changes = fields.changes(before, after)
        switched = changes.pop("Enabled", None)
        moves = not _before(after) <= _before(before)

        def writes(place: Mapping[str, Parameter]) -> list[Send]:
            steps = [_send("Set", before, {**changes, **place})] if changes or place else []
            if switched is not None:
                verb, confirmed = ("Enable", {}) if switched else ("Disable", {"Confirm": False})
                # What acts is changed before it acts, and what stops acting stops first.
                steps.insert(len(steps) if switched else 0, _send(verb, before, confirmed))
            return steps

        return _placed(before.place if moves else None, writes)

    def written_form(self, spec: TransportRule) -> tuple[tuple[str, ...], Any] | None:
        """A rule that looks at nothing of what a plan can say, or does nothing of it, is not for a plan."""
        body = fields.written_body(spec)
        return ((spec.name,), body) if body.keys() & set(_CONDITIONS) and body.keys() & set(_ACTIONS) else None

    def unwritable(self, spec: TransportRule, /) -> Iterable[str]:
        return (f"{spec.more} cannot be written, and stay as they are",) if spec.more else ()

    def contribution(self, spec: TransportRule) -> Contributions:
        """What mail the rule spares the filter, gives to a connector, or keeps from its recipients."""
        return () if _idle(spec) else tuple(_contributions(spec))

    def guards(self, before: TransportRule | None, after: TransportRule | None) -> Iterable[Guard]:
        if after is None:
            return ()
        return (*_incomplete(before, after), *(() if _idle(after) else _guards(before, after)))

    def in_force(self, wanted: TransportRule, live: TransportRule, /) -> str:
        """A rule that is off acts on nothing."""
        return "the rule is disabled in the tenant" if wanted.enabled is not False and live.enabled is False else ""

    def leaves_off(self, before: TransportRule, after: TransportRule, /) -> bool:
        return before.enabled is False and after.enabled is None

    def working(self, spec: TransportRule, /) -> TransportRule:
        return dataclasses.replace(spec, enabled=True)

    def brought_back(self, before: TransportRule, after: TransportRule | None, /) -> tuple[TransportRule, str]:
        """Its fields, and not its place: only the rules that it was moved in front of are known, not where it was."""
        passed = _before(after) - _before(before) if after else frozenset()
        fields_only = dataclasses.replace(before, before=None, place=None, after=None, declared=None)
        if not passed:
            return fields_only, ""
        words = f"it keeps its place before {listed(passed)}, where the run moved it: its earlier place is not known"
        return fields_only, f"{words}; Get-TransportRule shows the order, Set-TransportRule -Priority changes it"

    def read_back(self, spec: TransportRule, /) -> ReadBack:
        request = Cmdlet("Get-TransportRule", {"Identity": spec.name})
        return ReadBack(request, {"State": "Enabled", **fields.sent(spec, {*_CONDITIONS, *_ACTIONS})})


def _send(verb: str, spec: TransportRule | None, parameters: Mapping[str, Parameter]) -> Send:
    identity = spec.name if spec else ""
    return Send(Cmdlet(f"{verb}-TransportRule", {"Identity": identity, **parameters}))


def _placed(name: str | None, writes: Callable[[Mapping[str, Parameter]], Sequence[Send]]) -> Sequence[Step]:
    """The writes, in front of the rule of a name: where that stands is read right before."""
    if name is None:
        return tuple(writes({}))
    return (Send(Cmdlet("Get-TransportRule", {"Identity": name})), *writes({"Priority": Ref(0, "Priority")}))


def _sorted(graph: Mapping[str, set[str]]) -> Sequence[str]:
    """The rules in the order in which they have to stand; otherwise by name."""
    later: dict[str, set[str]] = {form: set() for form in sorted(graph)}
    for form, others in graph.items():
        for other in others:
            later.setdefault(other, set()).add(form)
    return list(graphlib.TopologicalSorter(later).static_order())


def _reached(own: str, graph: Mapping[str, set[str]]) -> set[str]:
    """All rules that come after a rule, directly or because of others."""
    found: set[str] = set()
    waiting = [own]
    while waiting:
        new = graph.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


# --- reading ---------------------------------------------------------------------------------------------------------

_NO_PLACE = Unknown("Get-TransportRule did not return Priority", "malformed")


def _decode(key: str, row: Row, wanted: TransportRule | None, places: Mapping[str, Any]) -> TransportRule | Unknown:
    """A rule, with the names that it comes before as the plan spells them, of those that the plan names."""
    own = row.get("Priority")
    spec = TransportRule(key, **fields.decoded(TransportRule, row))
    spec = dataclasses.replace(spec, more=_more(row, spec) or None, fate=rows.fate_of(row) or None)
    if wanted is not None:
        spec = dataclasses.replace(spec, after=wanted.after, declared=wanted.declared, routed=wanted.routed)
        spec = _as_named(spec, [wanted.route_message_outbound_connector or ""])
    names = wanted.before if wanted else None
    if names is None:
        return spec
    numbers = {name: places[caseless(name)] for name in names if caseless(name) in places}
    if not all(isinstance(place, int) for place in (own, *numbers.values())):
        return _NO_PLACE
    later = frozenset(name for name, place in numbers.items() if place > own)
    missing = frozenset(names) - numbers.keys()  # rules that are yet to be made, which then go last
    place = None if later == numbers.keys() else min(numbers, key=numbers.__getitem__)
    return dataclasses.replace(spec, before=later | missing, place=place)


def _as_named(spec: TransportRule, names: Iterable[str]) -> TransportRule:
    """The rule with its connector spelled as in one of the names: Exchange tells names apart without case."""
    connector = spec.route_message_outbound_connector or ""
    same = [name for name in names if caseless(name) == caseless(connector)]
    return dataclasses.replace(spec, route_message_outbound_connector=same[0]) if connector and same else spec


def _missing(spec: TransportRule, rows: Mapping[str, Row | Unknown], connectors: Collection[str]) -> tuple[str, str]:
    """What a rule names and the tenant does not have, and how to fix it; nothing of what the plan declares."""
    lost = [name for name in _before(spec) - (spec.declared or frozenset()) if caseless(name) not in rows]
    if lost:
        return f'it has to come before "{min(lost)}", which the tenant does not have', "correct the name under before"
    row, connector = rows.get(caseless(spec.name)), _unrouted(spec)
    stored = "" if row is None or isinstance(row, Unknown) else row.get("RouteMessageOutboundConnector")
    if connector and caseless(connector) not in {*connectors, caseless(str(stored or ""))}:
        what = f'it gives mail to the outbound connector "{connector}", which the tenant does not have'
        return what, "declare it under outbound_connectors, or correct the name"
    return "", ""


def _is_set(value: object) -> bool:
    """Whether an action is one: an SCL of 0 is."""
    return value is not None and value is not False and value not in ("", NONE_SET)


def _unrouted(spec: TransportRule) -> str:
    """The connector that the rule names and the plan does not declare; "" for none."""
    return "" if spec.routed else spec.route_message_outbound_connector or ""


def _before(spec: TransportRule | None) -> frozenset[str]:
    return (spec.before if spec else None) or frozenset()


def _more(row: Row, spec: TransportRule) -> str:
    """What the rule looks at or does that no plan can say, by the class names of its parts."""
    counts = {
        "Conditions": sum(bool(getattr(spec, name)) for name in _CONDITIONS),
        "Actions": sum(_is_set(getattr(spec, name)) for name in _ACTIONS),
        "Exceptions": 0,
    }
    found = [name.lower() for name, known in counts.items() if len(row.get(name) or ()) > known]
    return f"other {' and '.join(found)}" if found else ""


# --- what mail it is about -------------------------------------------------------------------------------------------


def _idle(spec: TransportRule) -> bool:
    return spec.enabled is False or spec.mode not in (None, "enforce")


def _mail(spec: TransportRule) -> Scope:
    """The mail that a rule acts on: the narrowest of its conditions, all of which a message must meet."""
    scopes = [
        set(value) for name in ("sender_ip_ranges", "senders", "sender_domains") if (value := getattr(spec, name))
    ]
    return frozenset(scopes[0]) if scopes else ANY


def _contributions(spec: TransportRule) -> Iterator[Contribution]:
    if spec.set_scl == BYPASS:
        yield Privilege("set_scl", _mail(spec))
    if spec.route_message_outbound_connector:
        mail = spec.recipient_domains or frozenset({f'mail of the rule "{spec.name}"'})
        yield Route(mail, frozenset({spec.route_message_outbound_connector}))
    scl = spec.set_scl if isinstance(spec.set_scl, int) else None
    connector, tls = spec.route_message_outbound_connector or "", bool(spec.route_message_outbound_require_tls)
    stops = bool(spec.stop_rule_processing)
    if spec.fate or stops or scl is not None or connector or tls:
        yield MailRule(
            spec.name,
            spec.fate or "",
            stops,
            spec.senders or NONE,
            spec.sender_domains or NONE,
            spec.sender_ip_ranges or NONE,
            spec.recipient_domains or NONE,
            spec.before or NONE,
            scl,
            connector,
            tls,
        )


def _incomplete(before: TransportRule | None, after: TransportRule) -> Iterator[Guard]:
    """What the service refuses of the whole rule, with what it has already; a column that was not returned is none.

    A rule needs an action (KelvinTegelaar/CIPP issue 5379); a header is one by its name and its value
    (New-TransportRule, -SetHeaderName and -SetHeaderValue).
    """
    header = (after.set_header_name, after.set_header_value)
    if bool(header[0]) != bool(header[1]) and (before is None or None not in header):
        missing = "set_header_value" if after.set_header_name else "set_header_name"
        yield Guard("TRANSPORT-RULE-INCOMPLETE", "a header needs a name and a value", f"write {missing} too")
    if not any(_is_set(getattr(after, name)) for name in _ACTIONS) and "actions" not in (after.more or ""):
        hint = f"write one of {', '.join(_ACTIONS)}, or list the rule under absent"
        yield Guard("TRANSPORT-RULE-INCOMPLETE", "the rule would have no action left", hint)


def _guards(before: TransportRule | None, after: TransportRule) -> Iterator[Guard]:
    """What an enforced rule begins to do, or begins to do to more mail."""
    was = None if before is None or _idle(before) else before
    wider = was is None or any(_widened(getattr(was, n), getattr(after, n)) for n in _CONDITIONS)
    if after.set_scl == BYPASS and (wider or (was and was.set_scl != BYPASS)):
        forged = "" if after.sender_ip_ranges else ". Anybody can write these senders into a message"
        summary = f"mail from {listed(_mail(after))} asks to skip spam filtering{forged}"
        hint = "limit it by sender_ip_ranges, or declare an inbound connector for the addresses"
        yield Guard("TRANSPORT-RULE-BYPASS", summary, hint)
    if _asks_for_spam(after) and (wider or (was and not _asks_for_spam(was))):
        summary = f"mail from {listed(_mail(after))} is marked as spam: it may end up in Junk Email or quarantine"
        yield Guard("TRANSPORT-RULE-SPAM", summary, "make sure that no device or application sends this mail")
    connector = after.route_message_outbound_connector
    if connector and (wider or (was and was.route_message_outbound_connector != connector)):
        summary = f'mail of the rule is given to the connector "{connector}", whatever its recipients'
        yield Guard("TRANSPORT-RULE-ROUTE", summary, "make sure that its hosts deliver this mail")
    bare = not any(getattr(after, name) for name in _CONDITIONS) and not after.more
    if bare and (was is None or any(getattr(was, name) for name in _CONDITIONS)):
        summary = "the rule has no condition: it acts on every message of the organization"
        yield Guard(
            "TRANSPORT-RULE-EVERY-MESSAGE",
            summary,
            "write senders, sender_domains, sender_ip_ranges or recipient_domains",
        )


def _asks_for_spam(rule: TransportRule) -> bool:
    """Whether it sets an SCL of 5 to 9: each asks for a verdict of spam (New-TransportRule, -SetSCL)."""
    return isinstance(rule.set_scl, int) and rule.set_scl >= rows.LOWEST_OF_SPAM


def _widened(before: frozenset[str] | None, after: frozenset[str] | None) -> bool:
    """Whether a condition holds for more: an empty one holds for all."""
    return before is not None and bool(before) and (not after or not after <= before)
