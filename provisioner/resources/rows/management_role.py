"""Get-ManagementRoleAssignment and Get-ManagementScope, as far as applications are concerned (RBAC for Applications).

A scope's filter is OPATH. Ours are one comparison of an address for each mailbox, which may come back with parentheses
and prefixes; another form is none that a plan can say. EmailAddresses finds a mailbox by each of its addresses (Learn,
"Filterable properties for the RecipientFilter parameter").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from provisioner.model import Cmdlet, Row
from provisioner.model.names import caseless
from provisioner.resources.canonical import email_address, identifier, lenient, text_of

ASSIGNMENTS, SCOPES = "Get-ManagementRoleAssignment", "Get-ManagementScope"
TEST = "Test-ServicePrincipalAuthorization"
MOST_TESTED = 10
"""Mailboxes of one role that are tested: each costs a request."""
PREFIX = "Application "
_ASSIGNMENT = frozenset({"Name", "Role", "RoleAssignee", "RoleAssigneeName", "CustomResourceScope"})
SCOPE_LISTING = Cmdlet(SCOPES, {}, frozenset({"Name", "RecipientFilter"}))
_form = lenient(email_address)
_GROUP = re.compile(r"\(*\s*MemberOfGroup\s+-eq\s+'((?:[^']|'')+)'\s*\)*", re.IGNORECASE)
_TERM = re.compile(r"\(*\s*EmailAddresses\s+-eq\s+'(?:smtp:)?([^']+)'\s*\)*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One assignment: its name, the permission ("SMTP.SendAsApp"), names of the application, and the scope's name."""

    name: str
    permission: str
    assignee: frozenset[str]
    scope: str


def of_role(permission: str) -> Cmdlet:
    """The assignments of one role to whomever."""
    return Cmdlet(ASSIGNMENTS, {"Role": f"{PREFIX}{permission}"}, _ASSIGNMENT)


def assignments(rows: Iterable[Row]) -> dict[str, Assignment]:
    """By name in lower case. Raises ValueError for a row without name or role."""
    found: dict[str, Assignment] = {}
    for row in rows:
        name, role = identifier(row, "Name"), identifier(row, "Role")
        who = frozenset(str(row[c]).lower() for c in ("RoleAssignee", "RoleAssigneeName") if row.get(c))
        scope = caseless(text_of(row, "CustomResourceScope") or "")
        found[caseless(name)] = Assignment(name, role.removeprefix(PREFIX), who, scope)
    return found


def scopes(rows: Iterable[Row]) -> Mapping[str, frozenset[str] | None]:
    """The mailboxes of each scope, by its name in lower case; None for a filter that a plan cannot say."""
    return {caseless(identifier(row, "Name")): mailboxes_of(text_of(row, "RecipientFilter") or "") for row in rows}


def called(rows: Iterable[Row]) -> Mapping[str, str]:
    """The names of the scopes as they are written, by name in lower case."""
    return {caseless(identifier(row, "Name")): identifier(row, "Name") for row in rows}


def groups(rows: Iterable[Row]) -> Mapping[str, str]:
    """The distinguished names of the groups whose members are in a scope, by its name in lower case."""
    found = ((identifier(row, "Name"), _GROUP.fullmatch(str(row.get("RecipientFilter") or "").strip())) for row in rows)
    return {caseless(name): match[1].replace("''", "'").lower() for name, match in found if match}


def members_of(group: str) -> str:
    """The filter that finds the direct members of a group, by its distinguished name (Learn, filterable properties)."""
    quoted = group.replace("'", "''")
    return f"MemberOfGroup -eq '{quoted}'"


def test_of(application: str, mailbox: str) -> Cmdlet:
    """What an application may do as one mailbox, by what is set and not by what is cached."""
    return Cmdlet(TEST, {"Identity": application, "Resource": mailbox}, frozenset({"RoleName", "InScope"}))


def in_scope(rows: Iterable[Row], permission: str) -> bool:
    """Whether a tested mailbox is in the scope of a role; False where the application does not have the role."""
    mine = (row for row in rows if str(row.get("RoleName")).lower() == f"{PREFIX}{permission}".lower())
    return any(str(row.get("InScope")).lower() == "true" for row in mine)


def filter_of(mailboxes: Iterable[str]) -> str:
    """The filter that finds some mailboxes by their addresses."""
    quoted = (address.replace("'", "''") for address in sorted(mailboxes))
    return " -or ".join(f"EmailAddresses -eq '{address}'" for address in quoted)


def mailboxes_of(text: str) -> frozenset[str] | None:
    """The addresses of a filter in our form; None for another one."""
    found = []
    for term in re.split(r"\s+-or\s+", text.replace("''", "\0").strip(), flags=re.IGNORECASE):
        match = _TERM.fullmatch(term.strip())
        if match is None:
            return None
        found.append(_form(match[1].replace("\0", "'")))
    return frozenset(found)
