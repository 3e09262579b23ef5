"""`provisioner diagnose`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from provisioner.border import read_named
from provisioner.cli.options import output_format
from provisioner.cli.session import Session
from provisioner.diagnosis.diagnose import Diagnosis, diagnose
from provisioner.diagnosis.evidence import Evidence, proposal
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.operations.connection import run
from provisioner.operations.diagnosing import cloud_of, evidence_of
from provisioner.render.escape import visible

_MOST_BYTES = 4 * 2**20
_STANDARD_INPUT = "-"
_MARKS = {"yes": "confirmed", "no": "ruled out", "unknown": "unknown"}


@click.command("diagnose")
@click.argument("text", nargs=-1, metavar="[LINE]")
@click.option("--file", "file", type=click.Path(path_type=Path), metavar="FILE", help="Read the text from a file.")
@output_format
@click.pass_obj
def command(session: Session, text: tuple[str, ...], file: Path | None, format_: str) -> int:
    """Explain a mail server's answer: a log line, a bounce or an SMTP dialogue.

    Without LINE, or with "-" as LINE, it is read from standard input.
    A dialogue is read in order: a refusal that a later success overcame is not the cause, and all refusals are listed.
    With a profile (--profile) the tenant is asked which of its settings it was. Exit 0 where the cause is known, 1
    where the text is not known or another server wrote it.
    """
    session.format = format_
    found = diagnose(_read(text, file), cloud_of(session))
    evidence = run(evidence_of(session, found))
    if format_ == "json":
        facts = plain(found, evidence)
        session.json(facts)
    else:
        session.text("".join(f"{line}\n" for line in lines(found, evidence)))
    return 0 if found.known else 1


def in_plan(text: str) -> Iterator[str]:
    """A part of a plan for a person."""
    yield "  in the plan:"
    yield from (visible(f"    {line}") for line in text.splitlines())


def lines(found: Diagnosis, evidence: Sequence[Evidence], *, instead: bool = False) -> Iterator[str]:
    """A diagnosis for a person. `instead`: anyone who calls proposes a plan of its own."""
    sure = {"certain": "", "likely": " (likely)"}.get(found.confidence, "")
    status = f" [{found.status}]" if found.status else ""
    yield visible(f"{found.cause}{sure}{status}: {found.summary}")
    yield from (visible(f"  it says: {quoted}") for quoted in found.evidence)
    yield from _others(found)
    yield from (visible(f"  {code.code}: {code.meaning}") for code in found.codes)
    for item in evidence:
        yield visible(f"  the tenant: {_MARKS[item.speaks]}: {item.sentence}")
        if item.hint:
            yield visible(f"    {item.hint}")
    if found.fix:
        yield visible(f"  fix: {found.fix}")
    plan, fill_in = proposal(found, evidence)
    if plan and not instead:
        yield from in_plan(plan)
    if fill_in and not instead:
        yield visible(f"  fill in: {', '.join(fill_in)}")
    if found.source:
        yield visible(f"  source: {found.source}")


def _others(found: Diagnosis) -> Iterator[str]:
    """The refusals of a dialogue beside the one that is named, each cause once."""
    told = {(found.cause, False)}
    for refusal in found.refusals:
        if (refusal.cause, refusal.overcome) in told:
            continue
        told.add((refusal.cause, refusal.overcome))
        state = "overcome by what followed" if refusal.overcome else "also refused"
        yield visible(f"  {state}: {refusal.cause}: {refusal.line}")


def _read(text: Sequence[str], file: Path | None) -> str:
    if text and file:
        raise click.UsageError("give a line or --file, not both")
    if text and text != (_STANDARD_INPUT,):
        return " ".join(text)
    try:
        if file is None or str(file) == _STANDARD_INPUT:
            content = sys.stdin.buffer.read(_MOST_BYTES)
        else:
            content = read_named(file, _MOST_BYTES)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        hint = "name a text file, or leave --file out and pipe the text in"
        raise InputError([Diagnostic("DIAGNOSE-FILE", f"{file} cannot be read: {why}", hint)]) from error
    return content.decode("utf-8", "replace")


def plain(found: Diagnosis, evidence: Sequence[Evidence]) -> Mapping[str, Any]:
    """A diagnosis for JSON, with what the tenant says to it."""
    facts = dataclasses.asdict(found)
    del facts["questions"]
    facts["plan"], facts["fill_in"] = proposal(found, evidence)
    told = [{k: v for k, v in dataclasses.asdict(e).items() if k != "plan"} for e in evidence]
    return {**facts, "tenant": told}
