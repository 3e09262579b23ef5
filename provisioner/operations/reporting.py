"""A plan beside the evidence of use, and beside the tenant where a profile names one."""

from __future__ import annotations

from typing import Any

from provisioner import rules
from provisioner.mailflow.picture import of_observed
from provisioner.model import Desired
from provisioner.operations.connection import Tenant
from provisioner.operations.context import Context
from provisioner.operations.replaying import inventory_of
from provisioner.operations.standing import observe
from provisioner.plan.usage import usage
from provisioner.resources import TYPES


async def used(context: Context, desired: Desired, evidence: str, tenant: Tenant | None = None) -> dict[str, Any]:
    """The comparison as a document; with a profile, whether the tenant takes each device's mail today.

    `evidence` is what `inventory_of` takes. Raises as that does.
    """
    inventory = await inventory_of(context, evidence)
    observed = await observe(context, desired, rules.questions(desired), tenant)
    if observed is None:
        return usage(desired, inventory)
    mailboxes = sorted({d.mailbox for d in desired.devices.values()} - {""})
    return usage(desired, inventory, (of_observed(observed, TYPES, mailboxes), observed.evidence))
