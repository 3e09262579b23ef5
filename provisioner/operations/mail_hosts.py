"""Where Exchange takes the mail of a domain: what the tenant says, else what DNS says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from provisioner.model import Answer, Desired, request_key
from provisioner.operations.connection import Tenant
from provisioner.operations.context import Context
from provisioner.operations.mail_records import asking, microsoft_mx
from provisioner.operations.standing import observe
from provisioner.resources.rows import service_configuration


async def mail_hosts(
    context: Context, desired: Desired, domains: Sequence[str], tenant: Tenant | None = None
) -> Mapping[str, str]:
    """The host of each domain that takes its mail at Microsoft; a domain is left out where nobody names one.

    With a profile Microsoft Graph is asked, which knows it where the MX in DNS is that of a filter in front.
    """
    found = await named_hosts(context, desired, domains, tenant)
    left = [domain for domain in domains if domain not in found]
    return {**found, **(await microsoft_mx(asking(context), left) if left else {})}


async def named_hosts(
    context: Context, desired: Desired, domains: Sequence[str], tenant: Tenant | None = None
) -> Mapping[str, str]:
    """The host that Microsoft Graph names for the mail of each domain; a domain is left out where it names none."""
    requests = {domain: service_configuration.request(domain) for domain in domains}
    nothing = dataclasses.replace(desired, resources={}, devices={}, choices={})
    observed = await observe(context, nothing, tuple(requests.values()), tenant)
    found: dict[str, str] = {}
    for domain, request in requests.items() if observed is not None else ():
        answer = observed.evidence.get(request_key(request)) if observed is not None else None
        host = service_configuration.mail_host(answer.rows) if isinstance(answer, Answer) else ""
        if host:
            found[domain] = host
    return found
