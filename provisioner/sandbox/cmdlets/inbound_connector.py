"""Inbound connectors: Get, New, Set, Remove.

Stored forms differ from what was sent (`contoso.com` becomes `smtp:contoso.com;1`), and in some offers a connector is
created disabled and stays so, with a warning instead of an error (setting `inbound_connectors_created_disabled`).
Rules and limits: New-/Set-InboundConnector in the PowerShell reference; where a refusal's sentence is not published
it is ours.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.connectors import DOMAIN, SOURCE, TYPE, is_domain_pattern, with_new_name
from provisioner.sandbox.cmdlets.objects import (
    Form,
    Noun,
    Rows,
    accepted_domains,
    create,
    differing,
    refuse_duplicate,
    set_row,
    stable_guid,
    stored_values,
    target,
)
from provisioner.sandbox.cmdlets.parameters import Parameter, boolean, identity, string, switched_off, values
from provisioner.sandbox.cmdlets.table import Cmdlet, get_cmdlet, remove_cmdlet
from provisioner.sandbox.spelling import folded
from provisioner.sandbox.tenant import Row, Tenant

CREATED_DISABLED = (
    "Inbound connector for this service offering is created in a disabled state. Contact Support to enable it."
)
# Microsoft 365 developer subscriptions create none (office-docs-powershell pull request 11810; New-InboundConnector):
# setting `inbound_connectors_refused`. The sentence is ours.
REFUSED = "For this service offering, you can't create an inbound connector. Contact Support to enable it."
# Recorded in 2024 (Learn Q&A 1622346); the page of Set-InboundConnector has the parameter all the same. Setting
# `inbound_connector_type_fixed`.
TYPE_FIXED = "Microsoft.Exchange.Management.Tasks.ErrorInboundConnectorConnectorTypeCannotChangeException"
STAYS_DISABLED = "For this service offering, you can't enable an inbound connector. Contact Support to enable it."

_ADDRESS_SPACE = re.compile(r"(?:(?P<type>[A-Za-z0-9]+):)?(?P<domain>[^;:]+)(?:;(?P<cost>\d+))?")
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?")
_WIDEST_PREFIX = 24


def _derive(tenant: Tenant, row: Row) -> None:
    row["OrganizationalUnitRootInternal"] = row["OrganizationalUnitRootInternal"] or tenant.initial_domain
    row["NameHashGuid"] = row["NameHashGuid"] or stable_guid("name", str(row["Name"]).lower())


_SHARED: tuple[Parameter, ...] = (
    boolean("Enabled"),
    TYPE,
    SOURCE,
    string("Comment"),
    values("SenderIPAddresses"),
    values("TrustedOrganizations"),
    values("AssociatedAcceptedDomains"),
    boolean("RequireTls"),
    boolean("RestrictDomainsToIPAddresses"),
    boolean("RestrictDomainsToCertificate"),
    boolean("CloudServicesMailEnabled"),
    boolean("TreatMessagesAsInternal"),
    string("TlsSenderCertificateName", nullable=True),
    boolean("EFTestMode"),
    boolean("EFSkipLastIP"),
    values("EFSkipIPs"),
    values("EFSkipMailGateway"),
    values("EFUsers"),
    values("ScanAndDropRecipients"),
)
NOUN = Noun(
    "InboundConnector",
    {
        **switched_off(_SHARED),
        "Enabled": True,
        "ConnectorType": "Partner",
        "ConnectorSource": "Default",
        "Comment": "",
        "SenderIPAddresses": [],
        "SenderDomains": [],
        "TrustedOrganizations": [],
        "ClientHostNames": [],
        "AssociatedAcceptedDomains": [],
        "RequireTls": True,
        "TlsSenderCertificateName": None,
        "ScanAndDropRecipients": [],
        "EFSkipIPs": [],
        "EFSkipMailGateway": [],
        "EFUsers": [],
        "NameHashGuid": "",
        "OrganizationalUnitRootInternal": "",
    },
    category="ms-Exch-SMTP-Inbound-Connector",
    object_class=("top", "msExchSMTPInboundConnector"),
    exchange_version="0.1 (8.0.535.0)",
    leaks=True,
    derive=_derive,
)

_NEW = (
    string("Name", required=True, max_length=64),
    values("SenderDomains", required=True),
    values("ClientHostNames"),
    *_SHARED,
)
_SET = (identity(), string("Name", max_length=64), values("SenderDomains"), *_SHARED)


def _sender_domain(text: str) -> str:
    """The stored form of an address space: `smtp:<domain>;<cost>`, cost 1 where none is given."""
    match = _ADDRESS_SPACE.fullmatch(text.strip())
    kind = (match["type"] or "smtp") if match else ""
    domain = match["domain"] if match else ""
    if match is None or kind.lower() != "smtp" or not is_domain_pattern(domain):
        raise errors.invalid(f"The address space '{text}' isn't valid. Use a domain, *.domain, or *.")
    return f"smtp:{domain};{match['cost'] or 1}"


def _sender_address(text: str) -> str:
    """IPv4, single or /24 to /32, kept as sent: host bits and a missing prefix included."""
    try:
        if not _IPV4.fullmatch(text.strip()):
            raise ValueError
        network = ipaddress.IPv4Network(text.strip(), strict=False)
    except ValueError:
        raise errors.invalid(
            f"The IP address '{text}' in SenderIPAddresses isn't valid. Use IPv4 addresses or CIDR ranges; IPv6 "
            "addresses aren't supported."
        ) from None
    if network.prefixlen < _WIDEST_PREFIX:
        raise errors.invalid(
            f"The IP address range '{text}' in SenderIPAddresses isn't valid. The prefix must be /24 to /32."
        )
    return text.strip()


def _skipped_address(text: str) -> str:
    """Single address, dash range or CIDR, of either family."""
    try:
        ends = (
            [ipaddress.ip_address(end) for end in text.split("-")]
            if "-" in text
            else [ipaddress.ip_network(text, False)]
        )
        valid = len(ends) in {1, 2}
    except ValueError:
        valid = False
    if not valid:
        raise errors.invalid(f"The IP address '{text}' in EFSkipIPs isn't valid.")
    return text


def _forms(tenant: Tenant) -> Mapping[str, Form]:
    accepted = accepted_domains(tenant)

    def associated(text: str) -> str:
        if folded(text) not in accepted:
            raise errors.invalid(f"The domain '{text}' in AssociatedAcceptedDomains isn't an accepted domain.")
        return text

    return {
        "SenderDomains": _sender_domain,
        "SenderIPAddresses": _sender_address,
        "EFSkipIPs": _skipped_address,
        "AssociatedAcceptedDomains": associated,
    }


def _check(tenant: Tenant, row: Row, changed: Row) -> None:
    """What must hold together in the connector as it would be. Raises CmdletError.

    Only combinations that the call touches are looked at: what an export brought is left in peace.
    """
    on_premises = row.get("ConnectorType") == "OnPremises"
    if "SenderDomains" in changed and not row["SenderDomains"]:
        raise errors.invalid("SenderDomains must have at least one value.")
    if {"TlsSenderCertificateName", "ConnectorType"} & set(changed) and row.get("TlsSenderCertificateName"):
        _check_certificate(tenant, str(row["TlsSenderCertificateName"]), on_premises=on_premises)
    touched = {"TreatMessagesAsInternal", "ConnectorType", "CloudServicesMailEnabled"} & set(changed)
    if touched and row.get("TreatMessagesAsInternal"):
        if not on_premises:
            raise errors.invalid("TreatMessagesAsInternal can be used only for connectors of type OnPremises.")
        if row.get("CloudServicesMailEnabled"):
            raise errors.invalid("TreatMessagesAsInternal and CloudServicesMailEnabled can't both be true.")


def _check_certificate(tenant: Tenant, name: str, *, on_premises: bool) -> None:
    domain = folded(name.removeprefix("*."))
    if not DOMAIN.fullmatch(domain):
        raise errors.invalid(f"The certificate name '{name}' isn't valid. Use a domain or *.domain.")
    accepted = accepted_domains(tenant)
    parents = {domain.split(".", cut)[cut] for cut in range(domain.count(".") + 1)}
    if on_premises and not parents & accepted:
        raise errors.invalid(
            f"TlsSenderCertificateName '{name}' must belong to an accepted domain of the organization for a connector "
            "of type OnPremises."
        )


def _new(call: Call) -> Rows:
    refuse_duplicate(call.tenant, NOUN, call.get("Name"))
    given = stored_values(call, _NEW, {}, _forms(call.tenant))
    # Documented as true by default and for partners; rows of type OnPremises were seen with false.
    given.setdefault("RequireTls", given.get("ConnectorType", "Partner") == "Partner")
    if given.get("TlsSenderCertificateName") == "":
        given["TlsSenderCertificateName"] = None
    _check(call.tenant, {**NOUN.columns, **given}, given)
    if call.tenant.settings.get("inbound_connectors_refused"):
        raise errors.invalid(REFUSED)
    if call.tenant.settings.get("inbound_connectors_created_disabled"):
        given["Enabled"] = False
        call.warn(CREATED_DISABLED)
    return create(call, NOUN, given)


def _set(call: Call) -> Rows:
    row = target(call, NOUN)
    changes = stored_values(call, _SET, row, _forms(call.tenant))
    if changes.get("TlsSenderCertificateName") == "":
        changes["TlsSenderCertificateName"] = None
    changes = differing(row, with_new_name(call, NOUN, row, changes))
    if "ConnectorType" in changes and call.tenant.settings.get("inbound_connector_type_fixed"):
        text = f"Cannot change the connector type of Inbound connector '{row['Name']}'"
        raise errors.CmdletError(TYPE_FIXED, text)
    _check(call.tenant, {**row, **changes}, changes)
    _store(call, row, changes)
    return []


def _store(call: Call, row: Row, changes: Row) -> None:
    blocked = call.tenant.settings.get("inbound_connectors_created_disabled") and changes.get("Enabled") is True
    if blocked:
        del changes["Enabled"]
        call.warn(STAYS_DISABLED)
    if changes or not blocked:
        set_row(call, NOUN, row, changes)


CMDLETS = (
    get_cmdlet(NOUN),
    Cmdlet("New-InboundConnector", _NEW, _new),
    Cmdlet("Set-InboundConnector", _SET, _set),
    remove_cmdlet(NOUN),
)
