"""What the tenant's transport rules do to mail that Exchange takes: whether it reaches its recipients. Pure.

The rules are evidence. One that the plan declares counts as it is or will be, with the conditions of the picture.
A rule acts on every message, signed in for or not (Learn, "Mail flow rules in Exchange Online").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network

from provisioner.mailflow.attempt import Attempt, Decision, Refusal, refused
from provisioner.mailflow.lists import told
from provisioner.mailflow.picture import Evidence, is_outbound_connector
from provisioner.model import Address
from provisioner.model.names import caseless
from provisioner.model.picture import Acceptance, MailRule, Picture, Route, Scope, SignIn, holds
from provisioner.resources import TYPES
from provisioner.resources.rows import outbound_connector, transport_rule
from provisioner.resources.rows.connection_filter import networks
from provisioner.resources.rows.transport_rule import FlowRule, Predicates

REASONS = {
    transport_rule.REJECTS: "rule_rejects",
    transport_rule.DELETES: "rule_deletes",
    transport_rule.QUARANTINES: "rule_quarantines",
    transport_rule.REDIRECTS: "rule_redirects",
}
"""The reason for which mail does not reach its recipients, by what a rule does to it."""

OF_RULES = frozenset(REASONS.values())

SPAM, CONNECTOR_DISABLED, TLS_DEMANDED = "rule_marks_spam", "rule_connector_disabled", "rule_demands_tls"
"""What a rule does after which no source says, or no setting tells, whether the mail arrives."""

OF_OPEN_RULES = frozenset({SPAM, CONNECTOR_DISABLED, TLS_DEMANDED})
_FILTERED = "whether filtering follows the SCL of a rule (by default to Junk Email)"
_FILTERED_OUTSIDE = "whether the SCL of a rule counts for mail that leaves the tenant"
_NOT_ROUTED = "what becomes of mail that a rule gives to a disabled connector"
NOT_SOURCED = frozenset({_FILTERED, _FILTERED_OUTSIDE, _NOT_ROUTED})
"""What no source says about mail on which a rule acts."""

_ENDS = frozenset({transport_rule.REJECTS, transport_rule.DELETES})
_EXCEPT = "except the sender from the rule, or let a rule before it stop the processing of its mail"


def of_rules(picture: Picture, attempt: Attempt, path: str, evidence: Evidence) -> Iterator[Decision]:
    """Each rule that keeps the message from its recipients or leads it elsewhere, or may; nothing where none does.

    They do not act on a sign-in. Whether they act on mail of High Volume Email is not documented.
    """
    if attempt.authentication and not attempt.sender:
        return
    found, doubt = told(evidence, transport_rule.REQUEST, transport_rule.decode)
    if doubt:
        yield Decision(
            None, path, missing=(f"the transport rules ({doubt})",), possible=tuple(sorted(OF_RULES | OF_OPEN_RULES))
        )
    rules = () if found is None else in_force(picture, found)
    for number, rule in enumerate(rules):
        verdict = _reached(rules, number, picture, attempt)
        if verdict.acts is False:
            continue
        if rule.fate:
            yield _decided(picture, attempt, path, rule, verdict)
        if rule.fate not in _ENDS:
            for concern in _concerns(rules, number, picture, attempt, evidence):
                yield _left_open(picture, path, rule, verdict, concern)


def matters(picture: Picture, evidence: Evidence) -> bool:
    """Whether any rule is known that does something to mail besides ending the processing."""
    found, _ = told(evidence, transport_rule.REQUEST, transport_rule.decode)
    rules = () if found is None else in_force(picture, found)
    return any(rule.fate or rule.connector or rule.tls or rule.scl is not None for rule in rules)


def in_force(picture: Picture, read: Sequence[FlowRule]) -> Sequence[FlowRule]:
    """The rules that act, in their order: as they were read, and as the plan leaves those that it declares."""
    kinds = {kind.name for kind in TYPES if MailRule in kind.contributes}
    declared = {caseless(a.key) for a in picture.objects if a.type in kinds}
    planned = {caseless(planned.name): planned for _, planned in picture.every(MailRule)}
    known = {caseless(rule.name): rule for rule in read}
    found = [rule for rule in read if caseless(rule.name) not in declared]
    last = 1 + max((rule.place for rule in read), default=0)
    for form, one in planned.items():
        rule = known.get(form, FlowRule(one.name, last))
        later = [known[caseless(n)].place for n in one.before if caseless(n) in known]
        conditions = dataclasses.replace(
            rule.conditions,
            senders=one.senders,
            sender_domains=one.sender_domains,
            sender_networks=tuple(networks(one.networks)),
            recipient_domains=one.recipient_domains,
        )
        place = min([rule.place, *later]) if later else rule.place
        found.append(
            dataclasses.replace(
                rule,
                place=place,
                fate=one.fate,
                stops=one.stops,
                scl=one.scl,
                connector=one.connector,
                tls=one.tls,
                conditions=conditions,
            )
        )
    # A rule that has to come before another one has its place, and comes first.
    return sorted(found, key=lambda rule: (rule.place, caseless(rule.name) not in planned))


def may_act_on(rule: FlowRule, sender: str) -> bool:
    """Whether what a rule says about senders lets it act on mail of this one, whatever else decides."""
    domain = sender.rpartition("@")[2]
    named, domains = rule.conditions.senders, rule.conditions.sender_domains
    return (not named or sender in named) and (not domains or any(_below(domain, one) for one in domains))


# --- whether a rule acts on a message --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class _Verdict:
    """Whether a rule acts on a message; None with what is not known. `content`: the message itself decides."""

    acts: bool | None
    missing: tuple[str, ...] = ()
    content: bool = False

    @classmethod
    def of(cls, rule: FlowRule, picture: Picture, attempt: Attempt) -> _Verdict:
        conditions = dict(_met(rule.conditions, picture, attempt))
        exceptions = dict(_met(rule.exceptions, picture, attempt))
        if False in conditions.values() or True in exceptions.values():
            return cls(False)
        missing = tuple(what for part in (conditions, exceptions) for what, met in part.items() if met is None)
        content = rule.conditions.others or rule.exceptions.others
        return cls(None if missing or content else True, missing, content)


def _reached(rules: Sequence[FlowRule], number: int, picture: Picture, attempt: Attempt) -> _Verdict:
    """Whether a rule acts, and the processing comes to it."""
    rule = rules[number]
    return _all_of([_Verdict.of(rule, picture, attempt), _passed(rules[:number], rule, picture, attempt)])


def _all_of(verdicts: Sequence[_Verdict]) -> _Verdict:
    if any(verdict.acts is False for verdict in verdicts):
        return _Verdict(False)
    missing = tuple(dict.fromkeys(what for verdict in verdicts for what in verdict.missing))
    acts = True if all(verdict.acts for verdict in verdicts) else None
    return _Verdict(acts, missing, any(verdict.content for verdict in verdicts))


def _passed(earlier: Iterable[FlowRule], rule: FlowRule, picture: Picture, attempt: Attempt) -> _Verdict:
    """Whether no earlier rule ends the processing of the message. Mail that one rejects or deletes is lost anyway."""
    ending = [(one, _Verdict.of(one, picture, attempt)) for one in earlier if one.stops or one.fate in _ENDS]
    if any(verdict.acts for _, verdict in ending):
        return _Verdict(False)
    unsure = [one for one, verdict in ending if verdict.acts is None and one.fate not in _ENDS]
    missing = tuple(f'whether the rule "{one.name}" ends the processing before "{rule.name}"' for one in unsure)
    return _Verdict(None if missing else True, missing)


def _met(predicates: Predicates, picture: Picture, attempt: Attempt) -> Iterator[tuple[str, bool | None]]:
    """For each predicate that says something, what it looks at, and whether the message meets it; None if unknown."""
    if predicates.senders:
        yield "which address of the mailbox the rule looks at", _by(predicates.senders, picture, attempt)
    if predicates.sender_domains:
        yield "the sender's domain", any(_below(attempt.domain, domain) for domain in predicates.sender_domains)
    if predicates.sender_networks:
        yield "the address that the mail comes from (SenderIpRanges)", _from(attempt, predicates.sender_networks)
    if predicates.recipient_domains:
        yield "the recipient's domain", _to(predicates.recipient_domains, picture, attempt)
    if predicates.sender_scope:
        inside = _from_inside(picture, attempt)
        met = None if inside is None else inside is (predicates.sender_scope == "inorganization")
        yield "whether the mail counts as mail from inside (FromScope)", met
    if predicates.recipient_scope:
        scopes = {"inorganization": not attempt.external, "notinorganization": attempt.external}
        met = scopes.get(predicates.recipient_scope, None if attempt.external else False)
        yield "the recipient's organization (SentToScope)", met


def _by(senders: Scope, picture: Picture, attempt: Attempt) -> bool | None:
    """Whether a rule names the sender. One that names another address of the same mailbox may mean it too."""
    if attempt.sender in senders:
        return True
    own = [s.addresses | {s.mailbox} for _, s in picture.every(SignIn) if s.mailbox == attempt.mailbox]
    return None if any(attempt.sender in names and names & senders for names in own) else False


def _below(domain: str, above: str) -> bool:
    return domain == above or domain.endswith(f".{above}")


def _from(attempt: Attempt, known: Sequence[IPv4Network]) -> bool | None:
    if not attempt.network:
        return None
    try:
        network = IPv4Network(attempt.network)
    except ValueError:
        return False
    if any(network.subnet_of(one) for one in known):
        return True
    return None if any(network.overlaps(one) for one in known) else False


def _to(domains: Scope, picture: Picture, attempt: Attempt) -> bool | None:
    """An attempt says only whether its recipient is of the tenant."""
    accepted = [acceptance.domain for _, acceptance in picture.every(Acceptance)]
    ours = {domain for domain in domains if any(_below(a, domain) or _below(domain, a) for a in accepted)}
    others = {domain for domain in domains - ours if attempt.external or not picture.lacks(Acceptance, domain)}
    return None if others or (ours and not attempt.external) else False


def _from_inside(picture: Picture, attempt: Attempt) -> bool | None:
    """A signed-in sender is inside, another organization's is not; what a connector or a device sends is not known.

    Learn, "Mail flow rule conditions and exceptions (predicates)": inside are mailboxes, and accepted domains over an
    authenticated connection.
    """
    if attempt.authentication:
        return True
    if not attempt.domain:
        return None
    known = [a for _, a in picture.every(Acceptance)]
    if any(a.domain == attempt.domain or (a.subdomains and holds(frozenset({f"*.{a.domain}"}), attempt.domain))
           for a in known):  # fmt: skip
        return None
    return False if picture.lacks(Acceptance, attempt.domain) else None


# --- what follows ----------------------------------------------------------------------------------------------------


def _planned(picture: Picture, rule: FlowRule) -> tuple[Address, ...]:
    """The object of the plan that is the rule."""
    return tuple(a for a, planned in picture.every(MailRule) if caseless(planned.name) == caseless(rule.name))


def _decided(picture: Picture, attempt: Attempt, path: str, rule: FlowRule, verdict: _Verdict) -> Decision:
    reason, by = REASONS[rule.fate], _planned(picture, rule)
    what = f'the transport rule "{rule.name}" {rule.fate} mail of {attempt.sender or "the null sender"}'
    code = f"550 {rule.code}" if rule.code else ""
    if attempt.hve:
        missing = (*verdict.missing, "whether transport rules act on mail of High Volume Email")
        return Decision(None, path, by, reason, "", what, missing, _EXCEPT)
    if verdict.acts:
        return refused(path, [Refusal(reason, code, what, by, _EXCEPT)])
    if verdict.content:
        mind = f'the transport rule "{rule.name}" {rule.fate} mail that meets its other conditions'
        return Decision(True, path, possible=(reason,), warning=mind)
    return Decision(None, path, by, reason, "", what, verdict.missing, _EXCEPT)


# --- what no source decides ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class _Concern:
    """What a rule does besides, in words that follow its name; `missing` is what no source says about it."""

    reason: str
    does: str
    missing: str = ""
    hint: str = _EXCEPT


def _concerns(
    rules: Sequence[FlowRule], number: int, picture: Picture, attempt: Attempt, evidence: Evidence
) -> Iterator[_Concern]:
    """The SCL, the connector and the TLS of a rule.

    An SCL of 5 to 9 is an input to filtering, not a final decision (New-TransportRule, -SetSCL); a lower one of a later
    rule takes its place. Mail on which TLS is forced "must be delivered over a TLS encrypted channel"
    (-RouteMessageOutboundRequireTls): whether the recipient's host offers it, no setting tells.
    """
    rule, sender = rules[number], attempt.sender or "the null sender"
    if rule.marks_spam and not _lowered(rules, number, picture, attempt):
        missing = _FILTERED_OUTSIDE if attempt.external else _FILTERED
        yield _Concern(SPAM, f"marks mail of {sender} as spam (SCL {rule.scl})", missing)
    disabled, doubt = _is_disabled(rule.connector, picture, evidence) if rule.connector else (False, "")
    if disabled or doubt:
        which = f'gives mail of {sender} to the connector "{rule.connector}"'
        does = f"{which}, which is disabled or deleted" if disabled else which
        missing = _NOT_ROUTED if disabled else f"whether the connector is enabled ({doubt})"
        yield _Concern(CONNECTOR_DISABLED, does, missing, "enable the connector, or take it out of the rule")
    if rule.tls and attempt.external:
        does = f"requires TLS for mail of {sender}: a recipient whose host does not offer TLS does not get it"
        yield _Concern(TLS_DEMANDED, does)


def _lowered(rules: Sequence[FlowRule], number: int, picture: Picture, attempt: Attempt) -> bool:
    """Whether a later rule certainly sets an SCL that asks for no verdict."""
    later = (n for n in range(number + 1, len(rules)) if rules[n].scl is not None)
    return any(_reached(rules, n, picture, attempt).acts for n in later if not rules[n].marks_spam)


def _is_disabled(name: str, picture: Picture, evidence: Evidence) -> tuple[bool, str]:
    """Whether a connector is not in force, as the plan leaves it, else as it was read; and why that is not known."""
    kinds = {kind.name for kind in TYPES if is_outbound_connector(kind)}
    declared = [c for a, c in picture.objects.items() if a.type in kinds and caseless(a.key) == caseless(name)]
    if declared:
        return not any(isinstance(word, Route) for words in declared for word in words), ""
    enabled, doubt = told(evidence, outbound_connector.REQUEST, outbound_connector.enabled)
    return enabled is not None and caseless(name) not in enabled, doubt


def _left_open(picture: Picture, path: str, rule: FlowRule, verdict: _Verdict, concern: _Concern) -> Decision:
    what = f'the transport rule "{rule.name}" {concern.does}'
    if verdict.content or not (verdict.missing or concern.missing):
        mind = f"{what} (mail that meets its other conditions)" if verdict.content else what
        return Decision(True, path, possible=(concern.reason,), warning=mind)
    missing = (*verdict.missing, *([concern.missing] if concern.missing else []))
    return Decision(None, path, _planned(picture, rule), concern.reason, "", what, missing, concern.hint)
