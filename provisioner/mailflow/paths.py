"""The sending paths of a tenant, listed: who may hand mail to it, and by which object. Two pictures are compared. Pure.

A path is a sender, a way and the object that gives it: a mailbox that signs in by its own switch or the organization's,
a network or a certificate that a connector names, an account of High Volume Email, an application, a right to send in
another name, mail that no connector restricts. A sender that has one way by two objects has two paths: when one of them
closes, the sender loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from provisioner.model import Address
from provisioner.model.picture import (
    ORGANIZATION,
    AppRole,
    Exemption,
    HighVolume,
    MailboxRight,
    Picture,
    Rejection,
    Relay,
    Restriction,
    SendRight,
    SignIn,
    holds,
)

MAILBOX, INHERITING, NETWORK, CERTIFICATE = "mailbox", "inheriting mailboxes", "network", "certificate"
ACCOUNT, APPLICATION, RIGHT, DOMAIN, DIRECT = "account", "application", "right", "domain", "direct send"
"""Whom a path is for: one mailbox or all that inherit the organization's switch, a source by its network or
certificate, an account of High Volume Email, an application on a mailbox, a mailbox in another name, mail of a domain
that needs no connector, anonymous mail in the name of an accepted domain."""

PASSWORD, TOKEN, ANONYMOUS = "password", "OAuth", "anonymous"
ANYONE, INSIDE = "anyone", "organization"


@dataclass(frozen=True, slots=True, order=True)
class Path:
    """One sender, one way, one object. `through` is None where the object was not read."""

    kind: str
    sender: str
    way: str
    through: Address | None
    recipients: str = ANYONE


def paths(picture: Picture, restricted: Mapping[str, Address]) -> frozenset[Path]:
    """All sending paths of a picture. `restricted` are the domains of which mail without a connector is listed too."""
    found = (finder(picture) for finder in (_sign_ins, _connectors, _accounts, _applications, _rights, _direct))
    return frozenset(path for some in found for path in some) | frozenset(_open_domains(picture, restricted))


def restricted(*pictures: Picture) -> Mapping[str, Address]:
    """The domains of which one of the pictures refuses mail from elsewhere, each with a connector that does."""
    found = {d: a for picture in pictures for a, r in picture.every(Restriction) for d in sorted(r.domains)}
    return dict(sorted(found.items()))


def gained(before: Iterable[Path], after: Iterable[Path], *, rejecting: bool) -> frozenset[tuple[str, str]]:
    """The senders, each with its kind, that have a way by `after` which nothing gives them in `before`.

    `rejecting`: direct send is rejected in `before`. Elsewhere the sources of a partner's connector reach the
    organization without it.
    """
    known = _Ways(before)
    return frozenset(
        (path.kind, path.sender)
        for path in after
        if not (
            known.hold(path) or (path.kind in {NETWORK, CERTIFICATE} and path.recipients == INSIDE and not rejecting)
        )
    )


class _Ways:
    """What senders have, by kind, way and recipients; networks and domains hold what lies in them."""

    def __init__(self, known: Iterable[Path]) -> None:
        self._senders: dict[tuple[str, str, str], set[str]] = {}
        for path in known:
            self._senders.setdefault(_way(path), set()).add(path.sender)
        self._scopes = {way: frozenset(s) for way, s in self._senders.items() if way[0] in {NETWORK, DOMAIN}}

    def hold(self, path: Path) -> bool:
        way = _way(path)
        if path.sender in self._senders.get(way, ()):
            return True
        return way in self._scopes and holds(self._scopes[way], path.sender)


def _way(path: Path) -> tuple[str, str, str]:
    return path.kind, path.way, path.recipients


# --- finding them ----------------------------------------------------------------------------------------------------


def _sign_ins(picture: Picture) -> Iterator[Path]:
    """Mailboxes that may sign in, and by which switch; those that nobody names inherit the organization's."""
    switches = picture.every(SignIn)
    organization = next((a for a, s in switches if s.mailbox == ORGANIZATION), None)
    open_ = picture.switch(ORGANIZATION) == "enabled"
    default = picture.policy_of(ORGANIZATION)
    if open_:
        passwords = default is None or default.smtp is not False
        yield from (Path(INHERITING, "", way, organization) for way in _ways(passwords))
    for address, switch in switches:
        inherits = switch.switch == "inherit"
        if switch.mailbox == ORGANIZATION or not (open_ if inherits else switch.switch == "enabled"):
            continue
        policy = picture.policy_of(switch.mailbox, *switch.addresses) or default
        own = policy if policy is None or policy.policy else default
        passwords = own is None or own.smtp is not False
        for way in _ways(passwords):
            yield Path(MAILBOX, switch.mailbox, way, organization if inherits else address)


def _ways(passwords: bool) -> Sequence[str]:
    return (PASSWORD, TOKEN) if passwords else (TOKEN,)


def _connectors(picture: Picture) -> Iterator[Path]:
    relays: list[tuple[Address, Relay | Exemption, str]] = [(a, known, ANYONE) for a, known in picture.every(Relay)]
    partners = [(a, known, INSIDE) for a, known in picture.every(Exemption)]
    for address, known, recipients in (*relays, *partners):
        for network in known.networks:
            yield Path(NETWORK, network, ANONYMOUS, address, recipients)
        if known.certificate:
            yield Path(CERTIFICATE, known.certificate, ANONYMOUS, address, recipients)


def _accounts(picture: Picture) -> Iterator[Path]:
    """Accounts of High Volume Email reach recipients of the organization only (Learn, "Manage high volume email")."""
    for address, account in picture.every(HighVolume):
        if account.billing is not False:
            yield Path(ACCOUNT, account.account, PASSWORD, address, INSIDE)
            for application in account.applications or ():
                yield Path(ACCOUNT, f"{application} at {account.account}", TOKEN, address, INSIDE)


def _applications(picture: Picture) -> Iterator[Path]:
    for address, right in picture.every(MailboxRight):
        yield Path(APPLICATION, f"{right.application} as {right.mailbox}", TOKEN, address)
    for address, role in picture.every(AppRole):
        for mailbox in (*role.mailboxes, *([role.others] if role.others else ())):
            yield Path(APPLICATION, f"{role.application} as {mailbox}", TOKEN, address)


def _rights(picture: Picture) -> Iterator[Path]:
    for address, right in picture.every(SendRight):
        yield Path(RIGHT, f"{right.trustee} as {right.sender}", TOKEN, address)


def _direct(picture: Picture) -> Iterator[Path]:
    """Anonymous mail in the name of an accepted domain, where RejectDirectSend is known to be off."""
    for address, rejection in picture.every(Rejection):
        if not rejection.rejects:
            yield Path(DIRECT, "", ANONYMOUS, address, INSIDE)


def _open_domains(picture: Picture, domains: Mapping[str, Address]) -> Iterator[Path]:
    """The domains of which mail is taken from anywhere, as far as no restriction names them."""
    refused = frozenset(d for _, r in picture.every(Restriction) for d in r.domains)
    yield from (Path(DOMAIN, d, ANONYMOUS, a, INSIDE) for d, a in domains.items() if not holds(refused, d))


# --- comparing two pictures ------------------------------------------------------------------------------------------

KEPT, OPENS, CLOSES = "kept", "opens", "closes"


@dataclass(frozen=True, slots=True)
class Outlook:
    """The paths of two pictures, each with KEPT, OPENS or CLOSES; the senders that gain a way, or lose one."""

    states: Mapping[Path, str]
    admitted: frozenset[tuple[str, str]]
    stopped: frozenset[tuple[str, str]]


def compare(before: Picture, after: Picture) -> Outlook:
    """What becomes of the sending paths."""
    domains = restricted(before, after)
    was, will = paths(before, domains), paths(after, domains)
    states = {p: OPENS if p not in was else CLOSES if p not in will else KEPT for p in was | will}
    rejected = [any(r.rejects for _, r in picture.every(Rejection)) for picture in (before, after)]
    admitted, stopped = gained(was, will, rejecting=rejected[0]), gained(will, was, rejecting=rejected[1])
    return Outlook(states, admitted, stopped)
