"""Conditional Access as far as it decides about a sign-in with a password over SMTP. Decisions only, no I/O.

SMTP AUTH with a password is a legacy client: it meets the condition `clientAppTypes` as `other`, and can satisfy no
grant control, so that a policy that asks for a second factor or a device refuses it as one that blocks does (Microsoft
Learn, "Conditional Access: Conditions", "Client apps"; "Block legacy authentication with Conditional Access").
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from provisioner.sandbox.mail_directory import directory_roles, memberships, user_of
from provisioner.sandbox.tenant import Row, Tenant

KEPT_AS = "conditionalAccessPolicies"
"""Where `tenant.graph` has the policies, in the form that Graph gives them."""

_LEGACY = frozenset({"all", "other"})
# Office 365 Exchange Online, by its id and by the name of the group of applications that it belongs to.
_EXCHANGE = frozenset({"all", "office365", "00000002-0000-0ff1-ce00-000000000000"})


def refuse_password(tenant: Tenant, owner: Row) -> bool:
    """Whether an enabled policy refuses passwords over SMTP to the user of a mailbox.

    Report-only policies refuse nothing. Not modelled: conditions of location, platform and risk; a policy that has one
    refuses nobody here. Groups and roles are those of `mail_directory`.
    """
    user = user_of(tenant, owner)
    own = {str(user.get("id") or "").lower(), *memberships(tenant, user)} - {""}
    roles = directory_roles(tenant, own)
    return any(_refuses(policy, own, roles) for policy in tenant.graph.get(KEPT_AS) or ())


def _refuses(policy: Mapping[str, Any], own: Collection[str], roles: Collection[str]) -> bool:
    conditions = policy.get("conditions") or {}
    controls = policy.get("grantControls") or {}
    asks = any(controls.get(key) for key in ("builtInControls", "authenticationStrength", "termsOfUse"))
    narrowed = any(conditions.get(key) for key in ("locations", "platforms", "signInRiskLevels", "userRiskLevels"))
    return (
        policy.get("state") == "enabled"
        and asks
        and not narrowed
        and bool(_LEGACY & _lower(conditions.get("clientAppTypes") or ("all",)))
        and _about(conditions.get("applications") or {}, "Applications", _EXCHANGE)
        and _meant(conditions.get("users") or {}, own, roles)
    )


def _about(condition: Mapping[str, Any], noun: str, wanted: frozenset[str]) -> bool:
    """Whether a condition includes one of the wanted, and excludes none."""
    return bool(wanted & _lower(condition.get(f"include{noun}"))) and not wanted & _lower(
        condition.get(f"exclude{noun}")
    )


def _meant(condition: Mapping[str, Any], own: Collection[str], roles: Collection[str]) -> bool:
    """Whether users are meant by the ids of theirs and of their groups (`own`), or of their roles."""

    def named(prefix: str, *everybody: str) -> bool:
        users, groups, of_roles = (_lower(condition.get(f"{prefix}{kind}")) for kind in ("Users", "Groups", "Roles"))
        return bool(users.intersection((*own, *everybody)) or groups.intersection(own) or of_roles.intersection(roles))

    return named("include", "all") and not named("exclude")


def _lower(texts: Iterable[object] | None) -> set[str]:
    return {str(text).lower() for text in texts or () if text}
