"""Remote domains: Get, New, Set and Remove. `Default`, for `*`, is in every tenant and stays.

New takes a name and a domain; all else is set later (New-RemoteDomain). DomainName is for New alone. AllowedOOFType and
IsInternal change each other (Set-RemoteDomain, -IsInternal). A domain has one remote domain; that `Default` cannot be
removed and a domain cannot be taken twice is known from Exchange Server, the sentences are ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import (
    Noun,
    Rows,
    create,
    refuse_duplicate,
    remove,
    renamed,
    set_row,
    stored_values,
    target,
)
from provisioner.sandbox.cmdlets.parameters import boolean, choice, identity, integer, string
from provisioner.sandbox.cmdlets.table import Cmdlet, get_cmdlet
from provisioner.sandbox.tenant import Row, Tenant


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

_DATA = "Microsoft.Exchange.Data"
_SET = (
    identity(),
    string("Name", max_length=64),
    choice("AllowedOOFType", f"{_DATA}.AllowedOOFType", "External", "InternalLegacy", "ExternalLegacy", "None"),
    boolean("AutoForwardEnabled"),
    boolean("AutoReplyEnabled"),
    choice(
        "ByteEncoderTypeFor7BitCharsets",
        f"{_DATA}.ByteEncoderTypeFor7BitCharsetsEnum",
        "Use7Bit",
        "UseQP",
        "UseBase64",
        "UseQPHtmlDetectTextPlain",
        "UseBase64HtmlDetectTextPlain",
        "UseQPHtml7BitTextPlain",
        "UseBase64Html7BitTextPlain",
        "Undefined",
    ),
    string("CharacterSet", nullable=True),
    choice("ContentType", f"{_DATA}.ContentType", "MimeHtmlText", "MimeText", "MimeHtml"),
    boolean("DeliveryReportEnabled"),
    boolean("DisplaySenderName"),
    boolean("IsInternal"),
    string("LineWrapSize"),
    boolean("MeetingForwardNotificationEnabled"),
    boolean("NDRDiagnosticInfoEnabled"),
    boolean("NDREnabled"),
    string("NonMimeCharacterSet", nullable=True),
    string("PreferredInternetCodePageForShiftJis"),
    integer("RequiredCharsetCoverage", nullable=True, range=(0, 100)),
    boolean("TargetDeliveryDomain"),
    boolean("TNEFEnabled", nullable=True),
    boolean("TrustedMailInboundEnabled"),
    boolean("TrustedMailOutboundEnabled"),
    boolean("UseSimpleDisplayName"),
)
_NEW = (string("Name", required=True, max_length=64), string("DomainName", required=True, max_length=256))
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"\*|\*\.{_LABEL}|(?:\*\.)?{_LABEL}(?:\.{_LABEL})+", re.IGNORECASE)


def _new(call: Call) -> Rows:
    domain = str(call.get("DomainName"))
    if not _DOMAIN.fullmatch(domain):
        raise errors.invalid(f"'{domain}' isn't a valid SMTP domain.")
    for row in call.tenant.rows(NOUN.name):
        if str(row.get("DomainName")).lower() == domain.lower():
            raise errors.invalid(f"The remote domain '{row.get('Name')}' is already there for '{domain}'.")
    return create(call, NOUN, {"Name": call.get("Name"), "DomainName": domain})


def _set(call: Call) -> Rows:
    row = target(call, NOUN)
    changes = stored_values(call, _SET, row)
    name = changes.pop("Name", None)
    if name and name != row.get("Name"):
        refuse_duplicate(call.tenant, NOUN, name)
        changes |= renamed(row, name)
    set_row(call, NOUN, row, changes | _coupled(row, changes))
    return []


def _coupled(row: Row, changes: Mapping[str, Any]) -> Row:
    """What follows for IsInternal and AllowedOOFType from a change of the other; of two changes IsInternal wins."""
    if changes.get("IsInternal") is False and row.get("IsInternal") is not False:
        return {"AllowedOOFType": "ExternalLegacy"}
    if changes.get("AllowedOOFType") == "InternalLegacy":
        return {"IsInternal": True}
    return {}


def _remove(call: Call) -> Rows:
    if target(call, NOUN).get("DomainName") == "*":
        raise errors.invalid("The default remote domain can't be removed.")
    return remove(call, NOUN)


CMDLETS = (
    get_cmdlet(NOUN),
    Cmdlet("New-RemoteDomain", _NEW, _new),
    Cmdlet("Set-RemoteDomain", _SET, _set),
    Cmdlet("Remove-RemoteDomain", (identity(),), _remove),
)
