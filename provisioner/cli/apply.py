"""`provisioner apply`."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from provisioner import engine, platforms
from provisioner.border import Border
from provisioner.changes import changeset
from provisioner.cli.options import (
    allows,
    apply_format,
    detailed_exitcode,
    duration,
    excludes,
    plan_path,
    replay,
    targets,
    viewing,
)
from provisioner.cli.output import STREAM, print_plan
from provisioner.cli.session import Session, crash_file, moment
from provisioner.diagnostics import ApplyIncomplete, Declined, Diagnostic, PermissionMissing, ProvisionerError
from provisioner.model import Address, ChangeSet
from provisioner.model.document import ChangeSetDocument, ResultDocument
from provisioner.operations.applying import Applied, ApplyOptions, Saved, Terms, admitted, apply, load_saved
from provisioner.operations.approving import Demand
from provisioner.operations.connection import run
from provisioner.operations.loading import Selection
from provisioner.operations.observed import observed_mail
from provisioner.render import stream, text
from provisioner.render.changes import is_rollback
from provisioner.render.diagnostics import diagnostics_json
from provisioner.render.escape import whole
from provisioner.render.review import asked_about
from provisioner.render.wrapping import wrapped


@click.command("apply")
@plan_path
@click.option("--auto-approve", is_flag=True, help="Apply without a question.")
@click.option(
    "--wait", "wait_s", default="0", metavar="TIME", help="Wait up to TIME for DNS records to appear (30s, 30m, 2h)."
)
@click.option("--max-age", metavar="TIME", help="Refuse a saved change set that is older than TIME (30m, 12h, 7d).")
@click.option("--expect-digest", metavar="SHA256", help="Refuse a saved change set with another digest.")
@click.option(
    "--plan",
    "plan",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Refuse a saved change set that this plan does not lead to.",
)
@click.option(
    "--require-approval",
    "people",
    type=click.IntRange(1, 16),
    metavar="N",
    help="Refuse a saved change set that fewer than N people have approved (provisioner approve).",
)
@click.option(
    "--approval",
    "approvals",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Use this approval instead of those beside the change set (repeatable).",
)
@click.option(
    "--lock-wait", "lock_wait_s", default="0", metavar="TIME", help="Wait up to TIME for another apply to finish."
)
@targets
@excludes
@allows
@replay
@viewing
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
    plan: Path | None,
    people: int | None,
    approvals: tuple[Path, ...],
    targets: tuple[str, ...],
    excludes: tuple[str, ...],
    allows: tuple[str, ...],
    replay: str | None,
    format_: str,
    detailed_exitcode: bool,
) -> int:
    """Apply a plan, or exactly a saved change set.

    The change set of a plan is shown, you are asked, and then exactly that change set is applied. A saved change set
    (plan -o FILE) is applied as it is, or refused when the tenant has changed since. It is shown and you are asked too,
    unless --expect-digest, --plan or approvals tie it to what was reviewed: CI and --auto-approve need one of them.
    """
    session.format, session.detailed = format_, detailed_exitcode
    view = _View(session, auto_approve)
    session.observers.append(view.tell)
    options = _options(view, wait_s, lock_wait_s)
    selection = Selection(targets, excludes, allows)
    if path.is_file() and changeset.is_changeset(path):
        if replay:
            raise click.UsageError(
                "--replay is for a plan: a saved change set keeps the mail that it was tried against"
            )
        demand = Demand(people or 0, approvals)
        terms = Terms(duration(max_age) if max_age else None, expect_digest, plan, selection, demand)
        saved = _reviewed(session, path, terms, view)
        return view.account(run(apply(session, saved, selection, options)))
    if max_age or expect_digest or plan or people or approvals:
        raise click.UsageError(
            "--max-age, --expect-digest, --plan, --require-approval and --approval are for a saved change set, and "
            "this is a plan"
        )
    selection = dataclasses.replace(selection, traffic=run(observed_mail(session, replay)))
    return view.account(run(apply(session, path, selection, options)))


def _options(view: _View, wait_s: str, lock_wait_s: str) -> ApplyOptions:
    return ApplyOptions(
        wait_s=duration(wait_s),
        lock_wait_s=duration(lock_wait_s),
        shown=view.show,
        approve=view.approve,
        stopping=_interruptible,
    )


def _reviewed(session: Session, path: Path, terms: Terms, view: _View) -> Saved:
    """A saved change set that may be carried out: tied to what was reviewed, or approved by a person now."""
    tied = bool(terms.digest or terms.plan or terms.approval.people_for(session))
    if not tied and (view.auto_approve or session.automated):
        raise click.UsageError(
            "in CI and with --auto-approve, a saved change set must be tied to what was reviewed: give --expect-digest "
            "SHA256 (the digest that the review showed) or --plan PATH (the plan that must lead to it), or require "
            "approvals (--require-approval N)"
        )
    selection = terms.selection
    if terms.plan is None and (selection.targets or selection.excludes):
        raise click.UsageError("a saved change set is carried out whole: --target and --exclude belong to plan")
    if terms.plan is not None:
        session.border = Border.of(terms.plan, lifted=session.border is not None and session.border.lifted)
    saved = admitted(load_saved(session, path, terms), selection)
    view.undoing = is_rollback(saved.document)
    for approval in saved.approvals:
        session.note(f"Approved by {approval}")
    if not tied and saved.found.pending:
        view.print(saved.document)
        if not view.approve(saved.found):
            raise Declined(f"{'Rollback' if view.undoing else 'Apply'} cancelled: nothing was changed.")
    return saved


@dataclass(slots=True)
class _View:
    """What a person sees of an apply: the change set, the question, the events, the account."""

    session: Session
    auto_approve: bool
    waiting_for: dict[Address, str] = field(default_factory=dict)
    undoing: bool = False

    def show(self, found: ChangeSet) -> None:
        self.print(changeset.to_document(found))

    def print(self, document: ChangeSetDocument) -> None:
        if self.session.format != "json":
            print_plan(self.session, document)

    def approve(self, found: ChangeSet) -> bool:
        if self.auto_approve:
            return True
        if not self.session.interactive:
            raise Declined(
                "cannot ask without a terminal, or in CI: use --auto-approve with a plan, --expect-digest or --plan "
                "with a saved change set"
            )
        about = asked_about(changeset.to_document(found), self.session.profile_label)
        question = f"Do you want to perform these actions in {about}? Only 'yes' will be accepted to approve."
        click.echo(f"\n{whole(wrapped(question, self.session.width(sys.stderr)))}", err=True)
        return self.session.says_yes()

    def tell(self, event: engine.Event) -> None:
        """A line for each beginning and end, as Terraform's."""
        if self.session.format == STREAM:
            self._stream(event)
            return
        match event:
            case engine.Started(change):
                self.session.note(f"{change.address}: {_BEGINNINGS[change.action.value]}...")
            case engine.Waiting(change, detail, waited_s, left_s):
                address = change.address
                self.session.note(f"{address}: still waiting for DNS ({waited_s:.0f}s elapsed, {left_s:.0f}s left)")
                if self.waiting_for.get(change.address) != detail:
                    self.waiting_for[change.address] = detail
                    self.session.note(f"{address}: {detail}")
            case engine.Finished(result) if result.status == "done":
                words = _ENDS[result.action.value]
                self.session.note(f"{result.address}: {words} complete after {result.seconds:.0f}s")
            case engine.Finished(result):
                self.session.note(f"{result.address}: {result.status.replace('_', ' ')}")

    def _stream(self, event: engine.Event) -> None:
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

    def account(self, applied: Applied) -> int:
        """Print how it ended, and give the exit code."""
        results, whole = tuple(map(_result, applied.outcome.results)), applied.outcome.converged
        failure = applied.outcome.failure
        broken = self._broken(failure)
        how: ProvisionerError | type[ProvisionerError] = (
            failure if isinstance(failure, PermissionMissing) else ApplyIncomplete
        )
        if self.session.format == "json":
            facts: dict[str, Any] = {"digest": applied.digest, "converged": whole, "results": list(results)}
            facts |= {"approved_by": [dataclasses.asdict(a) for a in applied.approvals]} if applied.approvals else {}
            if not whole:
                said = [Diagnostic("APPLY-BROKEN-OFF", broken)] if broken else []
                error = {"kind": how.kind, "exit_code": how.exit_code}
                facts["error"] = {**error, "diagnostics": diagnostics_json(said)}
            self.session.json(facts)
        elif self.session.format == STREAM:
            if applied.approvals:
                self.session.line(stream.approved(list(map(str, applied.approvals)), moment()))
            if whole:  # after an apply that failed there is no summary, as with Terraform
                done = Counter(r["action"] for r in results if r["status"] == "done")
                self.session.line(stream.summary(done, "apply", moment()))
        elif results or not self.session.quiet:
            self.session.result(
                text.account(
                    results,
                    broken=broken,
                    undoing=self.undoing,
                    color=self.session.colored(sys.stdout),
                    width=self.session.width(sys.stdout),
                )
            )
        if whole:
            return 0
        return 1 if self.session.detailed else how.exit_code

    def _broken(self, failure: Exception | None) -> str:
        """Why the run broke off, in words; "" where it did not."""
        if failure is None:
            return ""
        if isinstance(failure, PermissionMissing):
            return f"{failure}. Nothing else was sent. {failure.hint}"
        if isinstance(failure, ProvisionerError):
            return str(failure)
        if isinstance(failure, OSError):
            return f"the output cannot be written: {failure.strerror or failure}"
        return f"a fault of provisioner, {type(failure).__name__}. Details: {crash_file(failure)}"


_BEGINNINGS = {"create": "Creating", "update": "Modifying", "delete": "Destroying"}
_ENDS = {"create": "Creation", "update": "Modifications", "delete": "Destruction"}


def _result(result: engine.Result) -> ResultDocument:
    return {
        "address": str(result.address),
        "action": result.action.value,
        "status": result.status,
        "detail": result.detail,
        "warnings": list(result.warnings),
        "seconds": round(result.seconds, 3),
    }


@contextlib.contextmanager
def _interruptible() -> Iterator[asyncio.Event]:
    """An event that the first Ctrl-C sets, so that the write in flight can end; the second ends everything.

    The same for SIGTERM, which a pipeline sends, and SIGHUP, which a terminal sends that is closed.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def first() -> None:
        stop.set()
        with contextlib.suppress(OSError):  # the terminal may be gone
            click.echo("\nInterrupted: finishing what is in flight. Once more ends at once.", err=True)

    with platforms.on_endings(lambda: loop.call_soon_threadsafe(first)):
        yield stop
