"""Get-TransportConfig: the organization's switch for SMTP AUTH, and the words of such a switch.

On the wire it is `SmtpClientAuthenticationDisabled`, the other way round: true is disabled, false is enabled, and null
(mailboxes only) is inherit (Set-TransportConfig, Set-CASMailbox).
"""

from __future__ import annotations

from collections.abc import Sequence

from provisioner.model import Cmdlet, Row

SWITCH = "SmtpClientAuthenticationDisabled"
COLUMNS = frozenset({SWITCH})
REQUEST = Cmdlet("Get-TransportConfig", columns=COLUMNS)

WORDS = {True: "disabled", False: "enabled", None: "inherit"}


def smtp_auth(rows: Sequence[Row]) -> str | None:
    """The organization's switch: enabled or disabled."""
    value = rows[0].get(SWITCH) if rows else None
    return WORDS[value] if isinstance(value, bool) else None
