"""`provisioner diagnose`."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provisioner.cli.options import output_format
from provisioner.cli.session import Session
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.operations.planning import run, with_tenant

if TYPE_CHECKING:
    from provisioner.diagnosis.diagnose import Diagnosis
    from provisioner.diagnosis.evidence import Answers, Evidence
    from provisioner.tenant.connect import TenantIdentity
    from provisioner.tenant.ports import Ports

_MOST_BYTES = 4 * 2**20
_MARKS = {"yes": "it is so", "no": "it is not that", "unknown": "not known"}


@click.command("diagnose")
@click.argument("text", nargs=-1, metavar="[LINE]")
@click.option("--file", "file", type=click.Path(path_type=Path), metavar="FILE", help="Read the text from a file.")
@output_format
@click.pass_obj
def command(session: Session, text: tuple[str, ...], file: Path | None, format_: str) -> int:
    """Say what a mail server's answer means: a log line, a bounce, an SMTP dialogue; from standard input by default.

    With a profile (--profile) the tenant is asked which of its settings it was. Exit 0 where the cause is known, 1
    where the text is not known or another server wrote it.
    """
    from provisioner.diagnosis.diagnose import diagnose

    session.format = format_
    found = diagnose(_read(text, file))
    evidence = ask(session, found) if session.profile.tenant is not None and found.known else ()
    if format_ == "json":
        facts = plain(found, evidence)
        session.result(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    else:
        session.result("".join(f"{line}\n" for line in lines(found, evidence)))
    return 0 if found.known else 1


def in_plan(text: str) -> Iterator[str]:
    """A part of a plan for a person."""
    from provisioner.render.escape import visible

    yield "  in the plan:"
    yield from (visible(f"    {line}") for line in text.splitlines())


def lines(found: Diagnosis, evidence: Sequence[Evidence], *, instead: bool = False) -> Iterator[str]:
    """A diagnosis for a person. `instead`: whoever calls proposes a plan of its own."""
    from provisioner.diagnosis.evidence import proposal
    from provisioner.render.escape import visible

    sure = {"certain": "", "likely": " (likely)"}.get(found.confidence, "")
    status = f" [{found.status}]" if found.status else ""
    yield visible(f"{found.cause}{sure}{status}: {found.summary}")
    yield from (visible(f"  it says: {quoted}") for quoted in found.evidence)
    for item in evidence:
        yield visible(f"  the tenant: {_MARKS[item.speaks]}: {item.sentence}")
        if item.mend:
            yield visible(f"    {item.mend}")
    if found.fix:
        yield visible(f"  to mend it: {found.fix}")
    plan, fill_in = proposal(found, evidence)
    if plan and not instead:
        yield from in_plan(plan)
    if fill_in and not instead:
        yield visible(f"  fill in: {', '.join(fill_in)}")
    if found.source:
        yield visible(f"  source: {found.source}")


def _read(text: Sequence[str], file: Path | None) -> str:
    if text and file:
        raise click.UsageError("say a line or --file, not both")
    if text:
        return " ".join(text)
    try:
        if file is None:
            content = sys.stdin.buffer.read(_MOST_BYTES)
        else:
            with file.open("rb") as stream:
                content = stream.read(_MOST_BYTES)
    except OSError as error:
        what = f"{file} cannot be read: {error.strerror or error}"
        raise InputError([Diagnostic("DIAGNOSE-FILE", what, "name a text file")]) from error
    return content.decode("utf-8", "replace")


def plain(found: Diagnosis, evidence: Sequence[Evidence]) -> Mapping[str, Any]:
    """A diagnosis for JSON, with what the tenant says to it."""
    from provisioner.diagnosis.evidence import proposal

    facts = dataclasses.asdict(found)
    del facts["questions"]
    facts["plan"], facts["fill_in"] = proposal(found, evidence)
    told = [{k: v for k, v in dataclasses.asdict(e).items() if k != "plan"} for e in evidence]
    return {**facts, "tenant": told}


def ask(session: Session, found: Diagnosis) -> Sequence[Evidence]:
    """What the tenant of the profile, and DNS, say to a diagnosis."""
    from provisioner.diagnosis.diagnose import AskSpf
    from provisioner.diagnosis.evidence import conclude, of_spf, requests
    from provisioner.model import request_key
    from provisioner.operations.mail_records import asking, spf_result

    asked = {request_key(r): r for q in found.questions for r in requests(q)}
    senders = [q for q in found.questions if isinstance(q, AskSpf) and q.domain and q.ip]

    async def work(ports: Ports, identity: TenantIdentity) -> Answers:  # noqa: ARG001 - nothing is compared with a plan
        from provisioner import engine

        return await engine.ask(list(asked.values()), ports, reads=session.profile.reads_at_once)

    answers = run(with_tenant(session, work)) if asked else {}
    told = [e for q in found.questions for e in conclude(q, answers)]
    return [*told, *(of_spf(q.domain, q.ip, run(spf_result(asking(session), q.domain, q.ip))) for q in senders)]
