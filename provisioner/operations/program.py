"""The operations for a program without an event loop, under the names that the package offers.

Each is one line over its coroutine. The names say verb and object: `plan` and `render` are packages here, so
`provisioner.plan` cannot be a function too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from provisioner.border import Border
from provisioner.changes import changeset
from provisioner.clock import SYSTEM, Clock
from provisioner.model import ChangeSet
from provisioner.operations.applying import DEFAULTS, Applied, ApplyOptions, Saved, Terms, apply, load_saved
from provisioner.operations.connection import run
from provisioner.operations.context import Context
from provisioner.operations.drifting import Drift, drift
from provisioner.operations.examining import Examination
from provisioner.operations.examining import doctor as examine
from provisioner.operations.exporting import export
from provisioner.operations.loading import EVERYTHING, Loaded, Selection, validate
from provisioner.operations.planning import plan
from provisioner.operations.testing import Verdict, test
from provisioner.operations.undoing import Rollback, rollback
from provisioner.plan.export import Export
from provisioner.render.formats import rendered
from provisioner.settings import Profile
from provisioner.settings.files import load_settings


def load_profile(name: str | None = None, folder: str | Path | None = None, *, trust_settings: bool = False) -> Profile:
    """A profile of the settings files that count in a folder, the working directory by default.

    `trust_settings`: files of a checkout may say where tokens and passwords go.

    Raises InputError for an unknown profile and for settings with mistakes.
    """
    return load_settings(name, Path(folder) if folder else Path.cwd(), trusting=trust_settings)


def load_plan(context: Context, path: str | Path, selection: Selection = EVERYTHING) -> Loaded:
    """A plan, a file or a folder, with its warnings and the findings that need no tenant; InputError for mistakes."""
    return validate(context, Path(path), selection)


def plan_changes(context: Context, path: str | Path, selection: Selection = EVERYTHING) -> ChangeSet:
    """The change set of a plan against the tenant of the profile. Nothing is written."""
    return run(plan(context, Path(path), selection))


def apply_changes(
    context: Context,
    what: str | Path | ChangeSet | Saved,
    selection: Selection = EVERYTHING,
    options: ApplyOptions = DEFAULTS,
) -> Applied:
    """Apply exactly a change set, or a plan, which is planned first. How each change ended is in the outcome.

    Raises GuardRefused, TenantIncomplete, ChangeSetStale, Locked or Declined; nothing was written then.
    """
    return run(apply(context, Path(what) if isinstance(what, str) else what, selection, options))


def find_drift(context: Context, path: str | Path, selection: Selection = EVERYTHING) -> Drift:
    """Where the tenant is not as the plan declares it, and what of it was changed from outside."""
    return run(drift(context, Path(path), selection))


def export_plan(
    context: Context, types: Sequence[str] = (), selection: Selection = EVERYTHING, *, owner: str = ""
) -> Export:
    """The tenant as the text of a plan, and what is left out of it."""
    return run(export(context, types, selection, owner=owner))


def plan_rollback(context: Context, run_id: str = "last", selection: Selection = EVERYTHING) -> Rollback:
    """The change set that undoes a run of apply. Nothing is written."""
    return run(rollback(context, run_id, selection))


def doctor(context: Context, path: str | Path) -> Examination:
    """Whether everything that a run needs is in place."""
    return run(examine(context, Path(path)))


def run_tests(path: str | Path, clock: Clock = SYSTEM) -> Sequence[Verdict]:
    """Run the plan tests (*.test.yaml) of a file or a folder, each case on a sandbox of its own."""
    return test(Path(path), Border.of(Path(path)), clock, lambda _: None)


def render_changes(changes: ChangeSet, format_: str = "text") -> str:
    """A change set as text, json, markdown, html, powershell, github, gitlab, junit or sarif."""
    return rendered(format_, changeset.to_document(changes))


def save_changes(changes: ChangeSet, file: str | Path) -> None:
    """Save a change set for review; `load_changes` reads it again, and so does the command `apply`."""
    changeset.save(changeset.to_document(changes), Path(file))


def load_changes(context: Context, file: str | Path, terms: Terms | None = None) -> Saved:
    """A saved change set, verified. Raises ChangeSetStale for one that was edited or does not meet the terms."""
    return load_saved(context, Path(file), terms)
