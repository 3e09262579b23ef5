"""The settings sheet of a device, with what the tenant of the profile and DNS say about it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from provisioner.devices import sheet
from provisioner.model import Desired
from provisioner.model.clouds import cloud_of_mail
from provisioner.model.devices import DIRECT_SEND, SMTP_RELAY, Device
from provisioner.operations.connection import Tenant, signed_in
from provisioner.operations.context import Context
from provisioner.operations.mail_hosts import mail_hosts
from provisioner.operations.standing import sign_in_name
from provisioner.tenant.connect import check_tenant


async def sheet_of(context: Context, device: Device, desired: Desired) -> dict[str, Any]:
    """The sheet of one device. Without a profile the tenant is not asked, and what only it knows stays open.

    Raises SignInRefused for another tenant than the plan's.
    """
    cloud = cloud_of_mail(context.profile.cloud, desired.tenant)
    relays = desired.choices[device.name].method in {SMTP_RELAY, DIRECT_SEND}
    async with AsyncExitStack() as stack:
        tenant: Tenant | None = None
        if context.profile.tenant is not None:
            tenant = await stack.enter_async_context(signed_in(context))
            check_tenant(tenant.identity, desired.tenant)
        hosts = await mail_hosts(context, desired, device.domains, tenant) if relays else {}
        sign_in = await sign_in_name(context, desired, device.name, tenant)
        tenant_id = tenant.identity.tenant_id if tenant else ""
    return sheet(device, desired, hosts, cloud, sign_in, context.today(), tenant_id)
