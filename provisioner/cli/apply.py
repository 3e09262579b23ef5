"""`provisioner apply`."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import getpass
import json
import signal
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provisioner.cli.options import (
    allows,
    apply_format,
    detailed_exitcode,
    duration,
    excludes,
    plan_path,
    targets,
)
from provisioner.cli.output import STREAM, print_plan
from provisioner.cli.session import Session, moment
from provisioner.diagnostics import (
    ApplyIncomplete,
    ChangeSetStale,
    Declined,
    Diagnostic,
    GuardRefused,
    TenantIncomplete,
)
from provisioner.operations.planning import Selection, make_plan, run, validate_first, with_tenant
from provisioner.operations.state import journal_path, locks_of

if TYPE_CHECKING:
    from provisioner.engine import Event, Outcome, Result
    from provisioner.model import Address, ChangeSet
    from provisioner.tenant.connect import TenantIdentity
    from provisioner.tenant.ports import Ports


@click.command("apply")
@plan_path
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@click.option("--wait", "wait_s", default="0", metavar="TIME", help="Wait so long for DNS (30s, 30m, 2h).")
@click.option("--max-age", metavar="TIME", help="Refuse a saved change set that is older (30m, 12h, 7d).")
@click.option("--expect-digest", metavar="SHA256", help="Refuse any saved change set but the one with this digest.")
@click.option("--lock-wait", "lock_wait_s", default="0", metavar="TIME", help="Wait so long for another apply to end.")
@targets
@excludes
@allows
@apply_format
@detailed_exitcode
@click.pass_obj
def command(
    session: Session,
    path: Path,
    auto_approve: bool,
    wait_s: str,
    lock_wait_s: str,
    max_age: str | None,
    expect_digest: str | None,
    targets: tuple[str, ...],
    excludes: tuple[str, ...],
    allows: tuple[str, ...],
    format_: str,
    detailed_exitcode: bool,
) -> int:
    """Carry out a plan, or exactly a saved change set.

    A plan is shown, and asked about; then that very change set is carried out. A saved change set (plan -o FILE) was
    reviewed already: it is carried out as it is, or refused when the tenant has moved since.
    """
    session.format, session.detailed = format_, detailed_exitcode
    from provisioner.changes import changeset

    work = _Apply(session, Selection(targets, excludes, allows), auto_approve, duration(wait_s), duration(lock_wait_s))
    if path.is_file() and changeset.is_changeset(path):
        if targets or excludes:
            raise click.UsageError("a saved change set is carried out whole: --target and --exclude belong to plan")
        from provisioner.changes import verification
        from provisioner.resources import TYPES

        # Verified before anybody signs in: nothing is asked in the name of a file that cannot be believed.
        document, found = verification.load(path, TYPES)
        Terms(duration(max_age) if max_age else None, expect_digest).check(path, document, session.clock.now())
        return run(with_tenant(session, lambda ports, identity: work.saved(path, document, found, ports, identity)))
    if max_age or expect_digest:
        raise click.UsageError("--max-age and --expect-digest speak of a saved change set, and this is a plan")
    validate_first(session, path, work.selection)
    return run(with_tenant(session, lambda ports, identity: work.fresh(path, ports, identity)))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a saved change set must be: not older than so many seconds, and the very one that was approved."""

    max_age_s: float | None = None
    digest: str | None = None

    def check(self, path: Path, document: Mapping[str, Any], now: dt.datetime) -> None:
        """Raise ChangeSetStale where it is another, too old, or past its own date."""
        ours = document["provisioner"]
        wanted = self.digest and f"sha256:{self.digest.lower().removeprefix('sha256:')}"
        if wanted and ours["digest"] != wanted:
            raise ChangeSetStale(f"{path} has the digest {ours['digest']}, which is not the one that was approved")
        age_s = (now - _moment(document["timestamp"])).total_seconds()
        if self.max_age_s is not None and age_s > self.max_age_s:
            raise ChangeSetStale(
                f"{path} was made {_length(age_s)} ago, and --max-age allows {_length(self.max_age_s)}"
            )
        if ours.get("expires") and now > _moment(ours["expires"]):
            raise ChangeSetStale(f"{path} expired at {ours['expires']}: plan again, and have it reviewed")


def _moment(text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        raise ChangeSetStale(f'"{text}" is no time: the change set does not say when it was made') from None


def _length(seconds: float) -> str:
    """A length of time in its largest whole unit."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} seconds"


class _Apply:
    """One apply, from the change set to its account."""

    def __init__(
        self, session: Session, selection: Selection, auto_approve: bool, wait_s: float, lock_wait_s: float
    ) -> None:
        self.session, self.selection = session, selection
        self._auto_approve, self._wait_s, self._lock_wait_s = auto_approve, wait_s, lock_wait_s
        self._stop: asyncio.Event | None = None
        self._waiting_for: dict[Address, str] = {}

    async def saved(
        self, path: Path, document: Mapping[str, Any], found: ChangeSet, ports: Ports, identity: TenantIdentity
    ) -> int:
        """Exactly a saved file, verified, no question."""
        import dataclasses

        from provisioner import rules

        if found.tenant_id != identity.tenant_id:
            raise ChangeSetStale(
                f"{path} was made for {found.tenant} ({found.tenant_id}); this profile signs in to "
                f"{identity.initial_domain} ({identity.tenant_id})"
            )
        waivers = [rules.parse_allow(a) for a in self.selection.allows]
        found = dataclasses.replace(found, findings=tuple(rules.waive(found.findings, waivers)))
        return await self._go(found, document, ports)

    async def fresh(self, path: Path, ports: Ports, identity: TenantIdentity) -> int:
        """A plan: shown, asked about, carried out."""
        from provisioner.changes import changeset

        found = await make_plan(self.session, path, self.selection, ports, identity)
        document = changeset.to_document(found)
        if self.session.format != "json":
            print_plan(self.session, document)
        if not found.pending and not found.errored and not any(f.blocks == "precondition" for f in found.findings):
            return self._account(document, ())
        _refuse(found)
        if not self._auto_approve:
            self._ask()
        return await self._go(found, document, ports)

    def _ask(self) -> None:
        if not self.session.interactive:
            raise Declined("nobody is there to be asked: use --auto-approve, or apply a saved change set")
        click.echo("\nDo you want to perform these actions? Only 'yes' will be accepted to approve.", err=True)
        answer = click.prompt("  Enter a value", default="", show_default=False, err=True)
        if answer.strip() != "yes":
            raise Declined("Apply cancelled: nothing was changed.")

    async def _go(self, found: ChangeSet, document: Mapping[str, Any], ports: Ports) -> int:
        from provisioner import engine
        from provisioner.diagnostics import ProvisionerError
        from provisioner.engine import journal, locking
        from provisioner.model import Address
        from provisioner.resources import TYPES

        _refuse(found)
        clock = self.session.clock
        run_id, record_path = uuid.uuid4().hex[:12], journal_path(found.tenant_id)
        holder = locking.Holder.me(run_id, getpass.getuser(), clock)
        digest = document["provisioner"]["digest"]
        profile, loop = self.session.profile, asyncio.get_running_loop()
        with locking.hold(
            locks_of(profile, found.tenant_id, clock),
            holder,
            wait_s=self._lock_wait_s,
            on_wait=lambda other: self.session.note(f"Waiting for {other}"),
            on_lost=lambda reason: _told(loop, self._lock_lost, reason),
            clock=clock,
        ):
            begun = [Address.parse(a) for a in journal.begun(record_path, digest)]
            with journal.Journal.open(record_path, run_id) as record, _interruptible() as stop:
                self._stop = stop
                record.record(
                    "begin",
                    digest=digest,
                    tenant=found.tenant,
                    tenant_id=found.tenant_id,
                    owner=found.owner,
                    commit=found.commit,
                    actor=holder.actor,
                )
                try:
                    outcome = await engine.apply(
                        found,
                        TYPES,
                        ports,
                        reads=profile.reads_at_once,
                        writes=profile.writes_at_once,
                        confirm_s=profile.timeouts.confirm_s,
                        wait_s=self._wait_s,
                        begun=begun,
                        observer=_Observers(record.observe, self._tell),
                        stop=stop,
                        clock=clock,
                    )
                except ProvisionerError as error:
                    record.record("end", error={"kind": error.kind, "text": str(error)})
                    raise
                record.record("end", converged=outcome.converged)
        return self._account(document, _results(outcome))

    def _lock_lost(self, reason: str) -> None:
        """Somebody else may be writing: finish what is in flight, begin nothing more."""
        click.echo(f"Stopping: {reason}", err=True)
        if self._stop is not None:
            self._stop.set()

    def _tell(self, event: Event) -> None:
        """A line for each beginning and end, as Terraform's."""
        from provisioner import engine
        from provisioner.render.escape import visible

        if self.session.format == STREAM:
            self._stream(event)
            return
        match event:
            case engine.Started(change):
                self.session.note(f"{visible(str(change.address))}: {_BEGINNINGS[change.action.value]}...")
            case engine.Waiting(change, detail, waited_s, left_s):
                address = visible(str(change.address))
                self.session.note(f"{address}: still waiting for DNS ({waited_s:.0f}s elapsed, {left_s:.0f}s left)")
                if self._waiting_for.get(change.address) != detail:
                    self._waiting_for[change.address] = detail
                    self.session.note(f"{address}: {visible(detail)}")
            case engine.Finished(result) if result.status == "done":
                words = _ENDS[result.action.value]
                self.session.note(f"{visible(str(result.address))}: {words} complete after {result.seconds:.0f}s")
            case engine.Finished(result):
                self.session.note(f"{visible(str(result.address))}: {result.status.replace('_', ' ')}")

    def _stream(self, event: Event) -> None:
        from provisioner import engine
        from provisioner.render import stream

        match event:
            case engine.Started(change):
                address = change.address
                line = stream.started(str(address), address.type, address.key, change.action.value, moment())
                self.session.line(line)
            case engine.Waiting(change, detail, waited_s, _):
                address = change.address
                line = stream.progressed(
                    str(address), address.type, address.key, change.action.value, detail, waited_s, moment()
                )
                self.session.line(line)
            case engine.Finished(result):
                address = result.address
                self.session.line(stream.finished(_result(result), address.type, address.key, moment()))

    def _account(self, document: Mapping[str, Any], results: tuple[dict[str, Any], ...]) -> int:
        whole = all(r["status"] in {"done", "already_done"} for r in results)
        if self.session.format == "json":
            facts = {"digest": document["provisioner"]["digest"], "converged": whole, "results": list(results)}
            if not whole:
                code = ApplyIncomplete.exit_code
                facts["error"] = {"kind": ApplyIncomplete.kind, "exit_code": code, "diagnostics": []}
            self.session.result(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
        elif self.session.format == STREAM:
            from provisioner.render import stream

            if whole:  # after an apply that failed there is no summary, as with Terraform
                done = Counter(r["action"] for r in results if r["status"] == "done")
                self.session.line(stream.summary(done, "apply", moment()))
        elif results or not self.session.quiet:
            from provisioner.render import text

            self.session.result(text.account(results, color=self.session.colored(sys.stdout)))
        if whole:
            return 0
        return 1 if self.session.detailed else ApplyIncomplete.exit_code


_BEGINNINGS = {"create": "Creating", "update": "Modifying", "delete": "Destroying"}
_ENDS = {"create": "Creation", "update": "Modifications", "delete": "Destruction"}


def _told(loop: asyncio.AbstractEventLoop, what: Callable[[str], None], text: str) -> None:
    """Tell something from another thread, in the loop's own time."""
    loop.call_soon_threadsafe(lambda: what(text))


class _Observers:
    """Several observers as one, told in turn: the journal first."""

    def __init__(self, *observers: Any) -> None:
        self._observers = observers

    def __call__(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)


def _results(outcome: Outcome) -> tuple[dict[str, Any], ...]:
    return tuple(map(_result, outcome.results))


def _result(result: Result) -> dict[str, Any]:
    return {
        "address": str(result.address),
        "action": result.action.value,
        "status": result.status,
        "detail": result.detail,
        "warnings": list(result.warnings),
        "seconds": round(result.seconds, 3),
    }


def _refuse(found: ChangeSet) -> None:
    """Raise what keeps a change set from being applied."""
    if found.errored:
        reasons = [u.reason for u in (*found.unknown.values(), *found.unlisted.values())]
        raise TenantIncomplete(f"nothing was changed, since the tenant could not be read completely: {reasons[0]}")
    standing = [f for f in found.findings if f.blocks and not f.waived]
    if standing:
        said = [Diagnostic(f.rule, f.summary, f.mend, f.severity, f.location) for f in standing]
        raise GuardRefused(f"{len(standing)} findings stand in the way; nothing was changed", said)


@contextlib.contextmanager
def _interruptible() -> Iterator[asyncio.Event]:
    """An event that the first Ctrl-C sets, so that the write in flight can end; the second ends everything."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def first() -> None:
        click.echo("\nInterrupted: finishing what is in flight. Once more ends at once.", err=True)
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, first if number == signal.SIGINT else stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
