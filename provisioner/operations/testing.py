"""A plan tried on a tenant that is there for it alone: planned, applied, and planned again, by the users' own path."""

from __future__ import annotations

from pathlib import Path

from provisioner.operations.context import Context
from provisioner.operations.planning import Selection, make_plan, with_tenant
from provisioner.plan.cases import Result
from provisioner.tenant.connect import TenantIdentity
from provisioner.tenant.ports import Ports

_CONFIRM_S = 10.0


async def try_plan(context: Context, path: Path, selection: Selection) -> Result:
    """What planning shows, whether it can be applied, and what is left afterwards. Raises as `make_plan` does."""
    from provisioner import engine
    from provisioner.resources import TYPES

    async def work(ports: Ports, identity: TenantIdentity) -> Result:
        first = await make_plan(context, path, selection, ports, identity)
        refused = tuple(f.rule for f in first.findings if f.blocks and not f.waived)
        refused += tuple(str(a) for a in first.unknown)
        result = Result(first, refused)
        if not refused and first.pending:
            outcome = await engine.apply(first, TYPES, ports, confirm_s=_CONFIRM_S, clock=context.clock)
            result.unfinished = tuple(
                f"{r.address}: {r.status} {r.detail}"
                for r in outcome.results
                if r.status not in {"done", "already_done"}
            )
            again = await make_plan(context, path, selection, ports, identity)
            result.left = tuple(str(c.address) for c in again.pending)
        return result

    return await with_tenant(context, work)
