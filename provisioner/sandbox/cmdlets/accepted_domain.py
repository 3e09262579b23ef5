"""Accepted domains: Get and Set. They come from verified domains in Entra: New and Remove are on-premises only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, refuse_duplicate, renamed, set_row, stored_values, target
from provisioner.sandbox.cmdlets.parameters import boolean, choice, identity, string
from provisioner.sandbox.cmdlets.table import Cmdlet, get_cmdlet
from provisioner.sandbox.tenant import Row, Tenant


def _derive(_: Tenant, row: Row) -> None:
    row["DomainName"] = row["DomainName"] or row["Name"]


def _builtin(tenant: Tenant) -> Iterable[Mapping[str, Any]]:
    name = tenant.initial_domain
    return ({"Name": name, "DomainName": name, "Default": True, "InitialDomain": True},)


NOUN = Noun(
    "AcceptedDomain",
    {
        "DomainName": "",
        "CatchAllRecipientID": None,
        "DomainType": "Authoritative",
        "MatchSubDomains": False,
        "AddressBookEnabled": True,
        "Default": False,
        "EmailOnly": False,
        "ExternallyManaged": False,
        "RawAuthenticationType": "Managed",
        "AuthenticationType": "Managed",
        "LiveIdInstanceType": "Business",
        "PendingRemoval": False,
        "PendingCompletion": False,
        "FederatedOrganizationLink": "Federation",
        "MailFlowPartner": None,
        "OutboundOnly": False,
        "PendingFederatedAccountNamespace": False,
        "PendingFederatedDomain": False,
        "IsCoexistenceDomain": False,
        "PerimeterDuplicateDetected": False,
        "IsDefaultFederatedDomain": False,
        "EnableNego2Authentication": False,
        "CanHaveCloudCache": False,
        "SendingFromDomainDisabled": False,
        "SendingToDomainDisabled": False,
        "SmtpDaneStatus": "Disabled",
        "MailFlowRegion": "",
        "AzureProvisioningRegion": "",
        "InitialDomain": False,
    },
    container="CN=Accepted Domains,CN=Transport Settings,CN=Configuration",
    category="ms-Exch-Accepted-Domain",
    object_class=("top", "msExchAcceptedDomain"),
    key="DomainName",
    leaks=True,
    derive=_derive,
    builtin=_builtin,
)

_SET = (
    identity(),
    string("Name", max_length=64),
    choice(
        "DomainType",
        "Microsoft.Exchange.Data.Directory.SystemConfiguration.AcceptedDomainType",
        "Authoritative",
        "ExternalRelay",
        "InternalRelay",
    ),
    boolean("MatchSubDomains"),
    boolean("OutboundOnly"),
    boolean("SendingFromDomainDisabled"),
    boolean("SendingToDomainDisabled"),
    boolean("CanHaveCloudCache"),
    boolean("EnableNego2Authentication"),
)


def _set(call: Call) -> Rows:
    row = target(call, NOUN)
    if call.get("DomainType") == "ExternalRelay":
        # Documented as on-premises only; the sentence is ours.
        raise errors.invalid("The domain type ExternalRelay isn't available in this service.")
    changes = stored_values(call, _SET, row)
    name = changes.pop("Name", None)
    if name and name != row.get("Name"):
        if str(name).lower() != str(row.get("Name")).lower():
            refuse_duplicate(call.tenant, NOUN, name)
        changes |= renamed(row, name)
    set_row(call, NOUN, row, changes)
    return []


CMDLETS = (get_cmdlet(NOUN), Cmdlet("Set-AcceptedDomain", _SET, _set))
