"""Policies of Microsoft Graph: the tenant's single ones (security defaults, authorization, sign-in methods, requests
for consent), and the policies and named locations of Conditional Access.

Rows of a seed's `graph` lie over what a tenant has from the start, which is the sample of the page of each ("Get
authorizationPolicy", "Get authenticationMethodsPolicy", "Get adminConsentRequestPolicy", "List namedLocations", Learn).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provisioner.sandbox import access_policies
from provisioner.sandbox.graph_calls import Call, Reply, Row, context_of, no_segment, with_id
from provisioner.sandbox.graph_queries import Queries, selection
from provisioner.sandbox.graph_sets import EntitySet, project

if TYPE_CHECKING:
    from provisioner.sandbox.tenant import Tenant

# "Permissions" (application) of the pages above.
_READ = ("Policy.Read.All",)
_READ_ACCESS = ("Policy.Read.ConditionalAccess", "Policy.Read.All", "Policy.ReadWrite.ConditionalAccess")


def _method(name: str, state: str, **rest: object) -> Row:
    everybody = [{"targetType": "group", "id": "all_users", "isRegistrationRequired": False}]
    kind = f"#microsoft.graph.{name[0].lower()}{name[1:]}AuthenticationMethodConfiguration"
    return {"@odata.type": kind, "id": name, "state": state, "excludeTargets": [], "includeTargets": everybody, **rest}


@dataclass(frozen=True, slots=True)
class _Single:
    """A policy of which a tenant has one: its path, where a seed has it, who reads it, and what it is at first."""

    name: str
    kept_as: str
    read: Sequence[str]
    usual: Row


_SINGLES = {
    single.name.lower(): single
    for single in (
        _Single("identitySecurityDefaultsEnforcementPolicy", "securityDefaults", _READ, {
            "id": "00000000-0000-0000-0000-000000000005",
            "displayName": "Security Defaults",
            "description": "Security defaults is a set of basic identity security mechanisms recommended by Microsoft. "
            "When enabled, these recommendations will be automatically enforced in your organization. Administrators "
            "and users will be better protected from common identity related attacks.",
            "isEnabled": False,
        }),
        _Single("authorizationPolicy", "authorizationPolicy", (*_READ, "Policy.ReadWrite.Authorization"), {
            "id": "authorizationPolicy",
            "allowInvitesFrom": "everyone",
            "allowedToSignUpEmailBasedSubscriptions": True,
            "allowedToUseSSPR": True,
            "allowEmailVerifiedUsersToJoinOrganization": True,
            "allowUserConsentForRiskyApps": False,
            "blockMsolPowerShell": None,
            "displayName": "Authorization Policy",
            "description": "Used to manage authorization related settings across the company.",
            "guestUserRoleId": "10dae51f-b6af-4016-8d66-8c2a99b929b3",
            "defaultUserRolePermissions": {
                "allowedToCreateApps": True,
                "allowedToCreateSecurityGroups": True,
                "allowedToReadOtherUsers": True,
                "permissionGrantPoliciesAssigned": ["ManagePermissionGrantsForSelf.microsoft-user-default-legacy"],
            },
        }),
        _Single("authenticationMethodsPolicy", "authenticationMethodsPolicy", (
            "Policy.Read.AuthenticationMethod", "Policy.ReadWrite.AuthenticationMethod", *_READ,
        ), {
            "id": "authenticationMethodsPolicy",
            "displayName": "Authentication Methods Policy",
            "description": "The tenant-wide policy that controls which authentication methods are allowed in the "
            "tenant, authentication method registration requirements, and self-service password reset settings",
            "policyVersion": "1.4",
            "policyMigrationState": "preMigration",
            "registrationEnforcement": {"authenticationMethodsRegistrationCampaign": {
                "snoozeDurationInDays": 1, "state": "default", "excludeTargets": [],
                "includeTargets": [{
                    "id": "all_users", "targetType": "group",
                    "targetedAuthenticationMethod": "microsoftAuthenticator",
                }],
            }},
            "authenticationMethodConfigurations": [
                _method("Fido2", "disabled", isSelfServiceRegistrationAllowed=True, isAttestationEnforced=True),
                _method("MicrosoftAuthenticator", "disabled"),
                _method("Sms", "enabled"),
                _method("TemporaryAccessPass", "disabled", defaultLifetimeInMinutes=60, isUsableOnce=False),
                _method("Email", "enabled", allowExternalIdToUseEmailOtp="default"),
            ],
        }),
        _Single("adminConsentRequestPolicy", "adminConsentRequestPolicy", (
            *_READ, "Policy.ReadWrite.ConsentRequest",
        ), {
            "isEnabled": False, "notifyReviewers": False, "remindersEnabled": False, "requestDurationInDays": 0,
            "version": 0, "reviewers": [],
        }),
    )
}  # fmt: skip

_OF_ACCESS = frozenset({
    "id", "displayName", "state", "createdDateTime", "modifiedDateTime", "conditions", "grantControls",
    "sessionControls", "templateId",
})  # fmt: skip
_OF_LOCATIONS = frozenset({
    "id", "displayName", "createdDateTime", "modifiedDateTime", "isTrusted", "ipRanges", "countriesAndRegions",
    "countryLookupMethod", "includeUnknownCountriesAndRegions",
})  # fmt: skip
_ORDERED = frozenset({"createdDateTime", "modifiedDateTime"})
# Of the lists of Conditional Access: where a seed has the rows, and their type.
_ACCESS = {
    "policies": (
        access_policies.KEPT_AS,
        EntitySet("policies", "conditionalAccessPolicy", _OF_ACCESS, _OF_ACCESS, ordered=_ORDERED, directory=False),
    ),
    "namedlocations": (
        "namedLocations",
        EntitySet("namedLocations", "namedLocation", _OF_LOCATIONS, _OF_LOCATIONS, ordered=_ORDERED, directory=False),
    ),
}
# "List namedLocations", examples 2 to 4: of one type alone.
_IS_OF = re.compile(r"isof\('microsoft\.graph\.(\w+)'\)", re.IGNORECASE)


class Policies:
    """Answers calls below `/policies` and `/identity`."""

    SEGMENTS = ("policies", "identity")

    def __init__(self, tenant: Tenant, queries: Queries) -> None:
        self._tenant, self._queries = tenant, queries

    def answer(self, call: Call) -> Reply:
        """Reply to a call. Raises GraphError."""
        segments = [part.lower() for part in call.path]
        if segments[:2] == ["identity", "conditionalaccess"] and len(segments) in {3, 4}:
            return self._access(call, segments[2])
        if segments == ["policies", "conditionalaccesspolicies"]:  # the same list by its other path
            return self._access(call, "policies")
        if segments[0] == "policies" and len(segments) > 1 and segments[1] in _SINGLES:
            return self._single(call, _SINGLES[segments[1]])
        raise no_segment(call.path[min(1, len(call.path) - 1)])

    def _single(self, call: Call, policy: _Single) -> Reply:
        call.need(policy.read)
        row = {**policy.usual, **(self._tenant.graph.get(policy.kept_as) or {})}
        rest = [part.lower() for part in call.path[2:]]
        # beta: "GET /policies/authorizationPolicy/authorizationPolicy", and without its name a collection of one.
        if policy.name == "authorizationPolicy" and call.beta:
            if not rest:
                value = [project(row, selection(call))]
                return Reply(200, {"@odata.context": context_of(call, "policies/authorizationPolicy"), "value": value})
            rest = rest[1:] if rest[0] == "authorizationpolicy" else rest
        if rest[:1] == ["authenticationmethodconfigurations"] and len(rest) <= 2:
            return self._methods(call, row)
        if rest:
            raise no_segment(call.path[2])
        context = context_of(call, f"policies/{policy.name}", entity=True)
        return Reply(200, {"@odata.context": context, **project(row, selection(call))})

    def _methods(self, call: Call, policy: Mapping[str, object]) -> Reply:
        """The ways to sign in that the tenant allows, or one of them: "…/authenticationMethodConfigurations/Sms"."""
        rows = policy.get("authenticationMethodConfigurations")
        found: list[Row] = rows if isinstance(rows, list) else []
        name = "policies/authenticationMethodsPolicy/authenticationMethodConfigurations"
        if len(call.path) == 3:
            return Reply(200, {"@odata.context": context_of(call, name), "value": found})
        return Reply(200, {"@odata.context": context_of(call, name, entity=True), **with_id(found, call.path[3])})

    def _access(self, call: Call, name: str) -> Reply:
        if name not in _ACCESS:
            raise no_segment(call.path[2])
        kept_as, entities = _ACCESS[name]
        call.need(_READ_ACCESS)
        rows: list[Row] = self._tenant.graph.get(kept_as) or []
        context = f"identity/conditionalAccess/{entities.name}"
        if len(call.path) == 4:
            row = project(with_id(rows, call.path[3]), selection(call))
            return Reply(200, {"@odata.context": context_of(call, context, entity=True), **row})
        text = call.params.get("$filter", "")
        kind = _IS_OF.fullmatch(text.strip())
        if kind is not None:
            wanted = f"#microsoft.graph.{kind[1]}".lower()
            rows = [row for row in rows if str(row.get("@odata.type", "")).lower() == wanted]
            call = replace(call, params={name: value for name, value in call.params.items() if name != "$filter"})
        return self._queries.listed(call, entities, rows, context)
