"""The sending paths of a change set, today's and planned, with the devices of the plan that use them. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from provisioner.mailflow import picture as pictures
from provisioner.mailflow.paths import (
    ACCOUNT,
    ANYONE,
    CERTIFICATE,
    CLOSES,
    DIRECT,
    DOMAIN,
    INHERITING,
    KEPT,
    MAILBOX,
    NETWORK,
    OPENS,
    PASSWORD,
    RIGHT,
    TOKEN,
    Outlook,
    Path,
    compare,
)
from provisioner.model import Action, Change, Desired, Observed, ResourceType, consequence
from provisioner.model.devices import CLIENT_SUBMISSION, DIRECT_SEND, HIGH_VOLUME_EMAIL, SMTP_RELAY, Device
from provisioner.model.paths import SendingPath
from provisioner.model.picture import (
    AppRole,
    Exemption,
    HighVolume,
    MailboxRight,
    PasswordPolicy,
    Picture,
    PolicyOf,
    Registration,
    Rejection,
    Relay,
    Restriction,
    SendRight,
    SignIn,
    shared,
)

DEVICE, MAIL, MISSING = "device", "mail", "missing"
_LISTED = frozenset(
    {
        AppRole,
        Exemption,
        HighVolume,
        MailboxRight,
        PasswordPolicy,
        PolicyOf,
        Registration,
        Rejection,
        Relay,
        Restriction,
        SendRight,
        SignIn,
    }
)
"""The words of which mailflow/paths.py lists the senders."""

_MANY = frozenset({MAILBOX, RIGHT, DOMAIN})
"""Kinds of which a tenant has so many that those without a change are listed for devices only."""


def sending_paths(
    desired: Desired, observed: Observed, changes: Sequence[Change], types: Sequence[ResourceType[Any]]
) -> tuple[SendingPath, ...]:
    """The paths that change, those that devices use, and those of connectors, in order."""
    mailboxes = sorted({d.mailbox for d in desired.devices.values() if d.mailbox})
    before = pictures.of_observed(observed, types, mailboxes)
    by_name = {t.name: t for t in types}
    pending = [c for c in changes if c.action is not Action.NO_OP]
    after = pictures.after(before, pending, types)
    outlook = compare(before, after)
    users = _users(desired, outlook, (before, after))
    counts = observed.others
    last = any(state == OPENS for state in outlook.states.values())
    closing = {c.address for c in pending if c.closes} if last else set()
    found = [
        (_path(path, state, outlook, tuple(users.get(path, ())), counts, path.through in closing), path.way)
        for path, state in outlook.states.items()
        if state != KEPT or path.kind not in _MANY or path in users
    ]
    stopping = [c for c in pending if consequence.STOPS in c.consequences]
    others = (_other(c) for c in stopping if not _LISTED & set(by_name[c.address.type].contributes))
    return tuple(sorted([*_merged(found), *_without(desired, outlook, users), *others], key=_place))


def _other(change: Change) -> SendingPath:
    """Mail that a change can stop without a sender that a path lists: signed by DKIM, or leaving the tenant."""
    return SendingPath(MAIL, str(change.address), str(change.address), (), "", CLOSES, loses=True)


def _path(
    path: Path, state: str, outlook: Outlook, devices: tuple[str, ...], counts: Mapping[str, int], last: bool
) -> SendingPath:
    counted = path.through.type if path.kind == INHERITING and path.through is not None else ""
    return SendingPath(
        path.kind,
        path.sender,
        str(path.through or ""),
        (),
        path.recipients,
        state,
        state == OPENS and (path.kind, path.sender) in outlook.admitted,
        state == CLOSES and (path.kind, path.sender) in outlook.stopped,
        state == CLOSES and last,
        devices,
        counts.get(counted),
    )


def _merged(found: Iterable[tuple[SendingPath, str]]) -> Iterator[SendingPath]:
    """Paths that differ in way and devices alone as one."""
    ways: dict[SendingPath, set[str]] = {}
    devices: dict[SendingPath, set[str]] = {}
    for path, way in found:
        same = dataclasses.replace(path, devices=())
        ways.setdefault(same, set()).add(way)
        devices.setdefault(same, set()).update(path.devices)
    for path, some in ways.items():
        yield dataclasses.replace(path, ways=tuple(sorted(some)), devices=tuple(sorted(devices[path])))


def _place(path: SendingPath) -> tuple[str, ...]:
    return path.kind, path.sender, path.through, path.state, *path.ways


# --- devices ---------------------------------------------------------------------------------------------------------


def _users(desired: Desired, outlook: Outlook, both: Sequence[Picture]) -> Mapping[Path, Sequence[str]]:
    """The devices that use each path, by the method that was chosen for them."""
    if not desired.choices:
        return {}
    names = {name: s.mailbox for picture in both for _, s in picture.every(SignIn) for name in s.addresses}
    by_kind: dict[str, list[Path]] = {}
    for path in outlook.states:
        by_kind.setdefault(path.kind, []).append(path)
    signing = {
        p.sender: [q for q in by_kind.get(MAILBOX, ()) if q.sender == p.sender] for p in by_kind.get(MAILBOX, ())
    }
    found: dict[Path, list[str]] = {}
    for name in (n for n in desired.choices if n in desired.devices):
        choice, device = desired.choices[name], desired.devices[name]
        match choice.method:
            case method if method == CLIENT_SUBMISSION:
                mailbox = names.get(device.mailbox, device.mailbox)
                used = signing.get(mailbox) or by_kind.get(INHERITING, [])
            case method if method == HIGH_VOLUME_EMAIL:
                used = [p for p in by_kind.get(ACCOUNT, ()) if p.sender == device.account]
            case method if method == SMTP_RELAY:
                used = list(_relays(device, desired, by_kind))
            case method if method == DIRECT_SEND:
                used = by_kind.get(DIRECT, [])
            case _:
                used = []
        for path in used:
            if _fits(path, choice.authentication):
                found.setdefault(path, []).append(name)
    return found


def _fits(path: Path, authentication: str) -> bool:
    """Whether a path takes what a device signs in with."""
    return path.kind not in {MAILBOX, INHERITING} or path.way == (TOKEN if authentication == "oauth" else PASSWORD)


def _relays(device: Device, desired: Desired, by_kind: Mapping[str, Sequence[Path]]) -> Iterator[Path]:
    site = desired.sites.get(device.site or "")
    networks = site.fixed if site else device.sender_ip_addresses
    for path in by_kind.get(NETWORK, ()):
        if path.recipients == ANYONE and shared(frozenset({path.sender}), networks):
            yield path
    yield from (p for p in by_kind.get(CERTIFICATE, ()) if p.recipients == ANYONE and p.sender == device.certificate)


def _without(desired: Desired, outlook: Outlook, users: Mapping[Path, Sequence[str]]) -> Iterator[SendingPath]:
    """The devices that have no path once the changes are made."""
    served = {name for path, names in users.items() if outlook.states[path] != CLOSES for name in names}
    for name, choice in desired.choices.items():
        sends = choice.method in {CLIENT_SUBMISSION, SMTP_RELAY, HIGH_VOLUME_EMAIL}
        if name not in served and sends and name in desired.devices:
            yield SendingPath(DEVICE, name, "", (), desired.devices[name].recipients, MISSING, devices=(name,))
