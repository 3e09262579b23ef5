"""Users in Microsoft Graph: lists, single users, changes of them, licences, memberships, and `/me`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from provisioner.sandbox import graph_directory as directory
from provisioner.sandbox.graph_calls import Call, GraphError, Reply, Row, bad_request, context_of, no_segment, not_found
from provisioner.sandbox.graph_expand import Related, objects
from provisioner.sandbox.graph_mail import messages_answer
from provisioner.sandbox.graph_queries import Queries
from provisioner.sandbox.graph_send import Sending
from provisioner.sandbox.graph_sets import OBJECTS, USER_SET, USER_WRITABLE
from provisioner.sandbox.tenant import USERS, user_names

if TYPE_CHECKING:
    from provisioner.sandbox.tenant import Tenant

READ = ("User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
_READ_SELF = ("User.Read", "User.ReadWrite", *READ)
_WRITE = ("User.ReadWrite.All", "Directory.ReadWrite.All")


def find_user(tenant: Tenant, name: str) -> Row:
    """The user of an id or a sign-in name. Raises GraphError."""
    for row in tenant.named(USERS, user_names, name):
        return row
    raise not_found(name)


# Exchange Online (Plan 2): Learn, "Product names and service plan identifiers for licensing".
_PLAN_2 = "19ec0d23-8335-4cbd-94ac-6050e30712fa"
_PLAN_2_SERVICE = {
    "servicePlanId": "efb87545-963c-4e0d-99df-69c6916d9eb0",
    "servicePlanName": "EXCHANGE_S_ENTERPRISE",
    "provisioningStatus": "Success",
    "appliesTo": "User",
}


def skus(tenant: Tenant) -> list[Row]:
    """The subscriptions. A tenant of which a seed says nothing has the one whose plan its users have."""
    rows: list[Row] = tenant.graph.get("subscribedSkus") or []
    used = sum(1 for user in tenant.kept(USERS) if user.get("assignedPlans"))
    used += sum(source.count for source in tenant.generated if USERS in source.templates)
    if rows or not used:
        return rows
    units = {"enabled": used + 25, "suspended": 0, "warning": 0, "lockedOut": 0}
    names = {"skuPartNumber": "EXCHANGEENTERPRISE", "capabilityStatus": "Enabled", "appliesTo": "User"}
    counts = {"consumedUnits": used, "prepaidUnits": units, "servicePlans": [dict(_PLAN_2_SERVICE)]}
    return [{"id": f"{tenant.tenant_id}_{_PLAN_2}", "skuId": _PLAN_2, **names, **counts}]


class Users:
    """Answers calls about users."""

    def __init__(self, tenant: Tenant, queries: Queries, sending: Sending) -> None:
        self._tenant, self._queries, self._sending = tenant, queries, sending

    def answer(self, call: Call) -> Reply:
        """Reply to a call below `/users`. Raises GraphError."""
        by_length = {1: self._users, 2: self._user}
        return by_length.get(len(call.path), self._of_user)(call)

    def me(self, call: Call) -> Reply:
        """Reply to a call below `/me`: the user who signed in. Raises GraphError."""
        if not call.user:
            raise bad_request("/me request is only valid with delegated authentication flow.", "BadRequest")
        own = replace(call, path=("users", call.user, *call.path[1:]))
        if len(own.path) > 2 or call.method != "GET":
            return self.answer(own)
        call.need(_READ_SELF)
        return self._queries.one(own, USER_SET, find_user(self._tenant, call.user), self._relations())

    def info(self, user_id: str) -> Reply:
        """Who signed in, as the UserInfo endpoint of OpenID Connect tells it. Raises GraphError.

        Learn, "Microsoft identity platform UserInfo endpoint": these six claims, for a person's token. The refusal of
        an application's is ours.
        """
        if not user_id:
            raise GraphError(401, "InvalidAuthenticationToken", "The token is not one of a user who signed in.")
        user = find_user(self._tenant, user_id)
        claims = {
            "sub": user["id"],
            "name": user.get("displayName"),
            "family_name": user.get("surname"),
            "given_name": user.get("givenName"),
            "picture": "https://graph.microsoft.com/v1.0/me/photo/$value",
            "email": user.get("mail"),
        }
        return Reply(200, {name: value for name, value in claims.items() if value is not None})

    def _users(self, call: Call) -> Reply:
        call.need(READ)
        return self._queries.listed(call, USER_SET, self._tenant.rows(USERS), relations=self._relations())

    def _user(self, call: Call) -> Reply:
        if call.path[1] == "$count":
            call.need(READ)
            return self._queries.counted(call, USER_SET, self._tenant.rows(USERS))
        call.need(_WRITE if call.method == "PATCH" else READ)
        user = find_user(self._tenant, call.path[1])
        if call.method == "PATCH":
            return self._patch_user(call, user)
        return self._queries.one(call, USER_SET, user, self._relations())

    def _patch_user(self, call: Call, user: Row) -> Reply:
        if not isinstance(call.body, dict):
            raise bad_request(
                "Unable to read JSON request payload. Please ensure Content-Type header is set.", "BadRequest"
            )
        changes = {key: value for key, value in call.body.items() if "@odata." not in key}
        for key in changes:
            if key not in USER_SET.known:
                text = f"Property '{key}' does not exist as a declared property or extension property."
                raise bad_request(text)
            if key not in USER_WRITABLE:
                raise bad_request(f"Property '{key}' is read-only and cannot be set.")
        if "accountEnabled" in changes and not isinstance(changes["accountEnabled"], bool):
            raise bad_request("Cannot convert the value of property 'accountEnabled' to the type 'Edm.Boolean'.")
        self._tenant.update(USERS, user, changes)
        return Reply(204)

    def _of_user(self, call: Call) -> Reply:
        parts: Mapping[str, Callable[[Call], Reply]] = {
            "licensedetails": self._license_details,
            **dict.fromkeys(map(str.lower, self._relations()), self._related),
            "getmembergroups": self._member_groups,
            "checkmembergroups": self._checked_groups,
            "sendmail": self._sending.send,
            "messages": lambda call: messages_answer(self._tenant, call),
        }
        part = parts.get(call.path[2].lower())
        if part is None:
            return self._property(call)
        if len(call.path) > 3 and part != self._related:
            raise no_segment(call.path[3])
        return part(call)

    def _property(self, call: Call) -> Reply:
        """One property by its path, "users/{id}/mail" (OData 4.01, "Requesting Individual Properties")."""
        name = USER_SET.property_named(call.path[2])
        if name is None or len(call.path) > 3:
            raise no_segment(call.path[-1])
        call.need(READ)
        user = find_user(self._tenant, call.path[1])
        context = context_of(call, f"users('{user['id']}')/{name}")
        return Reply(200, {"@odata.context": context, "value": user.get(name)})

    def _relations(self) -> Mapping[str, Related]:
        """What a user leads to, as a path and as $expand; a seed writes `manager` and `sponsors` as ids."""
        tenant = self._tenant
        return {
            "directReports": self._direct_reports,
            "manager": lambda row: next(iter(directory.named(tenant, [row.get("manager")])), None),
            "memberOf": lambda row: directory.groups_of(tenant, row, nested=False),
            "sponsors": lambda row: directory.named(tenant, row.get("sponsors")),
            "transitiveMemberOf": lambda row: directory.groups_of(tenant, row, nested=True),
        }

    def _direct_reports(self, row: Row) -> list[Row]:
        own = {str(row["id"]).lower(), str(row.get("userPrincipalName")).lower()}
        users = (user for user in self._tenant.kept(USERS) if str(user.get("manager")).lower() in own)
        return directory.named(self._tenant, [user["id"] for user in users])

    def _related(self, call: Call) -> Reply:
        """The object or the objects of a relationship (Learn, "List manager", "List a user's memberships")."""
        call.need(READ)
        related = {name.lower(): own for name, own in self._relations().items()}[call.path[2].lower()]
        found = related(find_user(self._tenant, call.path[1]))
        if call.path[2].lower() != "manager":
            return directory.related(call, self._queries, objects(found))
        if not isinstance(found, dict):
            raise not_found(call.path[2])
        return self._queries.one(call, OBJECTS, found)

    def _member_groups(self, call: Call) -> Reply:
        """POST getMemberGroups: ids of direct and nested groups (Learn, "directoryObject: getMemberGroups")."""
        call.need(READ)
        rows = directory.groups_of(self._tenant, find_user(self._tenant, call.path[1]), nested=True)
        security = isinstance(call.body, dict) and call.body.get("securityEnabledOnly") is True
        value = [row["id"] for row in rows if row.get("securityEnabled") is True or not security]
        return Reply(200, {"@odata.context": context_of(call, "Collection(Edm.String)"), "value": value})

    def _checked_groups(self, call: Call) -> Reply:
        """POST checkMemberGroups: in which of up to 20 groups the user is (Learn, "directoryObject: …")."""
        call.need(READ)
        asked = call.body.get("groupIds") if isinstance(call.body, dict) else None
        if not isinstance(asked, list) or not 1 <= len(asked) <= 20:
            raise bad_request("'groupIds' must be a list of 1 to 20 ids.")
        rows = directory.groups_of(self._tenant, find_user(self._tenant, call.path[1]), nested=True)
        mine = {str(row["id"]).lower() for row in rows}
        value = [name for name in asked if str(name).lower() in mine]
        return Reply(200, {"@odata.context": context_of(call, "Collection(Edm.String)"), "value": value})

    def _license_details(self, call: Call) -> Reply:
        call.need(READ)
        user = find_user(self._tenant, call.path[1])
        bought = {str(sku.get("skuId")): sku for sku in skus(self._tenant)}
        held = [
            bought[str(row["skuId"])] for row in user.get("assignedLicenses") or [] if str(row.get("skuId")) in bought
        ]
        value = [
            {
                "id": base64.urlsafe_b64encode(f"{user['id']}{sku['skuId']}".encode()).decode().rstrip("="),
                "skuId": sku["skuId"],
                "skuPartNumber": sku.get("skuPartNumber"),
                "servicePlans": sku.get("servicePlans", []),
            }
            for sku in held
        ]
        return Reply(200, {"@odata.context": context_of(call, f"users('{user['id']}')/licenseDetails"), "value": value})
