"""Which outbound spam policy holds for a mailbox, and what it lets the mailbox send. Pure.

Policies and their rules are evidence; the limits of one that the plan declares count as they are or will be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from provisioner.mailflow.attempt import Attempt, Decision, Refusal, refused
from provisioner.mailflow.lists import told
from provisioner.mailflow.picture import Evidence
from provisioner.model import Request
from provisioner.model.names import caseless
from provisioner.model.picture import OutboundLimit, Picture, Scope, SignIn
from provisioner.resources.rows import outbound_spam
from provisioner.resources.rows.outbound_spam import Limits, OutboundRule, Senders

QUESTIONS: tuple[Request, ...] = (outbound_spam.POLICIES, outbound_spam.RULES)
REASON = "outbound_limit"
_CODE = "550 5.1.8"
RAISE = "raise the limit, or give the mailbox a policy of its own"


@dataclass(frozen=True, slots=True)
class Holding:
    """A policy that holds for a mailbox, with the rule that gives it, "" for the Default one.

    `missing` says what decides whether it holds, "" where it certainly does.
    """

    policy: str
    rule: str
    limits: Limits
    missing: str = ""

    @property
    def named(self) -> str:
        given = f' (rule "{self.rule}")' if self.rule else ""
        return f'the outbound spam policy "{self.policy}"{given}'


def policies_of(picture: Picture, evidence: Evidence, mailbox: str) -> tuple[list[Holding], str]:
    """The policy that holds for a mailbox, after those that may; and why that is not known, where it was not read."""
    known, doubt = told(evidence, outbound_spam.POLICIES, outbound_spam.limits)
    rules, more = told(evidence, outbound_spam.RULES, outbound_spam.rules)
    if known is None or rules is None:
        return [], doubt or more
    declared = {
        caseless(one.policy): Limits(one.per_day, one.external_per_hour, one.internal_per_hour, one.blocks)
        for _, one in picture.every(OutboundLimit)
    }
    every = {**known, **declared}
    names = frozenset({mailbox}).union(*(s.addresses for _, s in picture.every(SignIn) if s.mailbox == mailbox))
    found: list[Holding] = []
    missing = ""
    for rule in rules:
        met = _means(rule, names)
        if met is None:
            groups = ", ".join(sorted(rule.senders.groups | rule.excepted.groups))
            missing = missing or f"whether {mailbox} is a member of {groups}"
        if met is not False:
            found.append(Holding(rule.policy, rule.name, every.get(caseless(rule.policy), Limits()), missing))
        if met:
            return found, ""
    return [*found, Holding("Default", "", every.get(outbound_spam.DEFAULT, Limits()), missing)], ""


def _means(rule: OutboundRule, names: Scope) -> bool | None:
    """Whether a rule means a mailbox; None where members of a group decide."""
    meant, spared = [*_met(rule.senders, names)], [*_met(rule.excepted, names)]
    if False in meant or True in spared:
        return False
    return None if None in meant or None in spared else True


def _met(senders: Senders, names: Scope) -> Iterator[bool | None]:
    if senders.addresses:
        yield not names.isdisjoint(senders.addresses)
    if senders.groups:
        yield None
    if senders.domains:
        yield any(name.rpartition("@")[2] in senders.domains for name in names)


def of_limits(picture: Picture, attempt: Attempt, path: str, evidence: Evidence) -> Iterator[Decision]:
    """What a policy does to a mailbox that has sent so much: it is blocked (Learn, "Restricted entities", 5.1.8)."""
    if not attempt.authentication or attempt.hve:
        return
    reached = attempt.sent_before + attempt.recipients
    holding, doubt = policies_of(picture, evidence, attempt.mailbox)
    if doubt and reached > 1:  # no limit is below one recipient a day
        yield Decision(None, path, missing=(f"the outbound spam policies ({doubt})",), possible=(REASON,))
    for one in holding:
        most = one.limits.per_day
        if not (most and one.limits.blocks and reached > most):
            continue
        what = f"{one.named} stops {attempt.mailbox} after {most:,} recipients a day"
        by = tuple(a for a, c in picture.every(OutboundLimit) if caseless(c.policy) == caseless(one.policy))
        if one.missing:
            yield Decision(None, path, by, REASON, "", what, (one.missing,), RAISE)
        else:
            yield refused(path, [Refusal(REASON, _CODE, what, by, RAISE)])
