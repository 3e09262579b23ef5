"""What the tenant of the profile, and DNS, say about a diagnosis."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from provisioner import engine
from provisioner.diagnosis.diagnose import Diagnosis
from provisioner.diagnosis.evidence import Evidence, Needed, conclude, needed, of_spf
from provisioner.diagnosis.questions import AskSpf
from provisioner.model import Observed
from provisioner.model.clouds import Cloud, cloud_of_mail
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.operations.mail_records import asking, spf_result
from provisioner.resources import TYPES


def cloud_of(context: Context) -> Cloud | None:
    """The cloud whose hosts an advice names: the profile's; None without a profile, where the text has to tell."""
    profile = context.profile
    if profile.tenant is None and profile.cloud == "worldwide":
        return None
    return cloud_of_mail(profile.cloud, profile.tenant or "")


async def evidence_of(context: Context, found: Diagnosis, tenant: Tenant | None = None) -> Sequence[Evidence]:
    """Whether each cause is confirmed or ruled out; nothing without a tenant, or where the cause is not known."""
    if not found.known or (tenant is None and context.profile.tenant is None):
        return ()
    asked = functools.reduce(Needed.__or__, map(needed, found.questions), Needed())
    senders = [q for q in found.questions if isinstance(q, AskSpf) and q.domain and q.ip]
    observed = Observed({})
    if asked != Needed():
        async with signed_in(context, tenant) as opened:
            observed = await engine.consult(
                asked.objects, asked.listed, asked.requests, TYPES, opened.ports, reads=context.profile.reads_at_once
            )
    told = [e for q in found.questions for e in conclude(q, observed)]
    return [*told, *[of_spf(q.domain, q.ip, await spf_result(asking(context), q.domain, q.ip)) for q in senders]]
