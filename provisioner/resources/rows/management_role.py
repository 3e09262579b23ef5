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
from provisioner.resources.canonical import email_address, identifier, lenient, text_of

ASSIGNMENTS, SCOPES = "Get-ManagementRoleAssignment", "Get-ManagementScope"
PREFIX = "Application "
_ASSIGNMENT = frozenset({"Name", "Role", "RoleAssignee", "RoleAssigneeName", "CustomResourceScope"})
SCOPE_LISTING = Cmdlet(SCOPES, {}, frozenset({"Name", "RecipientFilter"}))
_form = lenient(email_address)
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
        scope = (text_of(row, "CustomResourceScope") or "").lower()
        found[name.lower()] = Assignment(name, role.removeprefix(PREFIX), who, scope)
    return found


def scopes(rows: Iterable[Row]) -> Mapping[str, frozenset[str] | None]:
    """The mailboxes of each scope, by its name in lower case; None for a filter that a plan cannot say."""
    return {identifier(row, "Name").lower(): mailboxes_of(text_of(row, "RecipientFilter") or "") for row in rows}


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
