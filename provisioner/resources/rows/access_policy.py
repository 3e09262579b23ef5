"""Graph `/identity/conditionalAccess/policies`: which policies of Conditional Access refuse a password over SMTP.

SMTP AUTH with a password is a legacy client: it meets the condition `clientAppTypes` as `other`, and can satisfy no
grant control, so that a policy that asks for a second factor or a device refuses it as one that blocks does (Learn,
"Conditional Access: Conditions", "Client apps"; "Block legacy authentication with Conditional Access"). Policies that
are report-only refuse nothing. Per-user MFA (`strongAuthenticationRequirements`, beta only) is not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.model import GraphRequest, Row

PERMISSION = "Policy.Read.All or Policy.Read.ConditionalAccess"
"""The Graph permissions of which one suffices (Learn, "List policies", conditionalAccessRoot)."""

COLUMNS = frozenset({"id", "displayName", "state", "conditions", "grantControls"})
REQUEST = GraphRequest("GET", "/identity/conditionalAccess/policies", columns=COLUMNS)

_LEGACY = frozenset({"all", "other"})
_EXCHANGE = frozenset({"all", "office365", "00000002-0000-0ff1-ce00-000000000000"})
_CONTROLS = ("builtInControls", "customAuthenticationFactors", "termsOfUse", "authenticationStrength")
_NARROWING = {
    "locations": "its locations",
    "platforms": "its device platforms",
    "devices": "its filter for devices",
    "signInRiskLevels": "the risk of the sign-in",
    "userRiskLevels": "the risk of the user",
    "insiderRiskLevels": "the insider risk of the user",
}
_ALL = "all"


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """An enabled policy that refuses passwords over SMTP to those that it is about.

    `users`, `groups` and `roles`, and those of them that it spares, are ids in lower case, {"all"} for everybody.
    `conditions` are those under which alone it refuses, in words; empty: it always does.
    """

    name: str
    users: frozenset[str]
    groups: frozenset[str]
    spared_users: frozenset[str]
    spared_groups: frozenset[str]
    roles: frozenset[str] = frozenset()
    spared_roles: frozenset[str] = frozenset()
    conditions: tuple[str, ...] = ()


def decode(rows: Iterable[Row]) -> tuple[AccessPolicy, ...]:
    """The policies that can refuse a password over SMTP, by name."""
    found = (_policy(row) for row in rows if str(row.get("state")).lower() == "enabled")
    return tuple(sorted((p for p in found if p is not None), key=lambda p: p.name))


def _policy(row: Row) -> AccessPolicy | None:
    conditions, controls = _mapping(row, "conditions"), _mapping(row, "grantControls")
    applications, users = _mapping(conditions, "applications"), _mapping(conditions, "users")
    if not any(controls.get(key) for key in _CONTROLS):
        return None
    if not _LEGACY & (_words(conditions, "clientAppTypes") or {_ALL}):
        return None
    if not _EXCHANGE & _words(applications, "includeApplications"):
        return None
    if _EXCHANGE & _words(applications, "excludeApplications"):
        return None
    narrowed = [words for key, words in _NARROWING.items() if conditions.get(key)]
    return AccessPolicy(
        str(row.get("displayName") or row.get("id") or ""),
        _words(users, "includeUsers"),
        _words(users, "includeGroups"),
        _words(users, "excludeUsers"),
        _words(users, "excludeGroups"),
        _words(users, "includeRoles"),
        _words(users, "excludeRoles"),
        (*narrowed, *(["its filter for applications"] if applications.get("applicationFilter") else [])),
    )


def _mapping(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = row.get(name)
    return value if isinstance(value, Mapping) else {}


def _words(row: Mapping[str, Any], name: str) -> frozenset[str]:
    value = row.get(name)
    return frozenset(str(item).lower() for item in value) if isinstance(value, list | tuple) else frozenset()
