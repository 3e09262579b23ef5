"""A rehearsal of the switch-off for a ring of mailboxes: a change set that blocks their passwords, and what came of it.

The change set is planned, reviewed, applied and undone like every other. Exchange refuses what an authentication policy
blocks before it asks Entra (Learn, "Disable Basic authentication in Exchange Online": "at the first pre-authentication
step"), so that a refused password is not in the sign-in log: who logged in before and is silent since tells it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from provisioner import engine
from provisioner.border import read_named
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.engine import journal
from provisioner.model import Action, Address, Answer, ChangeSet, Desired, Resource, Unknown, request_key
from provisioner.model.checking import adapter_of
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.operations.history import journal_of
from provisioner.operations.loading import EVERYTHING, Selection
from provisioner.operations.planning import preview
from provisioner.operations.replaying import read_inventory
from provisioner.resources import TYPES
from provisioner.resources.canonical import recipient_name
from provisioner.resources.rows import user
from provisioner.senders import sign_ins
from provisioner.senders.inventory import BASIC, SUBMISSION, Failure
from provisioner.senders.observing import Observation, moment

POLICY = "block-basic"
_POLICIES, _ASSIGNMENTS, _PART = "authentication_policies", "assignments", "authentication_policy"
_LARGEST_BYTES = 2**20

State = Literal["still_logs_in", "refused", "silent", "not_seen"]


def ring_of(names: Sequence[str]) -> tuple[str, ...]:
    """The mailboxes of a ring: addresses, and files with one on each line or an inventory of senders (JSON).

    Of an inventory those that log in with a password are meant. Raises InputError for a name that is neither.
    """
    found = [mailbox for name in names for mailbox in (_file(Path(name)) if "@" not in name else (name,))]
    wrong = [_amiss(f'"{text}" of --ring: {error}') for text in found if (error := _mistake(text))]
    if wrong:
        raise InputError(wrong)
    if not found:
        raise InputError([_amiss("--ring names no mailbox")])
    return tuple(dict.fromkeys(map(recipient_name, found)))


def _file(path: Path) -> Sequence[str]:
    if path.suffix.lower() == ".json":
        senders = read_inventory(path).senders
        return [s.mailbox for s in senders if s.mailbox and s.protocol in {BASIC, SUBMISSION}]
    try:
        content = read_named(path, _LARGEST_BYTES + 1)
        if len(content) > _LARGEST_BYTES:
            raise ValueError(f"larger than {_LARGEST_BYTES >> 20} MB")
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError([_amiss(f"--ring {path} cannot be read: {why}")]) from error
    return [text for line in lines if (text := line.partition("#")[0].strip())]


def _mistake(text: str) -> str:
    try:
        recipient_name(text)
    except ValueError as error:
        return str(error)
    return ""


def _amiss(what: str, hint: str = "write an address, or a file with one address on each line") -> Diagnostic:
    return Diagnostic("RING-INVALID", what, hint)


# --- the change set --------------------------------------------------------------------------------------------------


async def rehearse(
    context: Context,
    ring: Sequence[str],
    policy: str = POLICY,
    selection: Selection = EVERYTHING,
    tenant: Tenant | None = None,
) -> ChangeSet:
    """The change set that blocks passwords for SMTP for a ring: the policy, and who gets it. Nothing is written.

    Raises InputError for a policy of this name that lets passwords in: others may have it.
    """
    selection.waivers()  # raises before anybody signs in
    sections = {
        _POLICIES: {policy: {"allow_basic_smtp": False}},
        _ASSIGNMENTS: {_PART: {"mailboxes": dict.fromkeys(ring, policy)}},
    }
    resources = _declared(sections)
    async with signed_in(context, tenant) as opened:
        desired = Desired(opened.identity.initial_domain, "", resources, declared_only=True)
        found, _ = await preview(context, desired, selection, opened)
    changed = next((c for c in found.changes if c.address == Address(_PART, policy)), None)
    if changed is not None and changed.action is Action.UPDATE:
        what = f'the tenant has an authentication policy "{policy}" that lets passwords in for SMTP'
        raise InputError([Diagnostic("RING-POLICY", what, "choose the name of another one, or a new name: --policy")])
    return found


def _declared(sections: Mapping[str, object]) -> dict[Address, Resource]:
    """What the sections of a plan declare, in the order of the types. Raises InputError for a name of a policy."""
    found: dict[Address, Resource] = {}
    for kind in TYPES:
        if kind.section in sections:
            try:
                section = adapter_of(kind.section_type).validate_python(sections[kind.section], strict=True)
            except ValueError as error:
                raise InputError(
                    [_amiss(f"--policy: {error}", "write the name of an authentication policy")]
                ) from error
            for declared in kind.declare(section, ""):
                address = Address(kind.name, declared.key)
                found[address] = Resource(address, declared.spec)
    return found


# --- what came of it -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the sign-in log says about one mailbox, before and after the change."""

    mailbox: str
    state: State
    logins_before: int
    logins_after: int
    last_login: str
    last_address: str
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The outcomes of a ring since a moment. `unread` is why the log was not read, or only in part; "" for whole."""

    since: str
    outcomes: tuple[Outcome, ...]
    unread: str = ""
    readable: bool = True


async def report(context: Context, ring: Sequence[str], since: str = "", tenant: Tenant | None = None) -> Report:
    """What the sign-in log says about a ring since its change, which the journal dates where `since` does not.

    Raises InputError where neither tells when that was.
    """
    if since and not moment(since):
        raise InputError([_amiss(f'--since: "{since}" is not a time', "write it as 2026-12-01T08:00:00Z")])
    async with signed_in(context, tenant) as opened:
        began = moment(since) or _changed(context, opened.identity.tenant_id, ring)
        first = dt.datetime.fromisoformat(context.moment()) - dt.timedelta(days=sign_ins.DAYS)
        start = f"{first:%Y-%m-%dT%H:%M:%SZ}"
        logs = [sign_ins.interactive(start), *sign_ins.every_kind(start)]
        people = [user.LISTING] if len(ring) > len(logs) else [user.look_up(mailbox) for mailbox in ring]
        answers = await engine.ask([*logs, *people], opened.ports, reads=context.profile.reads_at_once)
    read = [answer for request in logs if isinstance(answer := answers[request_key(request)], Answer)]
    failed = [answer for request in logs if isinstance(answer := answers[request_key(request)], Unknown)]
    seen = list(sign_ins.decode(row for answer in read for row in answer.rows))
    users = [answer for request in people if isinstance(answer := answers[request_key(request)], Answer)]
    names = _names(ring, users)
    outcomes = tuple(_outcome(mailbox, [o for o in seen if o.login in names[mailbox]], began) for mailbox in ring)
    unread = "; ".join(dict.fromkeys(answer.reason for answer in failed))
    return Report(began, outcomes, f"{unread} (it takes {sign_ins.PERMISSION})" if unread else "", bool(read))


def _changed(context: Context, tenant_id: str, ring: Sequence[str]) -> str:
    """When the last run gave the first of these mailboxes its policy."""
    brought = journal.brought(journal_of(context, tenant_id))
    kinds = [kind.name for kind in TYPES if kind.section == _ASSIGNMENTS]
    deeds = [brought.get(str(Address(kind, mailbox))) for kind in kinds for mailbox in ring]
    times = [moment(deed.time) for deed in deeds if deed is not None]
    if not times:
        what = "the journal has no run that gave one of these mailboxes an authentication policy"
        raise InputError([_amiss(what, "say when it was changed: --since 2026-12-01T08:00:00Z")])
    return min(times)


def _names(ring: Sequence[str], users: Iterable[Answer]) -> Mapping[str, frozenset[str]]:
    """The names by which the log may call each mailbox."""
    found = {mailbox: frozenset({mailbox}) for mailbox in ring}
    for one in (user.decode(row) for answer in users for row in answer.rows):
        for mailbox in one.addresses & found.keys():
            found[mailbox] |= one.addresses
    return found


def _outcome(mailbox: str, seen: Sequence[Observation], since: str) -> Outcome:
    before = [o for o in seen if o.last < since]
    after = [o for o in seen if o.last >= since]
    logins = sorted((o for o in seen if o.logins), key=lambda o: o.last)
    refused: dict[tuple[str, str], int] = {}
    for o in after:
        if o.failures:
            refused[o.code, o.reason] = refused.get((o.code, o.reason), 0) + o.failures
    earlier, later = (sum(o.logins for o in part) for part in (before, after))
    state: State = "not_seen"
    if refused:
        state = "refused"
    elif later:
        state = "still_logs_in"
    elif earlier:
        state = "silent"
    last = logins[-1] if logins else None
    failures = tuple(Failure(code, reason, count) for (code, reason), count in sorted(refused.items()))
    when, where = (last.last, last.ip_address) if last else ("", "")
    return Outcome(mailbox, state, earlier, later, when, where, failures)


def document(found: Report) -> dict[str, object]:
    """The report as JSON."""
    return dataclasses.asdict(found)
