"""Whose an address is: mailboxes, their users in Graph, accepted domains. Lookups through indexes, no decisions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from provisioner.sandbox.cmdlets import cas_mailbox, hve_account, mailbox, recipient
from provisioner.sandbox.cmdlets.objects import Noun
from provisioner.sandbox.spelling import folded
from provisioner.sandbox.tenant import USERS, Row, Tenant, row_key, user_names


def owner_of(tenant: Tenant, address: str) -> Row | None:
    """The mailbox that an address or a sign-in name means, as reads see it."""
    return _addressed(tenant, mailbox.NOUN, address)


def account_of(tenant: Tenant, address: str) -> Row | None:
    """The account of High Volume Email that an address or a sign-in name means, as reads see it."""
    found = _addressed(tenant, recipient.MAIL_USER, address)
    return found if found is not None and hve_account.settings_of(tenant, found) is not None else None


def refuses_strangers(tenant: Tenant, address: str) -> bool:
    """Whether an address is that of a group that takes mail of authenticated senders only (5.7.133)."""
    group = _addressed(tenant, recipient.GROUP, address)
    return group is not None and group.get("RequireSenderAuthenticationEnabled") is not False


def client_access(tenant: Tenant, owner: Row) -> Row | None:
    """A mailbox's row of client access settings (CASMailbox)."""
    return _addressed(tenant, cas_mailbox.NOUN, str(owner.get("PrimarySmtpAddress")))


def _addressed(tenant: Tenant, noun: Noun, address: str) -> Row | None:
    """The row of this address: through the index, and past it where a write does not show yet."""
    wanted, unseen = folded(address), tenant.unseen(noun.name)
    found = [row for row in tenant.named(noun.name, noun.all_names, wanted) if row_key(row) not in unseen]
    found += [entry.before for entry in unseen.values() if entry.before is not None]
    return next((row for row in found if wanted in addresses(row)), None)


def addresses(row: Row) -> set[str]:
    """Primary address, aliases and sign-in name, as they are compared."""
    proxies = (str(proxy).partition(":")[2] for proxy in row.get("EmailAddresses") or ())
    own = (str(row.get(column) or "") for column in ("PrimarySmtpAddress", "UserPrincipalName"))
    return {folded(text) for text in (*own, *proxies) if text}


def primary(row: Row) -> str:
    """The primary address as it is compared: what a mailbox is counted under."""
    return folded(str(row["PrimarySmtpAddress"]))


def memberships(tenant: Tenant, user: Mapping[str, Any]) -> list[str]:
    """The ids of the groups that a user is in, by `memberOf` of its row and of the rows of its groups."""
    groups = {str(row.get("id")).lower(): row for row in tenant.graph.get("groups") or ()}
    found: dict[str, None] = {}
    waiting = [str(name).lower() for name in user.get("memberOf") or ()]
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = None
            waiting += [str(above).lower() for above in groups.get(name, {}).get("memberOf") or ()]
    return list(found)


def groups_of(tenant: Tenant, owner: Row) -> set[str]:
    """The names and addresses, in lower case, of the mail-enabled groups that a mailbox's user is in."""
    ids = memberships(tenant, user_of(tenant, owner))
    rows = (row for noun in ("DistributionGroup", "UnifiedGroup") for row in tenant.visible(noun) if ids)
    mine = [row for row in rows if str(row.get("ExternalDirectoryObjectId") or "-").lower() in ids]
    return {
        str(row[name]).lower() for row in mine for name in ("Identity", "Name", "DisplayName") if row.get(name)
    }.union(*map(addresses, mine))


def directory_roles(tenant: Tenant, principals: Collection[str]) -> set[str]:
    """The ids of the roles that these users and groups hold in the whole directory, by Graph's role assignments.

    Conditional Access is not enforced for roles of an administrative unit (Microsoft Learn, "Conditional Access: Users,
    groups, agents, and workload identities").
    """
    return {
        str(row.get("roleDefinitionId")).lower()
        for row in tenant.graph.get("roleAssignments") or ()
        if str(row.get("principalId")).lower() in principals and row.get("directoryScopeId") == "/"
    }


def user_of(tenant: Tenant, owner: Row) -> dict[str, Any]:
    """A mailbox's user in Graph, by object id or sign-in name; empty where there is none."""
    object_id = str(owner.get("ExternalDirectoryObjectId") or "").lower()
    names = {str(owner.get("UserPrincipalName") or "").lower(), primary(owner)}
    found = (user for name in (object_id, *sorted(names)) if name for user in tenant.named(USERS, user_names, name))
    return dict(next(found, {}))


def domain_of(address: str) -> str:
    """The domain of an address, as domains are compared."""
    return folded(address.rpartition("@")[2])


def accepted(tenant: Tenant, domain: str) -> Row | None:
    """The accepted domain of this name, or the nearest one above it that takes its subdomains' mail (MatchSubDomains).

    Source: Microsoft Learn, "Enable mail flow for subdomains in Exchange Online".
    """
    wanted = folded(domain)
    above: dict[str, Row] = {}
    for row in tenant.visible("AcceptedDomain"):
        name = folded(str(row.get("DomainName") or row.get("Name")))
        if name == wanted:
            return row
        if wanted.endswith(f".{name}"):
            above[name] = row
    nearest = (above[name] for name in sorted(above, key=len, reverse=True))
    return next((row for row in nearest if row.get("MatchSubDomains") is True), None)


def unknown_here(tenant: Tenant, address: str) -> bool:
    """Whether an address is of a domain that is only here (Authoritative), and no recipient of any kind has it."""
    domain = accepted(tenant, domain_of(address))
    if domain is None or domain.get("DomainType") != "Authoritative":
        return False
    return all(_addressed(tenant, noun, address) is None for noun in recipient.ALL)
