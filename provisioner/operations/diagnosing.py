"""What the tenant of the profile, and DNS, say about a diagnosis."""

from __future__ import annotations

from collections.abc import Sequence

from provisioner import engine
from provisioner.diagnosis.diagnose import AskSpf, Diagnosis
from provisioner.diagnosis.evidence import Answers, Evidence, conclude, of_spf, requests
from provisioner.model import request_key
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.operations.mail_records import asking, spf_result


async def evidence_of(context: Context, found: Diagnosis, tenant: Tenant | None = None) -> Sequence[Evidence]:
    """Whether each cause is confirmed or ruled out; nothing without a tenant, or where the cause is not known."""
    if not found.known or (tenant is None and context.profile.tenant is None):
        return ()
    asked = {request_key(r): r for q in found.questions for r in requests(q)}
    senders = [q for q in found.questions if isinstance(q, AskSpf) and q.domain and q.ip]
    answers: Answers = {}
    if asked:
        async with signed_in(context, tenant) as opened:
            answers = await engine.ask(list(asked.values()), opened.ports, reads=context.profile.reads_at_once)
    told = [e for q in found.questions for e in conclude(q, answers)]
    return [*told, *[of_spf(q.domain, q.ip, await spf_result(asking(context), q.domain, q.ip)) for q in senders]]
