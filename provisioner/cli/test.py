"""`provisioner test`."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import click

from provisioner.border import Border
from provisioner.cli.options import allow_outside
from provisioner.cli.session import Session
from provisioner.diagnostics import Diagnostic, InputError, NotFound, ProvisionerError

if TYPE_CHECKING:
    from provisioner.clock import Clock
    from provisioner.plan.cases import Case, Result

_AT_ONCE = 2


@dataclasses.dataclass(frozen=True, slots=True)
class _Verdict:
    case: Case
    failures: tuple[str, ...]
    seconds: float


@click.command("test")
@click.argument("path", type=click.Path(path_type=Path), default=Path("plans"), required=False)
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write the results as JUnit XML too.")
@allow_outside
@click.pass_obj
def command(session: Session, path: Path, junit: Path | None, outside: bool) -> int:
    """Run the tests of plans (*.test.yaml) of a file or a folder, each case on a sandbox of its own.

    Exit 0 when all pass, 1 when one fails, 3 for a test file that is wrong.
    """
    from provisioner.plan.cases import load

    border = session.border = Border.of(path, lifted=outside)
    cases = [case for file in _files(path) for case in load(file, border)]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        verdicts = []
        for verdict in threads.map(functools.partial(_run, clock=session.clock, border=border), cases):
            verdicts.append(verdict)
            _print(session, verdict)
    failed = sum(bool(v.failures) for v in verdicts)
    session.result(f"{len(verdicts) - failed} passed, {failed} failed.\n")
    if junit:
        _write(junit, verdicts)
    return 1 if failed else 0


def _files(path: Path) -> Sequence[Path]:
    if path.is_file():
        return [path]
    files = sorted(path.rglob("*.test.yaml")) if path.is_dir() else []
    if not files:
        raise InputError([Diagnostic("TEST-FILE", f"{path}: there is no *.test.yaml", "name a file or a folder")])
    return files


def _print(session: Session, verdict: _Verdict) -> None:
    from provisioner.render.escape import visible

    word = "FAIL" if verdict.failures else "ok"
    session.result(visible(f"{word}  {verdict.case.file}: {verdict.case.name} ({verdict.seconds:.1f}s)") + "\n")
    for failure in verdict.failures:
        session.result(visible(f"      {failure}") + "\n")


def _write(junit: Path, verdicts: Sequence[_Verdict]) -> None:
    from provisioner.render.escape import visible

    suite = ET.Element("testsuite", name="provisioner test", tests=str(len(verdicts)))
    suite.set("failures", str(sum(bool(v.failures) for v in verdicts)))
    for verdict in verdicts:
        attributes = {"classname": str(verdict.case.file), "name": verdict.case.name}
        case = ET.SubElement(suite, "testcase", {k: visible(v) for k, v in attributes.items()})
        case.set("time", f"{verdict.seconds:.3f}")
        for failure in verdict.failures:
            ET.SubElement(case, "failure", message=visible(failure))
    ET.indent(suite)
    try:
        junit.write_text(ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n", encoding="utf-8")
    except OSError as error:
        what = f"--junit: {junit} cannot be written: {error.strerror or error}"
        raise InputError([Diagnostic("OUT-WRITE", what, "choose another place")]) from error


# --- one case --------------------------------------------------------------------------------------------------------


def _run(case: Case, clock: Clock, border: Border) -> _Verdict:
    """A case on a sandbox that is there for it alone, and gone afterwards."""
    from provisioner.plan.cases import judge

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="provisioner-test-") as name:
        try:
            failures = tuple(judge(case, asyncio.run(_happened(case, Path(name), clock, border))))
        except ProvisionerError as error:
            failures = tuple(f"{d.id}: {d.summary}" for d in error.diagnostics)
    return _Verdict(case, failures, time.monotonic() - began)


async def _happened(case: Case, folder: Path, clock: Clock, border: Border) -> Result:
    """The case on its sandbox, planned and applied as `plan` and `apply` do it."""
    from provisioner.cli.sandbox import running
    from provisioner.operations.context import Silent
    from provisioner.operations.planning import Selection
    from provisioner.operations.testing import try_plan
    from provisioner.plan.variables import Given

    body, here = case.body, case.file.parent
    given = body.get("given", {})
    seeds = [_seed(here / seed, border) for seed in given.get("seeds", ())]
    if "tenant" in given:
        seeds.append(folder / "given.json")
        seeds[-1].write_text(json.dumps({"sandbox": 1, **given["tenant"]}), encoding="utf-8")
    path = _plan(body["plan"], here, folder)
    inside = border.with_root(path) if path.parent == folder else border
    variables = {n: Given(v, f"the case {case.name}") for n, v in body.get("variables", {}).items()}
    with running(folder / "sandbox", seeds) as sandbox:
        for step in given.get("run", ()):
            sandbox.cmdlet(step["cmdlet"], step.get("parameters", {}))
        context = Silent(sandbox.profile, folder / "state", variables, clock, inside)
        result = await try_plan(context, path, Selection(allows=tuple(body.get("allow", ()))))
        result.rows = [_rows(sandbox, wanted) for wanted in body["expect"].get("after", ())]
        return result


def _seed(seed: Path, border: Border) -> Path:
    """A seed or an export. One outside of the checkout is never read: the sandbox quotes what is wrong with it."""
    if not border.holds(seed):
        what = f"{seed} is outside of {border.roots[0]}, the checkout or folder of the tests"
        raise InputError([Diagnostic("PLAN-OUTSIDE", what, "move the seed into the checkout")])
    if not seed.is_file():
        raise InputError([Diagnostic("SEED-MISSING", f"{seed} is not there", "name a seed or an export")])
    return Path(os.path.realpath(seed))


def _rows(sandbox: Any, wanted: Any) -> Sequence[Any]:
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
