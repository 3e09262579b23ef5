"""What is proposed for a plan, brought to a file: beside what is declared already, and over nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from provisioner.border import Border, read_named, write_result
from provisioner.diagnostics import Diagnostic, InputError, Severity
from provisioner.model import Desired
from provisioner.model.listing import counted
from provisioner.operations.context import Context
from provisioner.plan import device_lists, document, evidence, proposing
from provisioner.plan.device_lists import List
from provisioner.plan.files import is_plan_file
from provisioner.plan.proposing import Proposal
from provisioner.plan.yaml_nodes import LARGEST_BYTES
from provisioner.resources import TYPES
from provisioner.senders.inventory import Inventory


def read_list(path: Path, mapped: dict[str, str]) -> List:
    """A list that a person names. Raises InputError for one that cannot be read."""
    try:
        content = read_named(path, LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        what = f"{path} cannot be read: {why}"
        raise InputError([Diagnostic("LIST-UNREADABLE", what, "name a CSV file")]) from error
    if len(content) > LARGEST_BYTES:
        what = f"{path}: a list is {LARGEST_BYTES // 2**20} MB at most"
        raise InputError([Diagnostic("LIST-TOO-LARGE", what, "split it into several files")])
    return device_lists.read(content, path.as_posix(), mapped)


def written(context: Context, found: Proposal, out: Path | None, *, tenant: str = "", overwrite: bool = False) -> str:
    """The text of what is proposed, written to `out` if that is given; what its folder declares is left out.

    Raises InputError where `out` exists and is not to be overwritten, or the other files of its plan have mistakes.
    """
    if out is None:
        return proposing.text(found, tenant=tenant)
    _refuse(out, overwrite=overwrite)
    declared = declared_beside(context, out)
    if declared is not None:
        found = proposing.beside(found, declared)
    for sentence in found.passed_over:
        context.note(f"Left out: {sentence}")
    headed = declared is not None and bool(declared.tenant)
    text = proposing.text(found, tenant="" if headed else tenant)
    write_result(out, text, private=False, folders=True)
    context.note(f"Written to {out}: {counted(len(found.sites), 'site')}, {counted(len(found.devices), 'device')}.")
    if found.incomplete:
        open_ = counted(len(found.incomplete), "device")
        context.note(f"Commented out until the questions in the file are answered: {open_}.")
    if not tenant and not headed:
        context.note("The plan still needs its header: provisioner: 1 and tenant: (or use --tenant).")
    return text


def propose(
    context: Context, inventory: Inventory, place: Path, answers: Mapping[str, str], *, overwrite: bool = False
) -> Path:
    """Write what an inventory proposes beside what the folder declares, and say where. Raises as `written`.

    `place` is a file, or the folder of a plan, where it is `senders.yaml`.
    """
    out = place if is_plan_file(place.name) and not place.is_dir() else place / "senders.yaml"
    _refuse(out, overwrite=overwrite)
    given = device_lists.answers(answers)
    found = evidence.answered(evidence.proposal(inventory, declared_beside(context, out)), given)
    written(context, found, out, tenant=inventory.tenant, overwrite=overwrite)
    return out


def _refuse(out: Path, *, overwrite: bool) -> None:
    if os.path.lexists(out) and not overwrite:
        what = f"{out} exists, and is not overwritten"
        raise InputError([Diagnostic("OUT-EXISTS", what, "name another file, or use --overwrite")])


def declared_beside(context: Context, out: Path) -> Desired | None:
    """What the other files of the folder declare; None where there are none."""
    try:
        others = sorted(p for p in out.parent.iterdir() if is_plan_file(p.name) and p.name != out.name)
    except OSError:
        return None
    if not others:
        return None
    border = Border.of(out.parent)
    desired, told = document.read(others, TYPES, today=context.today(), variables=context.variables, border=border)
    wrong = [d for d in told if d.severity is Severity.ERROR and d.id != "KEY-MISSING"]
    if wrong:
        raise InputError(wrong)
    return desired
