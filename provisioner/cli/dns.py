"""`provisioner dns check|export`: the mail records of every domain that a plan speaks of."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from provisioner.cli.options import output_format, plan_path
from provisioner.cli.session import Session
from provisioner.mail_dns.check import DomainReport
from provisioner.mail_dns.zone import FORMS
from provisioner.operations.connection import run
from provisioner.operations.domains import report_domains
from provisioner.render.escape import visible

_MOST_SHOWN = 1000


@click.group("dns")
def command() -> None:
    """The mail records of the plan's domains: MX, SPF, DKIM, DMARC, MTA-STS and TLS-RPT."""


@command.command("check")
@plan_path
@output_format
@click.pass_obj
def check(session: Session, path: Path, format_: str) -> int:
    """Ask DNS once about every domain of the plan, fetch MTA-STS policies, and say what is wrong and what to publish.

    With a profile (--profile) the DKIM targets are those that Exchange names. Exit 1 when something is wrong.
    """
    session.format = format_
    reports = run(report_domains(session, path))
    findings = [f for r in reports for f in r.findings]
    if format_ == "json":
        facts = {"domains": [_document(r) for r in reports]}
        session.json(facts)
    else:
        session.result("".join(map(_shown, reports)))
    return 1 if any(f.severity == "error" for f in findings) else 0


@command.command("export")
@plan_path
@click.option("--form", type=click.Choice(["zone", "octodns", "dnscontrol"]), default="zone", help="For which program.")
@click.pass_obj
def export(session: Session, path: Path, form: str) -> None:
    """Write the records that are missing or wrong, for a zone file, octoDNS or dnscontrol."""
    for report in run(report_domains(session, path, policies=False)):
        records = [record for finding in report.findings for record in finding.publish]
        if records:
            session.result(FORMS[form](report.domain, records), data=True)


def _shown(report: DomainReport) -> str:
    lines = [f"{report.domain}: {'in order' if not report.findings else ''}".rstrip(" ")]
    for finding in report.findings:
        lines.append(f"  {finding.severity}[{finding.id}]: {_cut(visible(finding.summary))}")
        lines += [f"    {visible(finding.mend)}"] if finding.mend else []
        lines += [f"    - {visible(str(record))}" for record in finding.remove]
        lines += [f"    + {visible(str(record))}" for record in finding.publish]
    return "\n".join(lines) + "\n"


def _cut(text: str) -> str:
    """At most ten lines or so of what a stranger wrote; the records below are whole."""
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _document(report: DomainReport) -> dict[str, Any]:
    findings = [
        {
            "id": f.id,
            "severity": f.severity.value,
            "summary": f.summary,
            "mend": f.mend,
            "publish": [dataclasses.asdict(r) for r in f.publish],
            "remove": [dataclasses.asdict(r) for r in f.remove],
        }
        for f in report.findings
    ]
    return {"domain": report.domain, "mx": report.exchange_mx, "spf": report.spf, "findings": findings}
