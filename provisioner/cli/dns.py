"""`provisioner dns check|export`: the mail records of every domain that a plan mentions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from provisioner.border import write_file
from provisioner.cli.groups import Group
from provisioner.cli.options import output_format, plan_path
from provisioner.cli.session import Session
from provisioner.diagnostics import Diagnostic, InputError, Severity
from provisioner.mail_dns.check import DomainReport
from provisioner.mail_dns.exporting import ZoneExport
from provisioner.mail_dns.findings import DnsRecord
from provisioner.mail_dns.zone import FORMS
from provisioner.model.document import hinted
from provisioner.operations.connection import run
from provisioner.operations.domains import export_domains, report_domains
from provisioner.render.escape import visible

_MOST_SHOWN = 1000


@click.group("dns", cls=Group)
def command() -> None:
    """Check the mail records of the plan's domains, and write those to publish.

    MX, SPF, DKIM, DMARC, MTA-STS and TLS-RPT are checked.
    """


@command.command("check")
@plan_path
@output_format
@click.pass_obj
def check(session: Session, path: Path, format_: str) -> int:
    """Check the mail records of every domain of the plan in DNS, and show what to publish.

    MTA-STS policies are fetched too. With a profile (--profile) the DKIM targets are those that Exchange names. Exit 1
    where a finding is an error.
    """
    session.format = format_
    reports = run(report_domains(session, path))
    findings = [f for r in reports for f in r.findings]
    if format_ == "json":
        facts = {"domains": [_document(r) for r in reports]}
        session.json(facts)
    else:
        session.text("".join(map(_shown, reports)))
    return 1 if any(f.severity == "error" for f in findings) else 0


@command.command("export")
@plan_path
@click.option(
    "--form",
    type=click.Choice([*FORMS]),
    default="zone",
    help="The format of the records: a zone file, or the input of this program.",
)
@click.option(
    "--out-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write one file for each zone into this folder.",
)
@click.pass_obj
def export(session: Session, path: Path, form: str, out_dir: Path | None) -> None:
    """Write the records that are missing or wrong, as a zone file, for octoDNS or dnscontrol, or as JSON.

    Records to remove are written as comments and reported. Records of zones that others manage are only reported.
    """
    found = run(export_domains(session, path))
    removing = (zone for zone in found.zones if zone.remove)
    foreign = (_foreign(domain, record) for domain, record in found.foreign)
    lost = (_lost(name, value) for zone in found.zones for name, value in FORMS[form].lost(zone))
    unanswered = (Diagnostic(f.id, f.summary, f.hint, severity=f.severity) for f in found.unanswered)
    session.diagnose([*map(_removal, removing), *foreign, *lost, *unanswered])
    if out_dir is None and len(found.zones) > 1 and not FORMS[form].several:
        what = f"--form {form} has one file for each zone, and {len(found.zones)} zones need changes"
        raise InputError([Diagnostic("EXPORT-ZONES", what, "add --out-dir FOLDER, which gets one file for each zone")])
    for zone in found.zones:
        text = FORMS[form].write(zone)
        if out_dir is None:
            session.result(text, data=True)
        else:
            _save(session, out_dir / f"{zone.zone}{FORMS[form].suffix}", text)


def _save(session: Session, file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, text)
    except OSError as error:
        what = f"{file} cannot be written: {error.strerror or error}"
        raise InputError([Diagnostic("EXPORT-WRITE", what, "name another folder")]) from error
    session.result(f"{file}\n")


def _removal(zone: ZoneExport) -> Diagnostic:
    listed = "; ".join(map(str, zone.remove))
    what = f"{zone.zone}: what is published replaces these records, which have to be removed: {listed}"
    fix = "remove them if the program that reads the export only adds"
    return Diagnostic("EXPORT-REMOVE", what, fix, severity=Severity.WARNING)


def _foreign(domain: str, record: DnsRecord) -> Diagnostic:
    what = f"{record} is in a zone that is not the plan's: it is left out. {domain} depends on it"
    return Diagnostic("EXPORT-FOREIGN", what, "ask the owner of that zone to publish it", severity=Severity.WARNING)


def _lost(name: str, value: str) -> Diagnostic:
    what = f'{name} TXT "{visible(value)}" stays, and octoDNS would write it otherwise than it is'
    fix = "keep this value as your file has it, and merge the others"
    return Diagnostic("EXPORT-KEPT", what, fix, severity=Severity.WARNING)


def _shown(report: DomainReport) -> str:
    lines = [f"{report.domain}: {'in order' if not report.findings else ''}".rstrip(" ")]
    for finding in report.findings:
        lines.append(f"  {finding.severity}[{finding.id}]: {_cut(visible(finding.summary))}")
        lines += [f"    {visible(finding.hint)}"] if finding.hint else []
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
            **hinted(f.hint),
            "publish": [dataclasses.asdict(r) for r in f.publish],
            "remove": [dataclasses.asdict(r) for r in f.remove],
        }
        for f in report.findings
    ]
    facts = {"mx": report.exchange_mx, "spf": report.spf, "spf_lookups": report.spf_lookups, "dane": report.dane.value}
    return {"domain": report.domain, **facts, "findings": findings}
