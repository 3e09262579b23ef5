"""Settings of transport that hold for the whole organization. Its switch for SMTP AUTH is part of `smtp_auth`.

Parameters: Set-TransportConfig in the PowerShell reference (2026); Learn, "Opt in to the Exchange Online endpoint for
legacy TLS clients using SMTP AUTH".
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from provisioner.diagnostics import Severity
from provisioner.model import Guard, Rule
from provisioner.model.picture import Contribution, Contributions, LegacyTls
from provisioner.resources import fields
from provisioner.resources.canonical import email_address, refusal
from provisioner.resources.fields import BOOLEAN, Text, Tristate, column
from provisioner.resources.tenant_settings import TenantSettingsType

_SPAN = re.compile(r"(?:(?P<days>[01])\.)?(?P<hours>\d{1,2}):(?P<minutes>[0-5]\d)(?::(?P<seconds>[0-5]\d))?|(\d+)h")
_SHORTEST, _LONGEST = dt.timedelta(hours=12), dt.timedelta(hours=24)


def expiration(text: str) -> str:
    """How long a message is tried: `18h`, `18:30` or as the service writes it. "24h" -> "1.00:00:00".

    Raises MESSAGE-EXPIRATION-INVALID for what is shorter than 12 hours or longer than 24.
    """
    match = _SPAN.fullmatch(text)
    if match:
        parts = {name: int(value) for name, value in match.groupdict().items() if value}
        span = dt.timedelta(hours=int(match[5])) if match[5] else dt.timedelta(**parts)
        if _SHORTEST <= span <= _LONGEST:
            hours, rest = divmod(int(span.total_seconds()), 3600)
            return f"{'1.' if hours == 24 else ''}{hours % 24:02d}:{rest // 60:02d}:{rest % 60:02d}"
    what = f'"{text}" is not a time between 12 and 24 hours'
    raise refusal("MESSAGE-EXPIRATION-INVALID", what, "write 12h, 18:30 or 24h")


def _postmaster(text: str) -> str:
    return email_address(text) if text else ""


LEGACY = Tristate({True: "enabled", False: "disabled", None: "default"})


@dataclass(frozen=True, slots=True)
class TransportConfig:
    """Transport settings of the organization."""

    name: str
    allow_legacy_tls_clients: str | None = column(
        "AllowLegacyTLSClients",
        LEGACY,
        "TLS 1.0 and 1.1 for client submission at the host for legacy TLS; default is the service's choice.",
        default="default",
    )
    message_expiration: str | None = column(
        "MessageExpiration",
        Text(expiration, "12 to 24 hours: `12h`, `18:30`, `24h`", examples=("24h",), nullable=False),
        "How long a message that cannot be delivered is tried again, before the sender is told.",
        default="1.00:00:00",
    )
    external_postmaster_address: str | None = column(
        "ExternalPostmasterAddress",
        Text(_postmaster, 'e-mail address, `""` for `postmaster@` the default domain'),
        "From of delivery notices to senders outside.",
        default="",
    )
    external_delay_dsn_enabled: bool | None = column(
        "ExternalDelayDsnEnabled", BOOLEAN, "Tell senders outside that a message is late.", default=True
    )
    internal_delay_dsn_enabled: bool | None = column(
        "InternalDelayDsnEnabled", BOOLEAN, "Tell senders of the organization that a message is late.", default=True
    )


_DESCRIPTION = "Transport settings of the whole organization. What is not written is left as it is."


class TransportConfigType(TenantSettingsType[TransportConfig]):
    """transport_config["settings"]."""

    name: ClassVar[str] = "transport_config"
    section: ClassVar[str] = "transport_config"
    section_type: ClassVar[Any] = fields.entry(TransportConfig, "TransportConfigSection", _DESCRIPTION)
    spec: ClassVar[type[TransportConfig]] = TransportConfig
    noun: ClassVar[str] = "TransportConfig"
    contributes: ClassVar[tuple[type[Contribution], ...]] = (LegacyTls,)
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("TLS-LEGACY", Severity.ERROR, "apply", "Clients may sign in over TLS 1.0 and 1.1."),
    )

    def contribution(self, spec: TransportConfig) -> Contributions:
        """Whether weak TLS is taken. How long messages are tried admits no sender and refuses nobody's mail."""
        legacy = spec.allow_legacy_tls_clients
        return () if legacy is None else (LegacyTls(legacy == "enabled"),)

    def guards(self, before: TransportConfig | None, after: TransportConfig | None) -> Iterable[Guard]:
        was = before.allow_legacy_tls_clients if before else None
        if after and after.allow_legacy_tls_clients == "enabled" != was:
            summary = "every mailbox may sign in over TLS 1.0 and 1.1, which no longer protect its password"
            hint = "move the devices to TLS 1.2, or let a relay at the site take their mail"
            yield Guard("TLS-LEGACY", summary, hint)
