"""Observed mail, tried against the tenant as it is and as the plan leaves it: which sender breaks, or goes another way.

What was observed was accepted, so it corrects what the model does not know: which of several matching connectors took
the mail, and that a password was taken although a policy could not be read. Where it contradicts the model, that is
said, and the mail is judged by what was observed. `mailflow` decides; nothing here knows a resource type by its class.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner.devices.choice import NAMES
from provisioner.mailflow.attempt import Attempt, Decision
from provisioner.model import Address, Change, Desired, Finding, Observed, ResourceType
from provisioner.model.devices import CLIENT_SUBMISSION, DIRECT_SEND, HIGH_VOLUME_EMAIL, SMTP_RELAY, Device
from provisioner.model.listing import listed
from provisioner.model.picture import Relay, SignIn, holds
from provisioner.model.traffic import Traffic
from provisioner.resources.rows import recipient, rows_of, user
from provisioner.rules.catalogue import RULES
from provisioner.rules.outlook import Outlook, outlook_of

_KINDS = {"basic": ("basic",), "oauth": ("oauth",), "any": ("oauth", "basic"), "": ("",)}
_OUTSIDE = {"inside": (False,), "outside": (True,), "both": (False, True), "unknown": (False, True)}


class _Verdict(enum.Enum):
    """What becomes of observed mail, the worst first."""

    BREAKS = "REPLAY-BREAKS"
    CHANGES = "REPLAY-CHANGES-WAY"
    OPEN = "REPLAY-UNCERTAIN"
    STAYS = ""


@dataclass(frozen=True, slots=True)
class _Tried:
    """One attempt of observed mail in both pictures."""

    traffic: Traffic
    attempt: Attempt
    now: Decision
    then: Decision


@dataclass(frozen=True, slots=True)
class _Outcome:
    """`why` completes the sentence about the sender; `cause` is the change that it rests on."""

    verdict: _Verdict
    why: str = ""
    fix: str = ""
    cause: Address | None = None


def replay_findings(
    desired: Desired, observed: Observed, changes: Sequence[Change], types: Sequence[ResourceType[Any]]
) -> Iterator[Finding]:
    """The findings about observed mail; none where the run has none."""
    if not desired.traffic:
        return
    mailboxes = {d.mailbox for d in desired.devices.values()} | {t.mailbox for t in desired.traffic}
    outlook = outlook_of(desired, observed, changes, types, mailboxes)
    by_sender: dict[tuple[str, str], list[Traffic]] = {}
    for traffic in desired.traffic:
        by_sender.setdefault((traffic.name, traffic.authentication), []).append(traffic)
    for several in by_sender.values():
        yield from _about(several, outlook)


def _about(several: Sequence[Traffic], outlook: Outlook) -> Iterator[Finding]:
    """One finding for each verdict about one sender, with the sources that it is about."""
    told: dict[tuple[_Verdict, str], tuple[_Outcome, list[Traffic]]] = {}
    odd: dict[str, list[Traffic]] = {}
    for traffic in several:
        attempts = list(_tried(traffic, outlook))
        for contradiction in filter(None, map(_contradiction, attempts)):
            odd.setdefault(contradiction, []).append(traffic)
        for outcome in _outcomes(traffic, [_outcome(tried, outlook) for tried in attempts]):
            if outcome.verdict is not _Verdict.STAYS:
                told.setdefault((outcome.verdict, outcome.why), (outcome, []))[1].append(traffic)
    for contradiction, traffics in odd.items():
        fix = "look at the connectors and switches of the tenant: what was observed counts for this run"
        yield _finding("REPLAY-CONTRADICTS", f"{_who(traffics)}: {contradiction}", fix, None)
    for outcome, traffics in told.values():
        summary = f"{_who(traffics)} {_WORDS[outcome.verdict]}: {outcome.why}"
        yield _finding(outcome.verdict.value, summary, outcome.fix, outcome.cause)


_WORDS = {
    _Verdict.BREAKS: "would be refused after the changes",
    _Verdict.CHANGES: "would go another way after the changes",
    _Verdict.OPEN: "may be refused after the changes",
}


# --- one attempt -----------------------------------------------------------------------------------------------------


def _tried(traffic: Traffic, outlook: Outlook) -> Iterator[_Tried]:
    """The attempts that observed mail stands for, in both pictures.

    Of recipients that no source told, and of a sign-in of unknown kind, only what the tenant takes today is tried.
    """
    for authentication in _KINDS[traffic.authentication]:
        for external in _OUTSIDE[traffic.recipients]:
            attempt = _attempt(traffic, authentication, external, outlook)
            now, then = (outlook.decided(p, attempt) for p in (outlook.before, outlook.after))
            guessed = traffic.authentication == "any" or traffic.recipients == "unknown"
            if not (guessed and now.allowed is False):
                yield _Tried(traffic, attempt, now, then)


def _attempt(traffic: Traffic, authentication: str, external: bool, outlook: Outlook) -> Attempt:
    sender = traffic.sender or traffic.mailbox
    if not authentication:
        certificate = _certificate(traffic, outlook) if traffic.tls else ""
        return Attempt(sender, external, traffic.network, certificate, traffic.tls)
    mailbox = _called(traffic.mailbox, outlook)
    sender = mailbox if sender == traffic.mailbox else sender
    return Attempt(sender, external, authentication=authentication, mailbox=mailbox, hve=traffic.hve)


def _certificate(traffic: Traffic, outlook: Outlook) -> str:
    """The name in its certificate: where a connector took its mail that does not name its address, by no other way."""
    for address, relay in outlook.before.every(Relay):
        if address.key == traffic.connector and relay.certificate:
            return "" if traffic.network and holds(relay.networks, traffic.network) else relay.certificate
    return ""


def _called(mailbox: str, outlook: Outlook) -> str:
    """The name by which the picture has a mailbox: a sign-in log has its user name, and Exchange its addresses.

    A mailbox that a change is about comes first, so that the change counts.
    """
    rows = [
        row for request in (user.look_up(mailbox), user.LISTING) for row in rows_of(outlook.observed.evidence, request)
    ]
    users = [found for found in map(user.decode, rows) if mailbox in found.addresses]
    names = {recipient.form(name) for name in (mailbox, *(a for found in users for a in found.addresses))}
    known = [(a, s) for a, s in outlook.before.every(SignIn) if s.mailbox and ({s.mailbox, *s.addresses} & names)]
    known.sort(key=lambda item: (item[0] not in outlook.pending, item[1].mailbox != mailbox))
    return known[0][1].mailbox if known else mailbox


def _contradiction(tried: _Tried) -> str:
    """What the model says about the tenant of now, and the observation says otherwise; "" for nothing."""
    traffic, now = tried.traffic, tried.now
    if now.allowed is False:
        return f"{now.sentence}{_coded(now)}, and its mail was accepted{_seen(traffic)}"
    if traffic.authentication or traffic.connector is None:
        return ""
    names = [a.key for a in now.by if now.path == SMTP_RELAY]
    if traffic.connector == "" and names and now.allowed:
        return (
            f"{listed(names)} takes mail from {_shown(traffic)}, and its mail came without a connector{_seen(traffic)}"
        )
    if traffic.connector and traffic.connector not in names and not _partner(traffic.connector, now):
        says = f"{listed(names)} takes it" if names else "no connector names its source"
        return f"{traffic.connector} took its mail{_seen(traffic)}, and by the tenant's settings {says}"
    return ""


def _partner(connector: str, now: Decision) -> bool:
    """Whether a connector that only accepts mail to the tenant took it."""
    return now.path == DIRECT_SEND and connector in {a.key for a in now.by}


def _outcomes(traffic: Traffic, several: Sequence[_Outcome]) -> Sequence[_Outcome]:
    """Where one kind of sign-in breaks and the other does not, what breaks depends on the kind, which is not known."""
    if traffic.authentication != "any" or all(o.verdict is _Verdict.BREAKS for o in several):
        return several
    worst = _Verdict.BREAKS
    return [dataclasses.replace(o, verdict=_Verdict.OPEN) if o.verdict is worst else o for o in several]


def _cause_of(outlook: Outlook, attempt: Attempt, refused: Decision) -> Address | None:
    """The change without which the mail would still be accepted; else one that decides."""
    for address in outlook.pending:
        if outlook.decided(outlook.all_but(address), attempt).allowed is not False:
            return address
    return next((a for a in refused.by if a in outlook.pending), None)


def _outcome(tried: _Tried, outlook: Outlook) -> _Outcome:
    """What the changes do to mail that was accepted until now."""
    traffic, now, then = tried.traffic, tried.now, tried.then
    if then.allowed is False:
        if now.allowed is False and now.certain == then.certain:
            return _Outcome(_Verdict.STAYS)  # the changes have no part in it: a contradiction, told as such
        cause = _cause_of(outlook, tried.attempt, then)
        return _Outcome(_Verdict.BREAKS, f"{then.sentence}{_coded(then)}", _first(traffic, outlook, then), cause)
    if then.allowed is None and not _same_doubts(now, then):
        missing = " and ".join(then.missing) or then.reason
        return _Outcome(_Verdict.OPEN, f"not known is {missing}", _SEE)
    return _another_way(tried, outlook)


def _another_way(tried: _Tried, outlook: Outlook) -> _Outcome:
    """Whether mail that stays accepted is taken by something else: another path, or another connector."""
    traffic, now, then = tried.traffic, tried.now, tried.then
    if then.path != now.path:
        why = f"{NAMES[now.path]} becomes {NAMES[then.path]}"
        return _Outcome(_Verdict.CHANGES, why, _SEE, next((a for a in then.by if a in outlook.pending), None))
    if then.path != SMTP_RELAY:
        return _Outcome(_Verdict.STAYS)
    took = {a for a in now.by if a.key == traffic.connector} or set(now.by)
    new = sorted(set(then.by) - set(now.by))
    if took <= set(then.by) and not new:
        return _Outcome(_Verdict.STAYS)
    others = sorted(set(then.by) - took) or sorted(then.by)
    first = listed([a.key for a in sorted(took)])
    if took <= set(then.by):
        why = f"{listed([a.key for a in new])} would name its source besides {first}, and no source says which takes it"
    else:
        why = f"{listed([a.key for a in others])} takes it instead of {first}"
    return _Outcome(_Verdict.CHANGES, why, _SEE, next((a for a in (*new, *took) if a in outlook.pending), None))


def _same_doubts(now: Decision, then: Decision) -> bool:
    """Whether what is not known was not known before: the mail was accepted all the same."""
    return set(then.missing) <= set(now.missing) and then.path == now.path


# --- words -----------------------------------------------------------------------------------------------------------

_SEE = "check whether that is meant; provisioner explain says how a device of the plan would send"


def _first(traffic: Traffic, outlook: Outlook, refused: Decision) -> str:
    """What comes first: to set a declared device to its new method, or to find out who sends."""
    device = _device_of(traffic, outlook.desired)
    method = outlook.desired.choices[device.name].method if device and device.name in outlook.desired.choices else None
    allow = "allow REPLAY-BREAKS for it"
    if device and method and method != _method_of(traffic):
        return f"set {device.address} to {NAMES[method]} first (provisioner devices show {device.name}), or {allow}"
    if device:
        return f"{refused.hint or f'give {device.address} another way first'}, or {allow}"
    return f"declare it as a device (provisioner senders discover --propose), or {allow} if it is not needed"


def _method_of(traffic: Traffic) -> str:
    if traffic.authentication:
        return HIGH_VOLUME_EMAIL if traffic.hve else CLIENT_SUBMISSION
    return DIRECT_SEND if traffic.connector == "" else SMTP_RELAY


def _device_of(traffic: Traffic, desired: Desired) -> Device | None:
    """The declared device whose mail it is, by its From address or by the mailbox that it signs in as."""
    names = {traffic.sender, traffic.mailbox} - {""}
    return next((d for d in desired.devices.values() if names & {*d.addresses, d.mailbox}), None)


def _who(several: Sequence[Traffic]) -> str:
    first = several[0]
    how = {"basic": " (signs in with a password)", "oauth": " (signs in with OAuth)", "any": " (signs in)"}
    sources = list(dict.fromkeys(_shown(t) for t in several if t.network))
    places = f" from {listed(sources)}" if sources and not first.authentication else ""
    as_ = f" as {first.mailbox}" if first.mailbox and first.mailbox != first.name else ""
    return f"{first.name}{as_}{how.get(first.authentication, '')}{places}"


def _shown(traffic: Traffic) -> str:
    return traffic.network.removesuffix("/32")


def _seen(traffic: Traffic) -> str:
    return f" on {traffic.seen[:10]}" if traffic.seen else ""


def _coded(decision: Decision) -> str:
    return f" ({decision.code})" if decision.code else ""


def _finding(identifier: str, summary: str, fix: str, cause: Address | None) -> Finding:
    rule = RULES[identifier]
    return Finding(rule.id, rule.severity, summary, fix, cause, rule.blocks)
