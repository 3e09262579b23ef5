"""The mail records of every domain that a plan names, for `dns check` and `dns export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from provisioner.devices import egress
from provisioner.mail_dns.check import DomainReport
from provisioner.mail_dns.dialogue import pursue
from provisioner.mail_dns.exporting import Exported, export, names_of, zone_of
from provisioner.model import Desired
from provisioner.model.clouds import COEXISTENCE_SUFFIXES, cloud_of_mail
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.operations.loading import load
from provisioner.operations.mail_hosts import named_hosts
from provisioner.operations.mail_records import Asked, asking, check_domains, dkim_targets
from provisioner.resources import TYPES
from provisioner.tenant.connect import check_tenant
from provisioner.tenant.together import together


async def report_domains(
    context: Context, path: Path, tenant: Tenant | None = None, *, policies: bool = True
) -> Sequence[DomainReport]:
    """What is wrong with the mail records of each domain, and what to publish. Reports the plan's warnings.

    With a tenant in the profile the DKIM targets and the MX host are those that Exchange names. `policies`: fetch
    MTA-STS policies.
    """
    loaded = load(context, path)
    context.diagnose(loaded.diagnostics)
    desired = loaded.desired
    domains = sorted(mail_domains(desired))
    cloud = cloud_of_mail(context.profile.cloud, desired.tenant)
    fetching = context if policies else None
    if tenant is None and context.profile.tenant is None:
        return await check_domains(asking(context), domains, {}, egress(desired), cloud, fetching)
    async with signed_in(context, tenant) as opened:
        check_tenant(opened.identity, desired.tenant)
        named = await dkim_targets(opened.ports)
        targets = {d: named.get(d, {}) for d in domains}
        asked = Asked(opened.ports.resolver, context.clock)
        hosts = await named_hosts(context, desired, domains, opened)
        return await check_domains(asked, domains, targets, egress(desired), cloud, fetching, hosts)


async def export_domains(context: Context, path: Path) -> Exported:
    """What to publish and to remove in each zone for the mail of the plan's domains."""
    reports = await report_domains(context, path, policies=False)
    names = names_of(reports)
    asked = asking(context).about(len(names))
    zones = await together(pursue(zone_of(name), asked.all) for name in names)
    return export(reports, dict(zip(names, zones, strict=True)))


def mail_domains(desired: Desired) -> set[str]:
    """Every domain that the declared objects send from, as their types tell.

    Not the coexistence domain: what would be advised cannot be published there.
    """
    types = {kind.name: kind for kind in TYPES}
    named = {d for a, declared in desired.resources.items() for d in types[a.type].mail_domains(declared.spec)}
    return {domain for domain in named if not domain.endswith(COEXISTENCE_SUFFIXES)}
