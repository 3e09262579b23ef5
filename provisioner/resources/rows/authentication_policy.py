"""Get-AuthenticationPolicy: which protocols accept a password from the users of a policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from provisioner.model import Cmdlet, Row
from provisioner.resources.canonical import flag

_NAMES = ("Name", "Identity", "Guid", "Id", "DistinguishedName")
COLUMNS = frozenset({*_NAMES, "AllowBasicAuthSmtp"})
REQUEST = Cmdlet("Get-AuthenticationPolicy", columns=COLUMNS)


@dataclass(frozen=True, slots=True)
class AuthenticationPolicy:
    """`names` are those by which users and the organization refer to it, in lower case; `name` is as it is written."""

    names: frozenset[str]
    allows_smtp: bool | None
    name: str = ""


def decode(rows: Iterable[Row]) -> Sequence[AuthenticationPolicy]:
    """All policies of a listing."""
    return [
        AuthenticationPolicy(
            frozenset(str(row[column]).lower() for column in _NAMES if row.get(column)),
            flag(row, "AllowBasicAuthSmtp"),
            str(row.get("Name") or row.get("Identity") or ""),
        )
        for row in rows
    ]


def allows_smtp(policy: str | None, policies: Iterable[AuthenticationPolicy]) -> bool | None:
    """Whether the policy of this name, "" for none, accepts passwords for SMTP. Without a policy, passwords are."""
    if not policy:
        return None if policy is None else True
    found = named(policy, policies)
    return found.allows_smtp if found else None


def named(name: str, policies: Iterable[AuthenticationPolicy]) -> AuthenticationPolicy | None:
    """The policy that a name, a distinguished name or a Guid means."""
    return next((policy for policy in policies if name.lower() in policy.names), None)
