"""The sign-in log of Microsoft Entra, as rows of the beta resource signIn (Learn, "signIn resource type").

SMTP AUTH with a password is logged with clientAppUsed "Authenticated SMTP", failures with their error code (Learn,
"Microsoft Entra authentication and authorization error codes"). Exchange's own switches are asked before Entra is, so
a login that they refuse is not logged: no page says so, reports of "SmtpClientAuthentication is disabled" agree.
A token that is presented is logged as the sign-in that got it: of a service principal, or of a person by a client of
"Mobile Apps and Desktop clients". The service logs it when the token is issued; here it is when it is used for SMTP.

A seed has rows as `graph: { signIns: [...] }`, whole or terse. Settings: `sign_in_delay_s`.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.sandbox.clock import stored_time
from provisioner.sandbox.tenant import Row, Tenant

KEPT_AS = "signIns"
_DAYS = 30  # Learn, "Microsoft Entra data retention": 30 days with P1
_KEPT_ROWS = 100_000
_EXCHANGE_NAME, _EXCHANGE_ID = "Office 365 Exchange Online", "00000002-0000-0ff1-ce00-000000000000"
_ONLY_BETA = frozenset({
    "authenticationProtocol", "authenticationRequirement", "incomingTokenType", "servicePrincipalId",
    "servicePrincipalName", "signInEventTypes", "userAgent",
})  # fmt: skip

BAD_PASSWORD = (50126, "Error validating credentials due to invalid username or password.")
LOCKED = (50053, "The account is locked, you've tried to sign in too many times with an incorrect user ID or password.")
DISABLED = (50057, "The user account is disabled.")
BLOCKED = (
    53003,
    "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
)
SUCCESS = (0, "Other.")


def record_password(tenant: Tenant, user: Mapping[str, Any], ip: str, status: tuple[int, str]) -> None:
    """Keep a login over SMTP with a password; `user` is the row of the directory."""
    _keep(
        tenant,
        {
            "userPrincipalName": str(user.get("userPrincipalName") or ""),
            "userDisplayName": str(user.get("displayName") or ""),
            "userId": str(user.get("id") or ""),
            "ipAddress": ip,
            "clientAppUsed": "Authenticated SMTP",
            "userAgent": "BAV2ROPC",
            "authenticationProtocol": "ropc",
            "isInteractive": True,
            "signInEventTypes": ["interactiveUser"],
            "status": {"errorCode": status[0], "failureReason": status[1], "additionalDetails": None},
        },
    )


def record_token(tenant: Tenant, claims: Mapping[str, Any], user: Mapping[str, Any], ip: str) -> None:
    """Keep the sign-in behind a token that was used for SMTP."""
    app = {"appId": str(claims.get("appid", "")), "appDisplayName": str(claims.get("app_displayname", ""))}
    if "scp" in claims:
        who = {
            "userPrincipalName": str(user.get("userPrincipalName") or ""),
            "userId": str(user.get("id") or ""),
            "clientAppUsed": "Mobile Apps and Desktop clients",
            "signInEventTypes": ["nonInteractiveUser"],
        }
    else:
        who = {
            "servicePrincipalId": str(claims.get("oid", "")),
            "servicePrincipalName": app["appDisplayName"],
            "userPrincipalName": "",
            "userId": "",
            "clientAppUsed": "",
            "signInEventTypes": ["servicePrincipal"],
        }
    _keep(tenant, {**app, **who, "ipAddress": ip, "isInteractive": False, "authenticationProtocol": "oAuth2"})


def _keep(tenant: Tenant, row: Row) -> None:
    rows = tenant.graph.setdefault(KEPT_AS, [])
    now = tenant.clock.now()
    rows.append(complete(tenant, {"id": str(uuid.uuid4()), "createdDateTime": f"{now:%Y-%m-%dT%H:%M:%SZ}", **row}))
    del rows[: max(0, len(rows) - _KEPT_ROWS)]
    tenant.changed()


def complete(tenant: Tenant, row: Mapping[str, Any]) -> Row:
    """A row with the properties that every row has; of a seed also an id that follows from what it says."""
    created = str(row.get("createdDateTime", ""))
    who = str(row.get("userPrincipalName") or row.get("servicePrincipalName") or row.get("appId") or "")
    status = {"errorCode": 0, "failureReason": "Other.", "additionalDetails": None, **(row.get("status") or {})}
    interactive = row.get("isInteractive", "signInEventTypes" not in row)
    return {
        "id": str(
            uuid.uuid5(uuid.NAMESPACE_URL, "/".join((tenant.tenant_id, created, who, str(row.get("ipAddress")))))
        ),
        "userDisplayName": "",
        "userId": "",
        "appId": _EXCHANGE_ID,
        "appDisplayName": _EXCHANGE_NAME,
        "resourceDisplayName": _EXCHANGE_NAME,
        "resourceId": _EXCHANGE_ID,
        "ipAddress": "",
        "clientAppUsed": "Authenticated SMTP",
        "conditionalAccessStatus": "notApplied",
        "userAgent": "",
        "signInEventTypes": ["interactiveUser" if interactive else "nonInteractiveUser"],
        **row,
        "isInteractive": interactive,
        "status": status,
    }


def kept(tenant: Tenant) -> Iterator[Row]:
    """Every row that shows by now, newest first."""
    now = tenant.clock.now()
    latest = now - dt.timedelta(seconds=float(tenant.settings.get("sign_in_delay_s") or 0))
    oldest = now - dt.timedelta(days=_DAYS)
    rows = [(stored_time(row.get("createdDateTime")), row) for row in tenant.graph.get(KEPT_AS) or ()]
    dated = [(moment, row) for moment, row in rows if moment is not None and oldest <= moment <= latest]
    yield from (row for _, row in sorted(dated, key=lambda pair: (pair[0], str(pair[1]["id"])), reverse=True))


def shown(row: Mapping[str, Any], *, beta: bool) -> Row:
    """A row as a version of Graph gives it."""
    return {name: value for name, value in row.items() if beta or name not in _ONLY_BETA}
