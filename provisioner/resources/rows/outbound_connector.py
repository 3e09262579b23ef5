"""Get-OutboundConnector: which connectors are enabled, for the transport rules that give mail to one of them."""

from __future__ import annotations

from collections.abc import Iterable

from provisioner.model import Cmdlet, Row
from provisioner.model.names import caseless

COLUMNS = frozenset({"Name", "Enabled"})
REQUEST = Cmdlet("Get-OutboundConnector", columns=COLUMNS)


def enabled(rows: Iterable[Row]) -> frozenset[str]:
    """The connectors that are enabled, by their names without case. Raises ValueError for a row that does not say."""
    found = set()
    for row in rows:
        name, is_enabled = row.get("Name"), row.get("Enabled")
        if not isinstance(name, str) or not isinstance(is_enabled, bool):
            raise ValueError("a connector has no Name or Enabled")
        if is_enabled:
            found.add(caseless(name))
    return frozenset(found)
