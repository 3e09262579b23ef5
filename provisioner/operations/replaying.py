"""Observed mail for a plan to be tried against: from a saved inventory, or from the tenant as far back as is asked."""

from __future__ import annotations

import re
from pathlib import Path

from provisioner.border import read_named
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.model.traffic import Traffic
from provisioner.operations.context import Context
from provisioner.operations.discovering import Asking, discover
from provisioner.senders import inventory
from provisioner.senders.inventory import Inventory
from provisioner.senders.traces import DAYS
from provisioner.senders.traffic import traffic

_LARGEST_BYTES = 256 * 2**20


def read_inventory(path: Path) -> Inventory:
    """A saved inventory. Raises InputError for one that cannot be read."""
    try:
        content = read_named(path, _LARGEST_BYTES + 1)
        if len(content) > _LARGEST_BYTES:
            raise ValueError(f"larger than {_LARGEST_BYTES >> 20} MB")
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        what = f"{path} cannot be read: {why}"
        hint = "name the file that provisioner senders discover wrote (JSON)"
        raise InputError([Diagnostic("INVENTORY-UNREADABLE", what, hint)]) from error
    return inventory.read(text, path.as_posix())


def replayed(context: Context, found: Inventory) -> tuple[Traffic, ...]:
    """The mail of an inventory that can be tried. What cannot, and what the inventory does not cover, is noted."""
    mail, left = traffic(found)
    for source in found.sources:
        if source.state != "read":
            needs = f"; it needs {source.needs}" if source.needs else ""
            state = "not read" if source.state == "not_read" else "read in part"
            context.note(f"Replay: the inventory's source {source.name} was {state}: {source.reason}{needs}")
    for sentence in left:
        context.note(f"Not replayed: {sentence}")
    senders = {(t.name, t.authentication) for t in mail}
    context.note(
        f"Replaying the mail of {len(senders):,} senders observed from {found.begin[:10]} to {found.end[:10]}."
    )
    return mail


async def inventory_of(context: Context, text: str) -> Inventory:
    """The inventory that an option names: of the tenant of the profile for `30d` or `90d`, else that of a file.

    Raises InputError for a file that is none, and for more days than the service keeps.
    """
    days = re.fullmatch(r"(\d{1,4})d", text)
    if not days:
        return read_inventory(Path(text))
    if not 0 < int(days[1]) <= DAYS:
        what = f"{text}: the service keeps {DAYS} days of message traces"
        raise InputError([Diagnostic("INVENTORY-PERIOD", what, f"write {DAYS}d at most")])
    return await discover(context, Asking(int(days[1]), searches=False))
