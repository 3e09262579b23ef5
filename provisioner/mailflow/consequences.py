"""What a change opens and closes, computed from what the object contributes before and after. Pure.

Every word of the sending picture is compared on its own axes: what grows exposure as it grows, what refuses more mail
as it grows. A resource type writes down no consequence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from provisioner.mailflow.picture import contributions
from provisioner.mailflow.senders import EVERYONE, Group, Groups
from provisioner.model import Action, Effect, ResourceType, consequence
from provisioner.model.names import caseless
from provisioner.model.picture import (
    ADDRESS,
    ANY,
    CERTIFICATE,
    NONE,
    ORGANIZATION,
    Acceptance,
    AddressFilter,
    AppRole,
    Contribution,
    Exemption,
    HighVolume,
    LegacyTls,
    MailboxRight,
    MailRule,
    OutboundLimit,
    PasswordPolicy,
    PolicyOf,
    Privilege,
    Registration,
    Rejection,
    Relay,
    Restriction,
    Route,
    Scope,
    SendRight,
    Signature,
    SignIn,
    holds,
    within,
)

W = TypeVar("W", bound=Contribution)


def effects(kind: ResourceType[Any], before: Any | None, after: Any | None) -> frozenset[Effect]:
    """What turning the whole object `before` into the whole object `after` opens and closes.

    None is an object that does not exist. The picture around the object is not looked at: what another object opens
    too counts as opened or closed here, which is the cautious side for the order of changes.
    """
    return compared(contributions(kind, before), contributions(kind, after))


def consequences(action: Action, found: Collection[Effect]) -> tuple[str, ...]:
    """The consequences of a change, worst first; ("neutral",) where there is none, () where nothing changes."""
    if action is Action.NO_OP:
        return ()
    words = {_WORDS[effect] for effect in found}
    if action is Action.DELETE:
        words.add(consequence.DELETES)
    return tuple(c for c in consequence.WORST_FIRST if c in words) or (consequence.NEUTRAL,)


_WORDS = {Effect.OPENS: consequence.WIDENS, Effect.CLOSES: consequence.STOPS}


def compared(before: Iterable[Contribution], after: Iterable[Contribution]) -> frozenset[Effect]:
    """What lies between two sets of contributions. Equal sets open and close nothing."""
    was, will = frozenset(before), frozenset(after)
    if was == will:
        return frozenset()
    found = {Effect.OPENS: _opened(was, will, _exposure), Effect.CLOSES: _closed(was, will, _exposure)}
    return frozenset(effect for effect, groups in found.items() if groups)


def opened(before: Iterable[Contribution], after: Iterable[Contribution]) -> Groups:
    """The senders that get a path.

    A partner's connector that restricts its domains to sources counts as a path of these: it exempts them from
    RejectDirectSend, which another change may switch on. Another authentication policy counts as a path of those who
    get it, also where their password was admitted before: the policy that they leave may cease to admit it.
    """
    was, will = frozenset(before), frozenset(after)
    return _opened(was, will, _admissions) | frozenset((*_leaving(was, will), *_not_ours(was, will)))


def closed(before: Iterable[Contribution], after: Iterable[Contribution]) -> Groups:
    """The senders that lose a path, or whose mail is refused or held back, or may be by RejectDirectSend then."""
    was, will = frozenset(before), frozenset(after)
    return _closed(was, will, _admissions) | frozenset(_not_ours(will, was))


def admitted(before: Iterable[Contribution], after: Iterable[Contribution]) -> Groups:
    """The senders that are admitted, apart from what is refused no more and from switches."""
    return frozenset(_admits_more(_admissions(frozenset(before)), _admissions(frozenset(after))))


def _opened(was: frozenset[Contribution], will: frozenset[Contribution], admitted: Admitted) -> Groups:
    switched = _switched(was, will, Effect.OPENS)
    return frozenset((*_admits_more(admitted(was), admitted(will)), *_refuses_less(was, will), *switched))


def _closed(was: frozenset[Contribution], will: frozenset[Contribution], admitted: Admitted) -> Groups:
    switched = _switched(was, will, Effect.CLOSES)
    return frozenset((*_admits_more(admitted(will), admitted(was)), *_refuses_less(will, was), *switched))


def _of(word: type[W], contributions: Iterable[Contribution]) -> frozenset[W]:
    return frozenset([c for c in contributions if isinstance(c, word)]) if contributions else frozenset()


# --- what grows with exposure ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Admission:
    """What is admitted on one axis; every scope grows with exposure.

    `group` are the senders that it is about. `of` says what the scope is of them: "sources", "domains", or neither.
    """

    axis: str
    scope: Scope
    group: Group
    of: str = ""

    def about(self, items: Scope) -> Group:
        """The senders that a part of the scope is about."""
        group = self.group
        if self.of == "sources":
            return dataclasses.replace(group, networks=group.networks & items, certificates=group.certificates & items)
        return dataclasses.replace(group, domains=items) if self.of == "domains" else group


Admitted = Callable[[frozenset[Contribution]], Sequence[_Admission]]


def _admits_more(before: Sequence[_Admission], after: Sequence[_Admission]) -> Iterator[Group]:
    """Whom `after` admits that `before` does not, axis by axis."""
    was: dict[str, Scope] = {}
    for admission in before:
        was[admission.axis] = was.get(admission.axis, NONE) | admission.scope
    for admission in after:
        more = frozenset(i for i in admission.scope if not holds(was.get(admission.axis, NONE), i))
        if more:
            yield admission.about(more)


def _exposure(contributions: frozenset[Contribution]) -> Sequence[_Admission]:
    """What is admitted.

    A partner's connector that restricts its domains to sources is judged by what it refuses: its sources could send
    before, but for RejectDirectSend.
    """
    restricts = any(r.demand in (ADDRESS, CERTIFICATE) for r in _of(Restriction, contributions))
    return _admissions(contributions - _of(Exemption, contributions) if restricts else contributions)


def _admissions(contributions: frozenset[Contribution]) -> Sequence[_Admission]:
    if not contributions:
        return ()
    return (
        *_of_connectors(contributions),
        *(_Admission("spared", one.spared, Group(networks=one.spared), "sources")
          for one in _of(AddressFilter, contributions)),
        *_of_privileges(contributions),
        *(_Admission("legacy TLS", ANY if one.taken else NONE, EVERYONE) for one in _of(LegacyTls, contributions)),
        *_of_routes(contributions),
        *_of_accounts(contributions),
        *_of_domains_of_the_tenant(contributions),
        *_of_applications(contributions),
        *(_Admission("right", frozenset({f"{r.trustee} as {r.sender}"}), Group(frozenset({r.trustee, r.sender})))
          for r in _of(SendRight, contributions)),
    )  # fmt: skip


def _of_connectors(contributions: frozenset[Contribution]) -> Iterator[_Admission]:
    for known in _connectors(contributions):
        group = _group(known)
        if isinstance(known, Relay):
            yield _Admission("relay", _sources(known), group, "sources")
            yield _Admission("clear text", frozenset({"clear text"}) if known.clear_text else NONE, group)
        limits = ("domains", "associated") if isinstance(known, Exemption) else ("associated", "domains")
        yield _Admission("sources", _sources(known), group, "sources")
        yield _Admission(limits[0], getattr(known, limits[0]), group, "domains")
        yield _Admission(limits[1], getattr(known, limits[1]), group)


def _of_domains_of_the_tenant(contributions: frozenset[Contribution]) -> Iterator[_Admission]:
    """Accepted domains: what is accepted, who may send, and who is written to. What is not known counts as usual."""
    for one in _of(Acceptance, contributions):
        own = frozenset({one.domain})
        below = frozenset({f"*.{one.domain}"}) if one.subdomains else NONE
        yield _Admission("domain", own | below, Group(domains=own), "domains")
        yield _Admission("sending", NONE if one.sending is False else own, Group(domains=own))
        yield _Admission("receiving", NONE if one.receiving is False else own, Group(domains=own))
        passed_on = own if one.kind in {"internal_relay", "external_relay"} else NONE
        yield _Admission("unknown recipients", passed_on, Group(recipients=own))


def _not_ours(before: frozenset[Contribution], after: frozenset[Contribution]) -> Iterator[Group]:
    """Senders of subdomains that are accepted no more: RejectDirectSend refuses mail of accepted domains only."""
    was, will = ({a.domain for a in _of(Acceptance, some) if a.subdomains} for some in (before, after))
    if gone := was - will:
        yield Group(domains=frozenset(f"*.{domain}" for domain in gone))


def _of_privileges(contributions: frozenset[Contribution]) -> Iterator[_Admission]:
    """A privilege is about the senders of its connector."""
    whose = {_group(known) for known in _connectors(contributions)}
    for privilege in _of(Privilege, contributions):
        for group in whose or {EVERYONE}:
            yield _Admission(f"privilege {privilege.name}", privilege.mail, group)


def _of_applications(contributions: frozenset[Contribution]) -> Iterator[_Admission]:
    """Applications stand among the senders by their client id, as far as no mailbox of theirs is known."""
    for known in _of(Registration, contributions):
        yield _Admission("application", frozenset({known.application}), Group(frozenset({known.application})))
    for right in _of(MailboxRight, contributions):
        both = frozenset({right.application, right.mailbox})
        yield _Admission("mailbox right", frozenset({f"{right.application} on {right.mailbox}"}), Group(both))
    for held in _of(AppRole, contributions):
        senders = held.mailboxes | {held.application}
        mail = held.mailboxes | (frozenset({held.others}) if held.others else NONE)
        yield _Admission(f"role {held.role} of {held.application}", mail, Group(senders))


def _of_routes(contributions: frozenset[Contribution]) -> Iterator[_Admission]:
    for route in _of(Route, contributions):
        yield _Admission("hosts", route.hosts, Group(recipients=route.mail or ANY))
        yield _Admission("mail of hosts", route.mail if route.hosts else NONE, Group(recipients=route.mail or ANY))


def _of_accounts(contributions: frozenset[Contribution]) -> Iterator[_Admission]:
    """Accounts of High Volume Email, as far as their billing lets them send, and who may sign in as them.

    An account has mail too, which a domain of type internal_relay passed on before there was the account.
    """
    for account in _of(HighVolume, contributions):
        domain = account.account.rpartition("@")[2]
        yield _Admission("recipient", frozenset({account.account}), Group(recipients=frozenset({domain})))
        if account.billing is not False:
            group = Group(frozenset({account.account}))
            yield _Admission("account", frozenset({account.account}), group)
            applications = frozenset(f"{one} at {account.account}" for one in account.applications or NONE)
            yield _Admission("application", applications, group)


def _connectors(contributions: frozenset[Contribution]) -> Sequence[Relay | Exemption]:
    """Those that name a source."""
    found: list[Relay | Exemption] = [*_of(Relay, contributions), *_of(Exemption, contributions)]
    return [known for known in found if _sources(known)]


def _group(known: Relay | Exemption) -> Group:
    """The senders of a connector. SenderDomains limits those of a partner, AssociatedAcceptedDomains those of both."""
    domains = known.associated if isinstance(known, Relay) else known.domains
    certificates = frozenset({known.certificate}) if known.certificate else NONE
    return Group(networks=known.networks, certificates=certificates, domains=ANY if "*" in domains else domains)


def reach(contributions: Iterable[Contribution]) -> object:
    """From which sources and domains an object takes mail, comparable between objects; None for no mail at all."""
    all_of_it = frozenset(contributions)
    by_source = frozenset((type(c), c.domains, c.networks, c.certificate) for c in _connectors(all_of_it))
    return by_source or frozenset(c.domains for c in _of(Restriction, all_of_it)) or None


def reaches(kind: ResourceType[Any]) -> bool:
    """Whether objects of a type can have a reach: whether the type announces a word that tells one."""
    return not {Relay, Exemption, Restriction}.isdisjoint(kind.contributes)


def _sources(known: Relay | Exemption) -> Scope:
    return known.networks | ({known.certificate} if known.certificate else NONE)


# --- what refuses ----------------------------------------------------------------------------------------------------


def _refuses_less(before: frozenset[Contribution], after: frozenset[Contribution]) -> Iterator[Group]:
    """Whose mail `before` refuses or holds back, and `after` does not."""
    left = _of(Restriction, after)
    for restriction in _of(Restriction, before):
        if not any(other.covers(restriction) for other in left):
            yield _lifted(restriction, left)
    blocked = frozenset[str]().union(*(f.refused for f in _of(AddressFilter, after)))
    for one in _of(AddressFilter, before):
        if free := frozenset(n for n in one.refused if not holds(blocked, n)):
            yield Group(networks=free)
    rules, others = _of(MailRule, before), _of(MailRule, after)
    lifted = any(rule.fate and not any(o.covers(rule) for o in others) for rule in rules)
    if lifted or any(other.spares and not any(r.covers(other) for r in rules) for other in others):
        yield EVERYONE
    for rule in rules:
        if rule.tls and not any(other.tls and other.spans(rule) for other in others):
            yield Group(recipients=rule.recipient_domains or ANY)
    if _demands_more(_route(after), _route(before)):
        yield Group(recipients=_route(before).mail or ANY)


def _lifted(restriction: Restriction, left: Collection[Restriction]) -> Group:
    """Those whom a restriction refuses and what is left of it does not.

    Where only its sources grow, these are the senders from the new ones; else all of its domains, or those that are
    not restricted so any more.
    """
    same = [r for r in left if r.demand == restriction.demand]
    wider = next((r for r in same if within(restriction.domains, r.domains)), None)
    if wider is not None:
        fresh = frozenset(s for s in wider.sources if not holds(restriction.sources, s))
        return _of_domains(restriction.domains, fresh, restriction.demand)
    still = frozenset().union(*(r.domains for r in same if within(r.sources, restriction.sources)))
    free = frozenset(d for d in restriction.domains if not holds(still, d))
    return _of_domains(free or restriction.domains)


def _of_domains(domains: Scope, sources: Scope = NONE, demand: str = ADDRESS) -> Group:
    """Senders in the name of domains, from sources or from anywhere; of every domain from anywhere, everyone."""
    whose = ANY if "*" in domains else domains
    if sources:
        return Group(networks=sources, domains=whose) if demand == ADDRESS else Group(NONE, NONE, sources, whose)
    return EVERYONE if whose == ANY else Group(domains=whose)


def _route(contributions: frozenset[Contribution]) -> Route:
    """All routes as one; an object has one, or none."""
    routes = _of(Route, contributions)
    return Route(
        frozenset().union(*(r.mail for r in routes)),
        frozenset().union(*(r.hosts for r in routes)),
        frozenset().union(*(r.demands for r in routes)),
    )


def _demands_more(before: Route, after: Route) -> bool:
    """Whether `after` holds mail back that `before` delivers: to hosts of both, or along MX records as without it."""
    fresh = after.demands - before.demands
    if after.hosts:
        return bool(fresh and after.hosts & before.hosts)
    bound = NONE if before.hosts else before.mail
    return bool(fresh) or (bool(after.demands) and not within(after.mail, bound))


# --- switches --------------------------------------------------------------------------------------------------------

_FREEDOM = {"disabled": 0, "inherit": 1, "enabled": 2}


def _switched(before: frozenset[Contribution], after: frozenset[Contribution], effect: Effect) -> Iterator[Group]:
    """Whom what has a state and no extent opens or closes a path for. An unknown switch is judged with caution."""
    known = {s.mailbox: _FREEDOM[s.switch] for s in _of(SignIn, before)}
    for switch in _of(SignIn, after) - _of(SignIn, before):
        wider = _FREEDOM[switch.switch] > known.get(switch.mailbox, _FREEDOM["inherit"])
        if wider is (effect is Effect.OPENS):
            yield EVERYONE if switch.mailbox == ORGANIZATION else Group(frozenset({switch.mailbox}))
    yield from _assigned(before, after, effect)
    yield from _rewritten(before, after, effect)
    yield from _limited(before, after, effect)
    for rejection in _of(Rejection, after) - _of(Rejection, before):
        if rejection.rejects is (effect is Effect.CLOSES):
            yield EVERYONE
    signed = {s.domain for s in _of(Signature, before)} - {s.domain for s in _of(Signature, after)}
    if signed and effect is Effect.CLOSES:
        yield Group(domains=frozenset(signed))


def _limited(before: frozenset[Contribution], after: frozenset[Contribution], effect: Effect) -> Iterator[Group]:
    """Everyone, where a policy lets mailboxes send more, or less: which ones it holds for, other objects say."""
    known = {caseless(limit.policy): limit for limit in _of(OutboundLimit, before)}
    for limit in _of(OutboundLimit, after):
        was = known.get(caseless(limit.policy), limit).most
        pairs = list(zip(was, limit.most, strict=True))
        if any(will > most if effect is Effect.OPENS else will < most for most, will in pairs):
            yield EVERYONE


_MAY, _INHERITS, _MAY_NOT = 2, 1, 0


def _assigned(before: frozenset[Contribution], after: frozenset[Contribution], effect: Effect) -> Iterator[Group]:
    """Whose password another authentication policy admits, or no longer. One of unknown content may do either."""
    known = {p.mailbox: p for p in _of(PolicyOf, before)}
    for policy in _of(PolicyOf, after) - _of(PolicyOf, before):
        was, will = _lets_in(known.get(policy.mailbox, PolicyOf(policy.mailbox, ""))), _lets_in(policy)
        if was is None or will is None or (will > was if effect is Effect.OPENS else will < was):
            yield _whose(policy)


def _lets_in(policy: PolicyOf) -> int | None:
    """How freely a policy lets passwords in. Without one, a mailbox has the default, and the default is all."""
    if not policy.policy:
        return _MAY if policy.mailbox == ORGANIZATION else _INHERITS
    return {True: _MAY, False: _MAY_NOT, None: None}[policy.smtp]


def _leaving(before: frozenset[Contribution], after: frozenset[Contribution]) -> Iterator[Group]:
    """Those who get another policy than they have, or none, unless it refuses their password."""
    known = {p.mailbox: caseless(p.policy) for p in _of(PolicyOf, before)}
    for policy in _of(PolicyOf, after):
        if policy.smtp is not False and caseless(policy.policy) != known.get(policy.mailbox, ""):
            yield _whose(policy)


def _whose(policy: PolicyOf) -> Group:
    return EVERYONE if policy.mailbox == ORGANIZATION else Group(frozenset({policy.mailbox}))


def _rewritten(before: frozenset[Contribution], after: frozenset[Contribution], effect: Effect) -> Iterator[Group]:
    """For whom a policy that changes lets passwords in, or no longer: for those that have it. A new one has nobody."""
    known = {p.name: p for p in _of(PasswordPolicy, before)}
    for policy in _of(PasswordPolicy, after) - _of(PasswordPolicy, before):
        was = known.get(policy.name)
        if was is None or policy.smtp is was.smtp:
            continue
        opens = policy.smtp is not False and was.smtp is not True
        closes = policy.smtp is not True and was.smtp is not False
        if opens if effect is Effect.OPENS else closes:
            holders = policy.holders
            if holders is None or ORGANIZATION in holders:
                yield EVERYONE
            elif holders:
                yield Group(holders)
