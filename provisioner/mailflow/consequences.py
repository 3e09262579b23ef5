"""What a change opens and closes, computed from what the object contributes before and after. Pure.

Every word of the sending picture is compared on its own axes: what grows exposure as it grows, what refuses more mail
as it grows. A resource type writes down no consequence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from provisioner.mailflow.picture import contributions
from provisioner.model import Action, Effect, ResourceType, consequence
from provisioner.model.picture import (
    ADDRESS,
    CERTIFICATE,
    NONE,
    Acceptance,
    Contribution,
    Exemption,
    Privilege,
    Rejection,
    Relay,
    Restriction,
    Route,
    Scope,
    SendRight,
    Signature,
    SignIn,
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
    found = set(_switched(was, will))
    if _admits_more(was, will) or _refuses_less(was, will):
        found.add(Effect.OPENS)
    if _admits_more(will, was) or _refuses_less(will, was):
        found.add(Effect.CLOSES)
    return frozenset(found)


def _of(word: type[W], contributions: Iterable[Contribution]) -> frozenset[W]:
    return frozenset(c for c in contributions if isinstance(c, word))


# --- what grows with exposure ----------------------------------------------------------------------------------------


def _admits_more(before: frozenset[Contribution], after: frozenset[Contribution]) -> bool:
    """Whether `after` admits something on one axis that `before` does not."""
    was, will = _exposure(before), _exposure(after)
    rights = (_of(Acceptance, after) - _of(Acceptance, before), _of(SendRight, after) - _of(SendRight, before))
    return any(rights) or any(not within(scope, was.get(axis, NONE)) for axis, scope in will.items())


def _exposure(contributions: frozenset[Contribution]) -> Mapping[str, Scope]:
    """What is admitted, by axis; every scope grows with exposure.

    A partner's connector that restricts its domains to sources is judged by what it refuses: its sources could send
    before, but for RejectDirectSend.
    """
    restricts = any(r.demand in (ADDRESS, CERTIFICATE) for r in _of(Restriction, contributions))
    axes: dict[str, Scope] = {}

    def grow(axis: str, scope: Scope) -> None:
        axes[axis] = axes.get(axis, NONE) | scope

    for relay in _of(Relay, contributions):
        if _sources(relay):
            grow("relay", _sources(relay))
            grow("clear text", frozenset({"clear text"}) if relay.clear_text else NONE)
    for known in (*_of(Relay, contributions), *(() if restricts else _of(Exemption, contributions))):
        if _sources(known):
            grow("sources", _sources(known))
            grow("domains", known.domains)
            grow("associated", known.associated)
    for privilege in _of(Privilege, contributions):
        grow(f"privilege {privilege.name}", privilege.mail)
    for route in _of(Route, contributions):
        grow("hosts", route.hosts)
        grow("mail of hosts", route.mail if route.hosts else NONE)
    return axes


def reach(contributions: Iterable[Contribution]) -> object:
    """From which sources and domains an object takes mail, comparable between objects; None for no mail at all."""
    all_of_it = frozenset(contributions)
    known: list[Relay | Exemption] = [*_of(Relay, all_of_it), *_of(Exemption, all_of_it)]
    by_source = frozenset((type(c), c.domains, c.networks, c.certificate) for c in known if _sources(c))
    return by_source or frozenset(c.domains for c in _of(Restriction, all_of_it)) or None


def _sources(known: Relay | Exemption) -> Scope:
    return known.networks | ({known.certificate} if known.certificate else NONE)


# --- what refuses ----------------------------------------------------------------------------------------------------


def _refuses_less(before: frozenset[Contribution], after: frozenset[Contribution]) -> bool:
    """Whether `before` refuses or holds back mail that `after` does not."""
    left = _of(Restriction, after)
    lifted = any(not any(other.covers(one) for other in left) for one in _of(Restriction, before))
    return lifted or _demands_more(_route(after), _route(before))


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


def _switched(before: frozenset[Contribution], after: frozenset[Contribution]) -> Iterator[Effect]:
    """The effects of what has a state and no extent. A switch that was not known is judged with caution."""
    known = {s.mailbox: _FREEDOM[s.switch] for s in _of(SignIn, before)}
    for switch in _of(SignIn, after) - _of(SignIn, before):
        wider = _FREEDOM[switch.switch] > known.get(switch.mailbox, _FREEDOM["inherit"])
        yield Effect.OPENS if wider else Effect.CLOSES
    for rejection in _of(Rejection, after) - _of(Rejection, before):
        yield Effect.CLOSES if rejection.rejects else Effect.OPENS
    if {s.domain for s in _of(Signature, before)} - {s.domain for s in _of(Signature, after)}:
        yield Effect.CLOSES
