"""`provisioner test`: each case on a sandbox of its own, planned, applied and planned again by the users' path."""

from __future__ import annotations

import functools
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from provisioner.border import Border
from provisioner.clock import Clock
from provisioner.diagnostics import Diagnostic, InputError, NotFound, ProvisionerError
from provisioner.operations.applying import apply
from provisioner.operations.connection import run, signed_in
from provisioner.operations.context import Context, Silent
from provisioner.operations.loading import Selection
from provisioner.operations.planning import plan
from provisioner.operations.sandboxes import Sandbox, check_start, open_sandbox
from provisioner.plan.cases import Case, Result, judge, load
from provisioner.plan.files import is_test_file, outside
from provisioner.plan.variables import Given

_AT_ONCE = 2
_CONFIRM_S = 10.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A case, what is not as it expects, and how long it took."""

    case: Case
    failures: tuple[str, ...]
    seconds: float


def test(path: Path, border: Border, clock: Clock, judged: Callable[[Verdict], None]) -> Sequence[Verdict]:
    """Run the cases of a file, or of all *.test.yaml of a folder; `judged` is given each verdict as it comes.

    Raises InputError for a test file with mistakes, for a folder without one, and without the sandbox's libraries.
    """
    if not border.admits(path):
        raise InputError([outside(path, border)])
    check_start(())
    cases = [case for file in _files(path) for case in load(file, border)]
    verdicts = []
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for verdict in threads.map(functools.partial(_run, clock=clock, border=border), cases):
            verdicts.append(verdict)
            judged(verdict)
    return verdicts


def _files(path: Path) -> Sequence[Path]:
    if path.is_file():
        return [path]
    files = sorted(p for p in path.rglob("*") if is_test_file(p.name)) if path.is_dir() else []
    if not files:
        raise InputError([Diagnostic("TEST-FILE", f"{path}: there is no *.test.yaml", "name a file or a folder")])
    return files


def _run(case: Case, clock: Clock, border: Border) -> Verdict:
    """A case on a sandbox that is there for it alone, and gone afterwards."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="provisioner-test-") as name:
        try:
            failures = tuple(judge(case, _happened(case, Path(name), clock, border)))
        except ProvisionerError as error:
            failures = tuple(f"{d.id}: {d.summary}" for d in error.diagnostics)
    return Verdict(case, failures, time.monotonic() - began)


def _happened(case: Case, folder: Path, clock: Clock, border: Border) -> Result:
    """The case on its sandbox, with the rows of the tenant afterwards."""
    body, here = case.body, case.file.parent
    given = body.get("given", {})
    seeds = [_seed(here / seed, border) for seed in given.get("seeds", ())]
    if "tenant" in given:
        seeds.append(folder / "given.json")
        seeds[-1].write_text(json.dumps({"sandbox": 1, **given["tenant"]}), encoding="utf-8")
    path = _plan(body["plan"], here, folder)
    inside = border.with_root(path) if path.parent == folder else border
    variables = {n: Given(v, f"the case {case.name}") for n, v in body.get("variables", {}).items()}
    with open_sandbox(*seeds, state=folder / "sandbox") as sandbox:
        for step in given.get("run", ()):
            sandbox.cmdlet(step["cmdlet"], step.get("parameters", {}))
        context = replace(_patient(sandbox, clock), variables=variables, border=inside)
        result = run(try_plan(context, path, Selection(allows=tuple(body.get("allow", ())))))
        result.rows = [_rows(sandbox, wanted) for wanted in body["expect"].get("after", ())]
        return result


def _patient(sandbox: Sandbox, clock: Clock) -> Silent:
    """The sandbox's context, whose writes must be seen within seconds."""
    context = sandbox.context(clock)
    timeouts = context.profile.timeouts.model_copy(update={"confirm_s": _CONFIRM_S})
    return replace(context, profile=context.profile.model_copy(update={"timeouts": timeouts}))


async def try_plan(context: Context, path: Path, selection: Selection) -> Result:
    """What planning shows, whether it can be applied, and what is left afterwards. Raises as `plan` and `apply` do."""
    async with signed_in(context) as tenant:
        first = await plan(context, path, selection, tenant)
        refused = tuple(f.rule for f in first.findings if f.blocks and not f.waived)
        refused += tuple(str(a) for a in first.unknown)
        result = Result(first, refused)
        if not refused and first.pending:
            applied = await apply(context, first, selection, tenant=tenant)
            result.unfinished = tuple(
                f"{r.address}: {r.status} {r.detail}"
                for r in applied.outcome.results
                if r.status not in {"done", "already_done"}
            )
            again = await plan(context, path, selection, tenant)
            result.left = tuple(str(c.address) for c in again.pending)
        return result


def _seed(seed: Path, border: Border) -> Path:
    """A seed or an export. One outside of the checkout is never read: the sandbox quotes what is wrong with it."""
    if not border.holds(seed):
        what = f"{seed} is outside of {border.roots[0]}, the checkout or folder of the tests"
        raise InputError([Diagnostic("PLAN-OUTSIDE", what, "move the seed into the checkout")])
    if not seed.is_file():
        raise InputError([Diagnostic("SEED-MISSING", f"{seed} is not there", "name a seed or an export")])
    return Path(os.path.realpath(seed))


def _rows(sandbox: Sandbox, wanted: Mapping[str, Any]) -> Sequence[Any]:
    try:
        found: Sequence[Any] = sandbox.cmdlet(wanted["cmdlet"], wanted.get("parameters", {}))["rows"]
    except NotFound:
        return ()
    return found


def _plan(written: str, here: Path, folder: Path) -> Path:
    """A plan by its path seen from the test file, or its text as a file."""
    if "\n" not in written:
        return here / written
    path = folder / "plan.yaml"
    path.write_text(written, encoding="utf-8")
    return path
