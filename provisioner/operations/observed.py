"""The mail that `--replay` names. Who asks for none does not wait until what reads the evidence of use is loaded."""

from __future__ import annotations

from provisioner.model.traffic import Traffic
from provisioner.operations.context import Context


async def observed_mail(context: Context, replay: str | None) -> tuple[Traffic, ...]:
    """Observed mail for a plan to be tried against. Raises as `replaying.inventory_of`."""
    if not replay:
        return ()
    from provisioner.operations.replaying import inventory_of, replayed

    return replayed(context, await inventory_of(context, replay))
