"""Remote domains: Get only. `Default`, for `*`, is in every tenant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from provisioner.sandbox.cmdlets.objects import Noun
from provisioner.sandbox.cmdlets.table import get_cmdlet
from provisioner.sandbox.tenant import Tenant


def _builtin(_: Tenant) -> Iterable[Mapping[str, Any]]:
    return ({"Name": "Default", "DomainName": "*"},)


NOUN = Noun(
    "RemoteDomain",
    {
        "DomainName": "",
        "IsInternal": False,
        "TargetDeliveryDomain": False,
        "ByteEncoderTypeFor7BitCharsets": "Undefined",
        "CharacterSet": "iso-8859-1",
        "NonMimeCharacterSet": "iso-8859-1",
        "AllowedOOFType": "External",
        "AutoReplyEnabled": True,
        "AutoForwardEnabled": True,
        "DeliveryReportEnabled": True,
        "NDREnabled": True,
        "MeetingForwardNotificationEnabled": False,
        "ContentType": "MimeHtmlText",
        "DisplaySenderName": True,
        "PreferredInternetCodePageForShiftJis": "Undefined",
        "RequiredCharsetCoverage": None,
        "TNEFEnabled": None,
        "LineWrapSize": "Unlimited",
        "TrustedMailOutboundEnabled": False,
        "TrustedMailInboundEnabled": False,
        "UseSimpleDisplayName": False,
        "NDRDiagnosticInfoEnabled": True,
        "MessageCountThreshold": 2147483647,
    },
    container="CN=Internet Message Formats,CN=Global Settings,CN=Configuration",
    category="ms-Exch-Domain-Content-Config",
    object_class=("top", "msExchDomainContentConfig"),
    exchange_version="0.1 (8.0.535.0)",
    builtin=_builtin,
)
CMDLETS = (get_cmdlet(NOUN),)
