"""Outbound connectors: Get, New, Set, Remove. Their columns are others than an inbound connector's.

Parameters, defaults and limits: Get-/New-/Set-OutboundConnector in the PowerShell reference (state of 2026, with
MtaStsMode and SmtpDaneMode). What must hold together beyond that page is what the same class checks in Exchange
Server 2016 (TenantOutboundConnector): smart hosts or MX records and never both, OnPremises only with smart hosts,
TlsDomain exactly with DomainValidation, and a scope that is either a transport rule or recipient domains. The
sentences of these refusals are ours. Not modelled: the same class's demand for an inbound connector before
RouteAllMessagesViaOnPremises, because no current source confirms it.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping

from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.connectors import DOMAIN, SOURCE, TYPE, is_domain_pattern, with_new_name
from provisioner.sandbox.cmdlets.objects import (
    Form,
    Noun,
    Rows,
    create,
    differing,
    get,
    refuse_duplicate,
    remove,
    set_row,
    stored_values,
    target,
)
from provisioner.sandbox.cmdlets.parameters import (
    Parameter,
    array,
    boolean,
    choice,
    identity,
    string,
    switched_off,
    values,
)
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.tenant import Row, Tenant

_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?")
_MAIL_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")

_SHARED: tuple[Parameter, ...] = (
    boolean("Enabled"),
    boolean("UseMXRecord"),
    string("Comment"),
    TYPE,
    SOURCE,
    values("RecipientDomains"),
    values("SmartHosts"),
    string("TlsDomain", nullable=True),
    choice(
        "TlsSettings",
        "Microsoft.Exchange.Data.TlsAuthLevel",
        "EncryptionOnly",
        "CertificateValidation",
        "DomainValidation",
        nullable=True,
    ),
    boolean("IsTransportRuleScoped"),
    boolean("RouteAllMessagesViaOnPremises"),
    boolean("CloudServicesMailEnabled"),
    boolean("AllAcceptedDomains"),
    boolean("SenderRewritingEnabled"),
    choice("MtaStsMode", "Microsoft.Exchange.Data.Directory.SystemConfiguration.MtaStsMode", "Opportunistic", "None"),
    choice(
        "SmtpDaneMode",
        "Microsoft.Exchange.Data.Directory.SystemConfiguration.SmtpDaneMode",
        "Opportunistic",
        "Mandatory",
        "None",
    ),
    boolean("TestMode"),
)
NOUN = Noun(
    "OutboundConnector",
    {
        **switched_off(_SHARED),
        "Enabled": True,
        "UseMXRecord": True,
        "Comment": "",
        "ConnectorType": "Partner",
        "ConnectorSource": "Default",
        "RecipientDomains": [],
        "SmartHosts": [],
        "TlsDomain": None,
        "TlsSettings": None,
        "MtaStsMode": "Opportunistic",
        "SmtpDaneMode": "Opportunistic",
        "LinkForModifiedConnector": str(uuid.UUID(int=0)),
        "ValidationRecipients": None,
        "IsValidated": False,
        "LastValidationTimestamp": None,
    },
    category="ms-Exch-SMTP-Outbound-Connector",
    object_class=("top", "msExchSMTPOutboundConnector"),
    exchange_version="0.1 (8.0.535.0)",
)

_NEW = (string("Name", required=True, max_length=64), string("LinkForModifiedConnector"), *_SHARED)
_SET = (
    identity(),
    string("Name", max_length=64),
    boolean("IsValidated"),
    string("LastValidationTimestamp", nullable=True),
    array("ValidationRecipients"),
    *_SHARED,
)


# --- forms -----------------------------------------------------------------------------------------------------------


def _recipient_domain(text: str) -> str:
    """Kept as sent. The address space of an inbound connector (`smtp:contoso.com;1`) is not a value here."""
    if not is_domain_pattern(text):
        raise errors.invalid(f"The domain '{text}' in RecipientDomains isn't valid. Use a domain, *.domain, or *.")
    return text


def _smart_host(text: str) -> str:
    """A host name, an IPv4 address or a CIDR range, kept as sent. No port (office-docs-powershell issue 5599)."""
    if not _is_smart_host(text):
        raise errors.invalid(
            f"The smart host '{text}' isn't valid. Use a fully qualified domain name, an IPv4 address, or a CIDR range."
        )
    return text


def _is_smart_host(text: str) -> bool:
    if not _IPV4.fullmatch(text):
        return DOMAIN.fullmatch(text) is not None
    try:
        ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return False
    return True


def _recipient(text: str) -> str:
    if not _MAIL_ADDRESS.fullmatch(text):
        raise errors.invalid(f"The address '{text}' in ValidationRecipients isn't a valid SMTP address.")
    return text


_FORMS: Mapping[str, Form] = {
    "RecipientDomains": _recipient_domain,
    "SmartHosts": _smart_host,
    "ValidationRecipients": _recipient,
}


def _values(call: Call, table: tuple[Parameter, ...], row: Mapping[str, object]) -> Row:
    """The columns that the call sets, in their stored form. Raises CmdletError."""
    changes = stored_values(call, table, row, _FORMS)
    for name in ("TlsDomain", "LastValidationTimestamp"):
        if name in changes:
            changes[name] = changes[name] or None
    if changes.get("TlsDomain") and (changes["TlsDomain"] == "*" or not is_domain_pattern(changes["TlsDomain"])):
        raise errors.invalid(f"The domain '{changes['TlsDomain']}' in TlsDomain isn't valid. Use a domain or *.domain.")
    if changes.get("LastValidationTimestamp"):
        changes["LastValidationTimestamp"] = _timestamp(changes["LastValidationTimestamp"])
    if "LinkForModifiedConnector" in changes:
        changes["LinkForModifiedConnector"] = _guid(changes["LinkForModifiedConnector"])
    return changes


def _timestamp(text: str) -> str:
    """As a live row has it: seven digits of a second, and no Z (graph2otel, July 2026)."""
    try:
        moment = datetime.datetime.fromisoformat(text.strip().upper().replace(" ", "T"))
    except ValueError:
        reason = "String was not recognized as a valid DateTime."
        raise errors.not_convertible("LastValidationTimestamp", text, "System.DateTime", reason) from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}0"


def _guid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        reason = "Guid should contain 32 digits with 4 dashes (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx)."
        raise errors.not_convertible("LinkForModifiedConnector", text, "System.Guid", reason) from None


# --- what must hold together -----------------------------------------------------------------------------------------


def _on_premises_only(column: str) -> tuple[frozenset[str], Callable[[Row], bool], str]:
    return (
        frozenset({"ConnectorType", column}),
        lambda row: row.get(column) is True and row.get("ConnectorType") != "OnPremises",
        f"{column} can be true only for connectors of type OnPremises.",
    )


def _has_domains(row: Row) -> bool:
    return bool(row.get("RecipientDomains")) or row.get("AllAcceptedDomains") is True


_ROUTE = frozenset({"UseMXRecord", "SmartHosts"})
_TLS = frozenset({"TlsSettings", "TlsDomain"})
_SCOPE = frozenset({"IsTransportRuleScoped", "RecipientDomains", "AllAcceptedDomains"})
_REFUSALS: tuple[tuple[frozenset[str], Callable[[Row], bool], str], ...] = (
    (
        _ROUTE,
        lambda row: row.get("UseMXRecord") is False and not row.get("SmartHosts"),
        "SmartHosts must have at least one value if UseMXRecord is false.",
    ),
    (
        _ROUTE,
        lambda row: row.get("UseMXRecord") is True and bool(row.get("SmartHosts")),
        "UseMXRecord must be false if SmartHosts has a value.",
    ),
    (
        frozenset({"ConnectorType", "UseMXRecord"}),
        lambda row: row.get("ConnectorType") == "OnPremises" and row.get("UseMXRecord") is True,
        "A connector of type OnPremises can't use MX records. Set UseMXRecord to false and use SmartHosts.",
    ),
    (
        _TLS,
        lambda row: bool(row.get("TlsDomain")) and row.get("TlsSettings") != "DomainValidation",
        "TlsDomain can be used only if TlsSettings is DomainValidation.",
    ),
    (
        _TLS,
        lambda row: row.get("TlsSettings") == "DomainValidation" and not row.get("TlsDomain"),
        "TlsDomain is required if TlsSettings is DomainValidation.",
    ),
    (
        _SCOPE,
        lambda row: row.get("IsTransportRuleScoped") is True and _has_domains(row),
        "IsTransportRuleScoped can't be used with RecipientDomains or AllAcceptedDomains.",
    ),
    (
        _SCOPE,
        lambda row: row.get("IsTransportRuleScoped") is False and not _has_domains(row),
        "A connector needs RecipientDomains or AllAcceptedDomains unless IsTransportRuleScoped is true.",
    ),
    _on_premises_only("AllAcceptedDomains"),
    _on_premises_only("RouteAllMessagesViaOnPremises"),
    _on_premises_only("SenderRewritingEnabled"),
)
"""Columns, whether a row that has them so is refused, and what the refusal says."""


def _check(row: Row, changed: Row) -> None:
    """Raise CmdletError for a connector that does not hold together.

    Only combinations that the call touches are looked at: a row that an export brought keeps what it came with.
    """
    for columns, refused, text in _REFUSALS:
        if columns & set(changed) and refused(row):
            raise errors.invalid(text)


def _refuse_dangling(tenant: Tenant, row: Row, changes: Row | None) -> None:
    """Raise CmdletError where a transport rule routes to this connector and would lose it; None for a removal.

    The same class refuses to remove, rename, disable or un-scope a connector that a rule names.
    """
    name = str(row.get("Name", "")).lower()
    losing = (
        changes is None
        or str(changes.get("Name", name)).lower() != name
        or changes.get("Enabled") is False
        or changes.get("IsTransportRuleScoped") is False
    )
    rules = [
        str(rule.get("Name"))
        for rule in tenant.rows("TransportRule")
        if str(rule.get("RouteMessageOutboundConnector") or "").lower() == name
    ]
    if losing and rules:
        raise errors.invalid(f"The connector '{row.get('Name')}' is used by the transport rule '{rules[0]}'.")


# --- the cmdlets -----------------------------------------------------------------------------------------------------


def _get(call: Call) -> Rows:
    """Connectors in test mode are left out unless asked for, and then they are all that comes (Microsoft's page)."""
    in_test_mode = call.get("IncludeTestModeConnectors") is True
    rows = [row for row in get(call, NOUN) if (row.get("TestMode") is True) is in_test_mode]
    if not call.given("IsTransportRuleScoped"):
        return rows
    return [row for row in rows if row.get("IsTransportRuleScoped") is call.get("IsTransportRuleScoped")]


def _new(call: Call) -> Rows:
    refuse_duplicate(call.tenant, NOUN, call.get("Name"))
    given = _values(call, _NEW, {})
    row = {**NOUN.columns, **given}
    _check(row, row)
    return create(call, NOUN, given)


def _set(call: Call) -> Rows:
    row = target(call, NOUN)
    changes = differing(row, with_new_name(call, NOUN, row, _values(call, _SET, row)))
    _check({**row, **changes}, changes)
    _refuse_dangling(call.tenant, row, changes)
    set_row(call, NOUN, row, changes)
    return []


def _remove(call: Call) -> Rows:
    _refuse_dangling(call.tenant, target(call, NOUN), None)
    return remove(call, NOUN)


CMDLETS = (
    Cmdlet(
        "Get-OutboundConnector",
        (identity(required=False), boolean("IncludeTestModeConnectors"), boolean("IsTransportRuleScoped")),
        _get,
    ),
    Cmdlet("New-OutboundConnector", _NEW, _new),
    Cmdlet("Set-OutboundConnector", _SET, _set),
    Cmdlet("Remove-OutboundConnector", (identity(),), _remove),
)
