"""What inbound and outbound connectors share: type and source, domains with a wildcard, and renaming.

Sources: New-/Set-InboundConnector and New-/Set-OutboundConnector in the PowerShell reference.
"""

from __future__ import annotations

import re

from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, refuse_duplicate, renamed
from provisioner.sandbox.cmdlets.parameters import choice
from provisioner.sandbox.tenant import Row

TYPE = choice(
    "ConnectorType",
    "Microsoft.Exchange.Data.Directory.SystemConfiguration.TenantConnectorType",
    "OnPremises",
    "Partner",
)
SOURCE = choice(
    "ConnectorSource",
    "Microsoft.Exchange.Data.Directory.SystemConfiguration.TenantConnectorSource",
    "Default",
    "Migrated",
    "HybridWizard",
    "AdminUI",
)

DOMAIN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{2,63}", re.IGNORECASE)


def is_domain_pattern(text: str) -> bool:
    """Whether this is a domain, `*.domain`, or `*`."""
    return text == "*" or DOMAIN.fullmatch(text.removeprefix("*.")) is not None


def with_new_name(call: Call, noun: Noun, row: Row, changes: Row) -> Row:
    """`changes` of a Set, with all columns that follow from a new name. Raises CmdletError where the name is taken."""
    changes = dict(changes)
    name = changes.pop("Name", None)
    if not name or name == row.get("Name"):
        return changes
    if name.lower() != str(row.get("Name")).lower():
        refuse_duplicate(call.tenant, noun, name)
    return changes | renamed(row, name)
