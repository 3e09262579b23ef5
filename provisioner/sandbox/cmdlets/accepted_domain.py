"""Accepted domains: Get and Set. They come from verified domains in Entra: New and Remove are on-premises only.

Whether one takes mail over IPv6 is a state of its own: enabled unless somebody turned it off (MC835648). A change shows
up to an hour later (Learn, Get-IPv6StatusForAcceptedDomain). A seed says it as `objects: { AcceptedDomainIPv6:
[{ Identity: contoso.com, Status: Disabled }] }`; the name of the noun is ours.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from provisioner.sandbox.clock import stored_time, wire_time
from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import (
    Noun,
    Rows,
    find,
    new_row,
    set_row,
    stored_values,
    target,
)
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
    set_row(call, NOUN, row, stored_values(call, _SET, row))
    return []


# --- IPv6 ------------------------------------------------------------------------------------------------------------

IPV6 = Noun("AcceptedDomainIPv6", {"Status": "Enabled", "Before": "", "Since": ""}, key="Identity")
_CACHED = dt.timedelta(hours=1)


def _of_domain(call: Call) -> tuple[str, Row | None]:
    """The domain that a call names, and what is kept of it. Raises CmdletError for one that is not accepted."""
    name = str(find(call.tenant, NOUN, str(call.get("Domain")))["DomainName"]).lower()
    return name, next((r for r in call.tenant.rows(IPV6.name) if str(r["Identity"]).lower() == name), None)


def _shown(tenant: Tenant, row: Row | None) -> str:
    if row is None:
        return "Enabled"
    since = stored_time(row["Since"])
    cached = since is not None and tenant.clock.now() < since + _CACHED
    return str(row["Before"] if cached else row["Status"])


def _get_ipv6(call: Call) -> Rows:
    name, row = _of_domain(call)
    return [{"Domain": name, "Status": _shown(call.tenant, row)}]


def _turn_ipv6(status: str) -> Callable[[Call], Rows]:
    def turn(call: Call) -> Rows:
        name, row = _of_domain(call)
        now = {"Status": status, "Before": _shown(call.tenant, row), "Since": wire_time(call.tenant.clock.now())}
        if row is None:
            call.add(IPV6.name, new_row(call.tenant, IPV6, {"Name": name, "Identity": name, **now}))
        else:
            call.update(IPV6.name, row, now, renames=False)
        return []

    return turn


_DOMAIN = string("Domain", required=True, stored=False)
CMDLETS = (
    get_cmdlet(NOUN),
    Cmdlet("Set-AcceptedDomain", _SET, _set),
    Cmdlet("Get-IPv6StatusForAcceptedDomain", (_DOMAIN,), _get_ipv6),
    Cmdlet("Enable-IPv6ForAcceptedDomain", (_DOMAIN,), _turn_ipv6("Enabled")),
    Cmdlet("Disable-IPv6ForAcceptedDomain", (_DOMAIN,), _turn_ipv6("Disabled")),
)
