"""Senders that may not send any more: Get- and Remove-BlockedSenderAddress (the restricted entities of the portal).

A sender gets here by a seed, or by exceeding a limit of the outbound spam policy whose action is BlockUser (Learn,
"Configure outbound spam filtering": with BlockUserForToday nobody is listed, and the next day lifts it). Columns and
the form of Reason are those that administrators quote. An address that is not listed gives no row, and an error for
Remove (the sentence is ours); the limit of unblocking is not modelled.
"""

from __future__ import annotations

from provisioner.sandbox.clock import wire_time
from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, new_row, shuffled
from provisioner.sandbox.cmdlets.parameters import string
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.tenant import Row, Tenant

NOUN = Noun("BlockedSenderAddress", {"SenderAddress": "", "Reason": "", "CreatedDatetime": None}, key="SenderAddress")


def block(tenant: Tenant, address: str, sent: int) -> None:
    """List a sender who sent to so many recipients in a day."""
    reason = f"OutboundSpamLast24Hours=0;OutboundMailLast24Hours={sent};OutboundSpamPercent=0"
    written = {"SenderAddress": address, "Reason": reason, "CreatedDatetime": wire_time(tenant.clock.now())}
    tenant.add(NOUN.name, new_row(tenant, NOUN, written))


def blocked(tenant: Tenant, address: str) -> Row | None:
    """The row of a sender, if it is listed."""
    wanted = address.lower()
    return next((row for row in tenant.rows(NOUN.name) if str(row.get("SenderAddress")).lower() == wanted), None)


def _get(call: Call) -> Rows:
    wanted = str(call.get("SenderAddress") or "").lower()
    rows = call.tenant.visible(NOUN.name)
    return shuffled(call.tenant, [r for r in rows if not wanted or str(r.get("SenderAddress")).lower() == wanted])


def _remove(call: Call) -> Rows:
    row = blocked(call.tenant, str(call.get("SenderAddress")))
    if row is None:
        raise errors.invalid(f"The sender address '{call.get('SenderAddress')}' isn't blocked.")
    call.remove(NOUN.name, row)
    return []


CMDLETS = (
    Cmdlet("Get-BlockedSenderAddress", (string("SenderAddress", stored=False),), _get),
    Cmdlet(
        "Remove-BlockedSenderAddress",
        (string("SenderAddress", required=True, stored=False), string("Reason", stored=False)),
        _remove,
    ),
)
