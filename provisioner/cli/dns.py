"""`provisioner dns check|export`: the mail records of every domain that a plan speaks of."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provisioner.cli.options import output_format, plan_path
from provisioner.cli.session import Session
from provisioner.operations.mail_records import Asked, asking, check_domains
from provisioner.operations.planning import run, with_tenant
from provisioner.render.escape import visible

if TYPE_CHECKING:
    from provisioner.mail_dns.check import DomainReport
    from provisioner.model import Desired
    from provisioner.tenant.connect import TenantIdentity
    from provisioner.tenant.ports import Ports

_MOST_SHOWN = 1000


@click.group("dns")
def command() -> None:
    """The mail records of the plan's domains: MX, SPF, DKIM, DMARC, MTA-STS and TLS-RPT."""


@command.command("check")
@plan_path
@output_format
@click.pass_obj
def check(session: Session, path: Path, format_: str) -> int:
    """Ask DNS once about every domain of the plan, and say what is wrong and what to publish.

    With a profile (--profile) the DKIM targets are those that Exchange names. Exit 1 when something is wrong.
    """
    session.format = format_
    reports = _reports(session, path)
    findings = [f for r in reports for f in r.findings]
    if format_ == "json":
        facts = {"domains": [_document(r) for r in reports]}
        session.result(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    else:
        session.result("".join(map(_shown, reports)))
    return 1 if any(f.severity == "error" for f in findings) else 0


@command.command("export")
@plan_path
@click.option("--form", type=click.Choice(["zone", "octodns", "dnscontrol"]), default="zone", help="For which program.")
@click.pass_obj
def export(session: Session, path: Path, form: str) -> None:
    """Write the records that are missing or wrong, for a zone file, octoDNS or dnscontrol."""
    from provisioner.mail_dns.zone import FORMS

    for report in _reports(session, path):
        records = [record for finding in report.findings for record in finding.publish]
        if records:
            session.result(FORMS[form](report.domain, records))


def _reports(session: Session, path: Path) -> Sequence[DomainReport]:
    from provisioner.devices import egress
    from provisioner.model.clouds import cloud_of_mail
    from provisioner.plan import document
    from provisioner.resources import TYPES

    desired, warnings = document.load(
        path, TYPES, today=session.today(), variables=session.variables, border=session.border
    )
    session.diagnose(warnings)
    domains = sorted(_domains(desired))
    cloud = cloud_of_mail(session.profile.cloud, desired.tenant)
    if session.profile.tenant is None:
        return run(check_domains(asking(session), domains, {}, egress(desired), cloud))

    async def work(ports: Ports, identity: TenantIdentity) -> Sequence[DomainReport]:
        from provisioner.tenant.connect import check_tenant

        check_tenant(identity, desired.tenant)
        named = await _dkim_targets(ports)
        return await check_domains(
            Asked(ports.resolver, session.clock),
            domains,
            {d: named.get(d, {}) for d in domains},
            egress(desired),
            cloud,
        )

    return run(with_tenant(session, work))


def _domains(desired: Desired) -> set[str]:
    """Every domain that the plan names: declared ones, those that sign, and those that mailboxes send from."""
    named = {a.key for a in desired.resources if a.type in {"domain", "dkim"}}
    return named | {a.key.rpartition("@")[2] for a in desired.resources if a.type == "smtp_auth" and "@" in a.key}


async def _dkim_targets(ports: Ports) -> dict[str, dict[str, str]]:
    """The CNAME targets that Exchange names, by domain and selector."""
    from provisioner.model import Cmdlet

    rows = (await ports.exchange.run(Cmdlet("Get-DkimSigningConfig"))).rows
    columns = {"selector1": "Selector1CNAME", "selector2": "Selector2CNAME"}
    return {
        str(row.get("Domain", "")).lower(): {s: str(row[c]) for s, c in columns.items() if row.get(c)} for row in rows
    }


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
