"""What follows from what a seed says: a mailbox has a user, a domain that is accepted is one of Graph's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from provisioner.sandbox.cmdlets.mailbox import directory_id
from provisioner.sandbox.cmdlets.objects import new_row, stable_guid
from provisioner.sandbox.cmdlets.running import NOUNS
from provisioner.sandbox.generated import USERS
from provisioner.sandbox.public_dns import asked_for, of_the_service
from provisioner.sandbox.seed_merging import made_rows, whole_row
from provisioner.sandbox.spelling import folded
from provisioner.sandbox.tenant import Row, Tenant


def pair_mailboxes(tenant: Tenant) -> None:
    """Every mailbox has a row of either noun: make the one that lacks. Generated ones have both."""
    shared = (
        "PrimarySmtpAddress", "EmailAddresses", "DisplayName", "Name", "Identity", "Guid", "ExternalDirectoryObjectId",
    )  # fmt: skip
    for one, other in (("CASMailbox", "Mailbox"), ("Mailbox", "CASMailbox")):
        there = {str(row.get("PrimarySmtpAddress")).lower() for row in tenant.kept(other)}
        for row in tenant.kept(one):
            address = str(row.get("PrimarySmtpAddress")).lower()
            if address not in there and not any(made_rows(tenant, other, ("PrimarySmtpAddress", address))):
                given = {column: row[column] for column in shared if row.get(column)}
                given["EmailAddresses"] = list(given.get("EmailAddresses", ()))
                tenant.kept(other).append(whole_row(tenant, NOUNS[other], given, {}))


def derive_accepted_domains(tenant: Tenant, verified: Iterable[Mapping[str, Any]], *, only_used: bool) -> None:
    """Accepted domains from Graph's verified ones, and from what cannot be without: mailboxes.

    A row of DKIM makes none: those of removed domains stay in a tenant.
    """
    rows = tenant.kept("AcceptedDomain")
    known = {folded(str(row.get("DomainName", ""))) for row in rows}
    wanted = [folded(str(row["PrimarySmtpAddress"]).partition("@")[2]) for row in tenant.kept("Mailbox")]
    wanted += [folded(source.domain) for source in tenant.generated]
    if not only_used:
        wanted = [tenant.initial_domain, *(folded(str(row["id"])) for row in verified), *wanted]
    defaults = {folded(str(row["id"])) for row in verified if row.get("isDefault")}
    for name in dict.fromkeys(wanted):
        if name and name not in known:
            initial = name == tenant.initial_domain
            facts = {"Name": name, "DomainName": name, "InitialDomain": initial}
            rows.append(new_row(tenant, NOUNS["AcceptedDomain"], facts))
    if defaults and not only_used:
        for row in rows:
            row["Default"] = folded(str(row["DomainName"])) in defaults
    elif not any(row.get("Default") for row in rows):
        rows[0]["Default"] = True


def derive_graph_domains(tenant: Tenant, *, complete_all: bool) -> None:
    """Graph's domains from the accepted ones. Rows that a seed of ours gave are left as they are."""
    rows: list[Row] = tenant.graph.setdefault("domains", [])
    known = {folded(str(row.get("id", ""))): row for row in rows}
    for accepted in tenant.rows("AcceptedDomain"):
        name = folded(str(accepted.get("DomainName", "")))
        if name and name not in known:
            facts = {"isDefault": accepted.get("Default") is True, "isInitial": accepted.get("InitialDomain") is True}
            known[name] = {**domain_defaults(name, tenant.initial_domain), **facts, "id": name}
            rows.append(known[name])
    for name, row in known.items():
        if complete_all:
            defaults = domain_defaults(name, tenant.initial_domain)
            row.update({column: value for column, value in defaults.items() if column not in row})
    if not tenant.graph.get("organization"):
        tenant.graph["organization"] = {
            "id": tenant.tenant_id,
            "displayName": tenant.display_name,
            "verifiedDomains": [
                {
                    "capabilities": "Email, OfficeCommunicationsOnline",
                    "name": name,
                    "isDefault": row.get("isDefault"),
                    "isInitial": row.get("isInitial"),
                    "type": row.get("authenticationType") or "Managed",
                }
                for name, row in known.items()
                if row.get("isVerified")
            ],
        }


def domain_defaults(name: str, initial_domain: str) -> Row:
    """A domain as Graph gives it, with the DNS records that Microsoft asks for."""
    asked = asked_for(initial_domain, name)
    common = {"isOptional": False, "ttl": 3600, "supportedService": "Email"}
    mx = {"label": name, "recordType": "Mx", "preference": 0, "mailExchange": asked.mx}
    txt = {"label": name, "recordType": "Txt", "text": asked.spf}
    cname = {"label": f"autodiscover.{name}", "recordType": "CName", "canonicalName": asked.autodiscover}
    records = [
        {"@odata.type": f"#microsoft.graph.domainDns{record['recordType']}Record", **common, **record,
         "id": stable_guid("record", str(record["recordType"]), name)}
        for record in (mx, txt, cname)
    ]  # fmt: skip
    return {
        "authenticationType": "Managed",
        "availabilityStatus": None,
        "isAdminManaged": True,
        "isDefault": False,
        "isInitial": False,
        "isRoot": True,
        "isVerified": True,
        "supportedServices": ["Email", "OfficeCommunicationsOnline"],
        "passwordValidityPeriodInDays": 2147483647,
        "passwordNotificationWindowInDays": 14,
        "state": None,
        "serviceConfigurationRecords": [] if of_the_service(name) else records,
    }


# EXCHANGE_S_ENTERPRISE ("Product names and service plan identifiers for licensing", Learn); status as Graph tells it.
_EXCHANGE_PLAN = {
    "assignedDateTime": "2026-01-12T08:00:00Z",
    "capabilityStatus": "Enabled",
    "service": "exchange",
    "servicePlanId": "efb87545-963c-4e0d-99df-69c6916d9eb0",
}


# Exchange Online (Plan 2), whose plan it is (the same page).
_PLAN_2 = {"skuId": "19ec0d23-8335-4cbd-94ac-6050e30712fa", "disabledPlans": []}


def derive_users(tenant: Tenant) -> None:
    """A Graph user for each mailbox that has none. Generated mailboxes have theirs."""
    users = tenant.kept(USERS)
    for user in users:  # a seed may name its users by what a person knows of them
        address = str(user.get("mail") or user.get("userPrincipalName") or "")
        user.setdefault("id", _user_id(tenant, address))
    known = {str(user.get(column) or "").lower() for user in users for column in ("userPrincipalName", "mail", "id")}
    for row in tenant.kept("Mailbox"):
        address, upn = str(row["PrimarySmtpAddress"]), str(row.get("UserPrincipalName") or row["PrimarySmtpAddress"])
        if not {address.lower(), upn.lower()} & known:
            users.append(user_of(tenant, row))


def _user_id(tenant: Tenant, address: str) -> str:
    generated = next(made_rows(tenant, "Mailbox", ("PrimarySmtpAddress", address.lower())), None)
    return directory_id(tenant, address) if generated is None else str(generated["ExternalDirectoryObjectId"])


def user_of(tenant: Tenant, mailbox: Row) -> Row:
    """A mailbox's user as Graph gives it."""
    address = str(mailbox["PrimarySmtpAddress"])
    user = mailbox.get("RecipientTypeDetails") == "UserMailbox"
    return {
        "id": mailbox.get("ExternalDirectoryObjectId") or directory_id(tenant, address),
        "displayName": mailbox.get("DisplayName"),
        "userPrincipalName": str(mailbox.get("UserPrincipalName") or address),
        "mail": address,
        "accountEnabled": user,
        "assignedLicenses": [dict(_PLAN_2)] if user and not tenant.graph.get("subscribedSkus") else [],
        "assignedPlans": [_EXCHANGE_PLAN] if user else [],
        "proxyAddresses": [str(proxy) for proxy in mailbox.get("EmailAddresses") or ()],
    }
