"""What Graph reports about the past: message traces and sign-in logs.

Message traces: GET /admin/exchange/tracing/messageTraces and …/{id}/getDetailsByRecipient (v1.0 since 2026, Learn).
What $filter takes and how it refuses was measured by a public project in October 2026: one value for each property (the
last one counts), everything joined by `and`, both bounds of receivedDateTime or none.
Sign-ins: GET /auditLogs/signIns (Learn, "List signIns"). v1.0 has interactive sign-ins only; beta has the other kinds
under `signInEventTypes`, and interactive ones where that is not filtered on.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from provisioner.sandbox import message_traces, sign_in_log
from provisioner.sandbox.clock import stored_time
from provisioner.sandbox.graph_calls import Call, GraphError, Reply, Row, bad_request, context_of, no_segment, not_found
from provisioner.sandbox.graph_queries import Queries
from provisioner.sandbox.graph_sets import EntitySet
from provisioner.sandbox.message_traces import Query, TraceRefused
from provisioner.sandbox.odata import BadFilter, Predicate, UnsupportedFilter, parse_filter
from provisioner.sandbox.tenant import Tenant

_READ_TRACES = ("ExchangeMessageTrace.Read.All",)
_READ_SIGN_INS = ("AuditLog.Read.All",)
_TRANSPORT_PLATFORM = "8bd644d1-64a1-4d4b-ae52-2e0cbf64e373"

# --- message traces --------------------------------------------------------------------------------------------------

_CONDITION = re.compile(
    r"(?P<name>\w+)\s+(?P<word>eq|ge|le)\s+(?:'(?P<text>(?:[^']|'')*)'|(?P<bare>[^\s']+))"
    r"|(?P<function>contains|startswith|endswith)\(subject,\s*'(?P<part>(?:[^']|'')*)'\)",
    re.IGNORECASE,
)
_COLUMNS = {
    "id": "MessageTraceId",
    "messageId": "MessageId",
    "receivedDateTime": "Received",
    "senderAddress": "SenderAddress",
    "recipientAddress": "RecipientAddress",
    "fromIP": "FromIP",
    "toIP": "ToIP",
    "subject": "Subject",
    "status": "Status",
    "size": "Size",
}
_DETAILS = re.compile(r"getDetailsByRecipient\(recipientAddress='((?:[^']|'')*)'\)", re.IGNORECASE)


def message_traces_answer(tenant: Tenant, call: Call) -> Reply:
    """A page of message traces, or the details of one for a recipient. Raises GraphError."""
    if [part.lower() for part in call.path[:4]] != ["admin", "exchange", "tracing", "messagetraces"]:
        raise no_segment(call.path[1])
    call.need(_READ_TRACES)
    if tenant.settings.get("message_trace_provisioned", True) is False:
        text = (
            "Service principal-less authentication failed: The service principal for App ID "
            f"{_TRANSPORT_PLATFORM} was not found."
        )
        raise GraphError(401, "UnknownError", text)
    try:
        message_traces.count_query(tenant, "list" if len(call.path) == 4 else "detail")
        return _traces(tenant, call) if len(call.path) == 4 else _details(tenant, call)
    except TraceRefused as error:
        if error.throttled:
            raise GraphError(429, "TooManyRequests", error.text, {"Retry-After": "300"}) from None
        raise bad_request(error.text, "BadRequest") from None


def _traces(tenant: Tenant, call: Call) -> Reply:
    top = call.params.get("$top", str(message_traces.USUAL))
    if not top.isdigit() or not 1 <= int(top) <= message_traces.LARGEST:
        raise bad_request("ResultSize is invalid", "BadRequest")
    rows = message_traces.found(tenant, _query(call.params.get("$filter", "")))
    start, end = _position(call.params.get("$skiptoken")), 0
    end = start + int(top)
    body: Row = {"@odata.context": context_of(call, "admin/exchange/tracing/messageTraces")}
    if end < len(rows):
        body["@odata.nextLink"] = _next(call, end)
    body["value"] = [_graph_row(row) for row in rows[start:end]]
    return Reply(200, body)


def _query(text: str) -> Query:
    """What a filter asks for; the last value of a property counts."""
    found: dict[str, Any] = {}
    title = ("", "")
    for match in _CONDITION.finditer(text):
        if match["function"]:
            title = (match["function"].lower(), match["part"].replace("''", "'"))
            continue
        value = match["text"].replace("''", "'") if match["text"] is not None else match["bare"]
        found[f"{match['name']} {match['word'].lower()}"] = value
    unknown = {name.partition(" ")[0] for name in found} - set(_COLUMNS)
    if unknown:
        raise bad_request(f"Could not find a property named '{min(unknown)}'.", "BadRequest")

    def of(name: str) -> frozenset[str]:
        value = found.get(f"{name} eq")
        return frozenset({str(value)}) if value else frozenset()

    return Query(
        start=stored_time(found.get("receivedDateTime ge")),
        end=stored_time(found.get("receivedDateTime le")),
        senders=of("senderAddress"),
        recipients=of("recipientAddress"),
        statuses=frozenset(status.lower() for status in of("status")),
        message_ids=of("messageId"),
        trace_id=str(found.get("id eq") or ""),
        from_ip=str(found.get("fromIP eq") or ""),
        to_ip=str(found.get("toIP eq") or ""),
        subject=title,
    )


def _graph_row(row: Mapping[str, Any]) -> Row:
    """A trace in Graph's spelling: "filteredAsSpam", dates without more than seconds where there is none."""
    status = str(row["Status"])
    return {
        **{name: row[column] for name, column in _COLUMNS.items()},
        "status": f"{status[:1].lower()}{status[1:]}",
    }


def _details(tenant: Tenant, call: Call) -> Reply:
    match = _DETAILS.fullmatch(call.path[5]) if len(call.path) == 6 else None
    if match is None:
        raise no_segment(call.path[-1])
    rows = message_traces.details(tenant, call.path[4], match[1].replace("''", "'"))
    value = [
        {
            "id": row["MessageTraceId"],
            "messageId": row["MessageId"],
            "dateTime": row["Date"],
            "event": row["Event"],
            "action": row["Action"],
            "description": row["Detail"],
            "data": row["Data"],
        }
        for row in rows
    ]
    return Reply(200, {"@odata.context": context_of(call, "Collection(exchangeMessageTraceDetail)"), "value": value})


# --- sign-ins --------------------------------------------------------------------------------------------------------

_FILTERABLE = frozenset({
    "appDisplayName", "appId", "clientAppUsed", "createdDateTime", "id", "ipAddress", "isInteractive",
    "resourceDisplayName", "resourceId", "servicePrincipalId", "servicePrincipalName", "signInEventTypes",
    "status/errorCode", "userDisplayName", "userId", "userPrincipalName",
})  # fmt: skip
_LARGEST_PAGE = 1000  # Learn, "List signIns": "The maximum and default page size is 1,000 objects"


def sign_ins_answer(tenant: Tenant, call: Call) -> Reply:
    """A page of sign-ins, newest first. Raises GraphError.

    Both refusals were logged by public projects: the code for a permission that lacks, and the one for a tenant without
    Entra ID P1 or P2 (setting `entra_id_premium`).
    """
    if call.path[1].lower() != "signins":
        raise no_segment(call.path[1])
    if call.roles.isdisjoint(_READ_SIGN_INS):
        text = "The principal does not have required Microsoft Graph permission(s): AuditLog.Read.All to call this API."
        raise GraphError(403, "Authentication_MSGraphPermissionMissing", text)
    if tenant.settings.get("entra_id_premium", True) is False:
        text = "Neither tenant is B2C or tenant doesn't have premium license"
        raise GraphError(403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", text)
    top = call.params.get("$top", str(_LARGEST_PAGE))
    if not top.isdigit() or not 1 <= int(top) <= _LARGEST_PAGE:
        raise bad_request(f"Invalid page size specified: '{top}'. Must be between 1 and {_LARGEST_PAGE} inclusive.")
    text = call.params.get("$filter", "")
    fits = _predicate(text, beta=call.beta)
    kinds = call.beta and "signineventtypes" in text.lower()
    rows = [row for row in sign_in_log.kept(tenant) if (kinds or row.get("isInteractive") is True) and fits(row)]
    start = _position(call.params.get("$skiptoken"))
    end = start + int(top)
    body: Row = {"@odata.context": context_of(call, "auditLogs/signIns")}
    if end < len(rows):
        body["@odata.nextLink"] = _next(call, end)
    select = [name.strip() for name in call.params.get("$select", "").split(",") if name.strip()]
    shown = [sign_in_log.shown(row, beta=call.beta) for row in rows[start:end]]
    body["value"] = [{n: r.get(n) for n in dict.fromkeys(["id", *select])} if select else r for r in shown]
    return Reply(200, body)


_AUDIT = frozenset({
    "id", "activityDateTime", "activityDisplayName", "additionalDetails", "category", "correlationId", "initiatedBy",
    "loggedByService", "operationType", "result", "resultReason", "targetResources", "userAgent",
})  # fmt: skip
_AUDITS = EntitySet(
    "directoryAudits", "directoryAudit", _AUDIT, _AUDIT, ordered=frozenset({"activityDateTime"}), directory=False
)


def directory_audits_answer(tenant: Tenant, queries: Queries, call: Call) -> Reply:
    """A page of what administrators did, as a seed has it (`graph.directoryAudits`; Learn, "List directoryAudits").
    The sandbox itself writes none. Raises GraphError."""
    call.need(_READ_SIGN_INS)
    rows = tenant.graph.get("directoryAudits") or []
    return queries.listed(call, _AUDITS, rows, "auditLogs/directoryAudits")


def _predicate(text: str, *, beta: bool) -> Predicate:
    if not text:
        return lambda _: True
    names = _FILTERABLE if beta else _FILTERABLE - {"signInEventTypes", "isInteractive"}
    try:
        return parse_filter(text, known=names, filterable=names, advanced=True, ordered=frozenset({"createdDateTime"}))
    except (BadFilter, UnsupportedFilter) as error:
        raise bad_request(str(error).replace("microsoft.graph.user", "microsoft.graph.signIn"), "BadRequest") from None


# --- pages -----------------------------------------------------------------------------------------------------------


def _next(call: Call, position: int) -> str:
    token = base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")
    query = [f"{name}={quote(value, safe='$,')}" for name, value in call.params.items() if name != "$skiptoken"]
    return f"{call.base}/{'/'.join(quote(part) for part in call.path)}?{'&'.join([*query, f'$skiptoken={token}'])}"


def _position(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))))
    except (ValueError, TypeError):
        raise not_found(f"$skiptoken={token}") from None
