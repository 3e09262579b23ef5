"""`provisioner test`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import click

from provisioner.border import Border, write_result
from provisioner.cli.options import allow_outside
from provisioner.cli.session import Session
from provisioner.operations.testing import Verdict, test
from provisioner.render.escape import visible


@click.command("test")
@click.argument("path", type=click.Path(path_type=Path), default=Path("plans"), required=False)
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write the results as JUnit XML too.")
@allow_outside
@click.pass_obj
def command(session: Session, path: Path, junit: Path | None, outside: bool) -> int:
    """Run the tests of plans (*.test.yaml) of a file or a folder, each case on a sandbox of its own.

    Exit 0 when all pass, 1 when one fails, 3 for a test file that is wrong.
    """
    border = session.border = Border.of(path, lifted=outside)
    began = session.clock.now()
    verdicts = test(path, border, session.clock, lambda verdict: _print(session, verdict))
    failed = sum(bool(v.failures) for v in verdicts)
    session.result(f"{len(verdicts) - failed} passed, {failed} failed.\n")
    if junit:
        _write(junit, verdicts, began)
    return 1 if failed else 0


def _print(session: Session, verdict: Verdict) -> None:
    word = "FAIL" if verdict.failures else "ok"
    session.result(
        visible(f"{word}  {verdict.case.file.as_posix()}: {verdict.case.name} ({verdict.seconds:.1f}s)") + "\n"
    )
    for failure in verdict.failures:
        session.result(visible(f"      {failure}") + "\n")


def _write(junit: Path, verdicts: Sequence[Verdict], began: dt.datetime) -> None:
    suite = ET.Element("testsuite", name="provisioner test", tests=str(len(verdicts)))
    suite.set("failures", str(sum(bool(v.failures) for v in verdicts)))
    suite.set("time", f"{sum(v.seconds for v in verdicts):.3f}")
    suite.set("timestamp", began.strftime("%Y-%m-%dT%H:%M:%SZ"))
    for verdict in verdicts:
        attributes = {"classname": verdict.case.file.as_posix(), "name": verdict.case.name}
        case = ET.SubElement(suite, "testcase", {k: visible(v) for k, v in attributes.items()})
        case.set("time", f"{verdict.seconds:.3f}")
        for failure in verdict.failures:
            ET.SubElement(case, "failure", message=visible(failure))
    ET.indent(suite)
    write_result(junit, ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n", "--junit")
