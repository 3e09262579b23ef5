"""Entra's sign-in logs: who logged in over SMTP with a password, and which applications got tokens for Exchange.

Graph v1.0 lists interactive sign-ins only; the others are in beta under `signInEventTypes`, and Microsoft says to look
at both kinds for legacy clients (Learn, "List signIns"; "Sign-ins using legacy authentication"). Failures count: a
device whose password has expired is a sender too. A person's OAuth is not logged as Authenticated SMTP, and so is not
found here. Needs Entra ID P1 and AuditLog.Read.All; 30 days are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from provisioner.model import GraphRequest, Row
from provisioner.resources.rows.enterprise_application import EXCHANGE_API
from provisioner.senders.inventory import BASIC, OAUTH, Evidence, Protocol
from provisioner.senders.observing import Observation, address, moment, source_ip

DAYS = 30
PERMISSION = "AuditLog.Read.All (Graph), with admin consent"
LICENCE = "a licence with Microsoft Entra ID P1 or P2"
_NO_LICENCE = "NonPremiumTenant"
_COLUMNS = frozenset({
    "id", "createdDateTime", "userPrincipalName", "userId", "appId", "appDisplayName", "ipAddress", "clientAppUsed",
    "status",
})  # fmt: skip
_COLUMNS_OF_BETA = _COLUMNS | {
    "userAgent", "authenticationProtocol", "servicePrincipalName", "servicePrincipalId", "resourceId",
}  # fmt: skip
_LEGACY = "clientAppUsed eq 'Authenticated SMTP'"


def interactive(since: str) -> GraphRequest:
    """Interactive logins over SMTP since a moment, in the version that has no others."""
    return _request(f"{_LEGACY} and createdDateTime ge {since}", beta=False)


def every_kind(since: str) -> tuple[GraphRequest, ...]:
    """The same of beta: interactive logins, then those that are not."""
    return tuple(
        _request(f"{_LEGACY} and createdDateTime ge {since} and signInEventTypes/any(t: t eq '{kind}')", beta=True)
        for kind in ("interactiveUser", "nonInteractiveUser")
    )


def of_applications(since: str, resource: str = EXCHANGE_API) -> GraphRequest:
    """Sign-ins of service principals to a resource since a moment."""
    kind = "signInEventTypes/any(t: t eq 'servicePrincipal')"
    return _request(f"createdDateTime ge {since} and resourceId eq '{resource}' and {kind}", beta=True)


def _request(condition: str, *, beta: bool) -> GraphRequest:
    path = f"/auditLogs/signIns?$filter={condition.replace(' ', '%20')}&$top=1000"
    return GraphRequest("GET", path, columns=_COLUMNS_OF_BETA if beta else _COLUMNS, beta=beta)


def unlicensed(reason: str) -> bool:
    """Whether a refusal says that the tenant has no licence for sign-in logs."""
    return _NO_LICENCE in reason or "premium license" in reason


def decode(rows: Iterable[Row]) -> Iterator[Observation]:
    """Logins over SMTP with a password; each row once, also where two questions return it."""
    for row in distinct(rows):
        code, reason = _refusal(row)
        created = moment(row.get("createdDateTime"))
        yield Observation(
            "sign_ins",
            login=address(row.get("userPrincipalName")),
            login_id=str(row.get("userId") or "").lower(),
            protocol=BASIC,
            ip_address=source_ip(row.get("ipAddress")),
            user_agent=str(row.get("userAgent") or ""),
            code=code,
            reason=reason,
            logins=0 if code else 1,
            failures=1 if code else 0,
            first=created,
            last=created,
        )


def decode_applications(rows: Iterable[Row], registered: frozenset[str] | None) -> Iterator[Observation]:
    """Sign-ins of the applications that are registered with Exchange; of all where that list could not be read.

    Nothing tells what a token was for: an application that reads mailboxes signs in alike.
    """
    for row in distinct(rows):
        if registered is None or _client_id(row) in registered:
            yield of_application(row, "service_principal_sign_ins", OAUTH)


def of_application(row: Row, source: Evidence, protocol: Protocol) -> Observation:
    """One sign-in of a service principal."""
    code, reason = _refusal(row)
    created = moment(row.get("createdDateTime"))
    return Observation(
        source,
        protocol=protocol,
        ip_address=source_ip(row.get("ipAddress")),
        application=str(row.get("servicePrincipalName") or row.get("appDisplayName") or ""),
        client_id=_client_id(row),
        code=code,
        reason=reason,
        logins=0 if code else 1,
        failures=1 if code else 0,
        first=created,
        last=created,
    )


def _client_id(row: Row) -> str:
    return str(row.get("appId") or "").lower()


def distinct(rows: Iterable[Row]) -> Iterable[Row]:
    """Each row once, also where two questions return it."""
    return {str(row.get("id")): row for row in rows}.values()


def _refusal(row: Row) -> tuple[str, str]:
    """Error code and reason of a failed sign-in; "" for one that went well (errorCode 0)."""
    status = row.get("status")
    found = status if isinstance(status, Mapping) else {}
    code = str(found.get("errorCode") or "0")
    return ("", "") if code == "0" else (code, str(found.get("failureReason") or ""))
