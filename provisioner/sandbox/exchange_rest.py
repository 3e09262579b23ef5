"""Exchange Online's admin API, `/adminapi/beta/{tenant}/InvokeCommand`: calls of cmdlets and their answers.

What this file knows is the wire: envelopes, sidecar keys, dates, paging, error bodies. What a cmdlet does is in
cmdlets/, HTTP around it in `exchange_front`. The shapes follow live captures of the service (graph2otel, azure-auth)
and the code of its module.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from provisioner.sandbox import entity_sets
from provisioner.sandbox.clock import rest_time
from provisioner.sandbox.cmdlets import Caller, CmdletError, CmdletResult, run_cmdlet
from provisioner.sandbox.cmdlets.errors import not_convertible
from provisioner.sandbox.cmdlets.running import NOUNS
from provisioner.sandbox.coverage import not_modelled
from provisioner.sandbox.entity_sets import Asked
from provisioner.sandbox.faults import Faults, left
from provisioner.sandbox.generated import chained
from provisioner.sandbox.graph_calls import NOT_MODELLED
from provisioner.sandbox.psrp_values import clixml_document
from provisioner.sandbox.tenant import Row, Tenant, row_key
from provisioner.sandbox.wire_types import GUIDS, UINT16S

RESOURCE = "https://outlook.office365.com"

_LARGEST_PAGE = 1000
_CURSOR_LIFETIME_S = 30 * 60
_CURSORS = 500
_ODATA_ERROR = "Microsoft.Exchange.Admin.OData.Core.ODataServiceException"
_INVOCATION = "Microsoft.Exchange.AdminApi.CommandInvocation"


# --- rows on the wire ------------------------------------------------------------------------------------------------


def wire_row(row: Mapping[str, Any], columns: frozenset[str] | None = None) -> Row:
    """A row as it goes out: each value that JSON cannot name the type of has `@data.type`/`@odata.type` before it.

    `columns` (lower case) trims the row to those. Dates of either stored form leave as ISO text.
    """
    out: Row = {}
    for name, value in row.items():
        if columns is not None and name.lower() not in columns:
            continue
        if isinstance(value, str):
            value = _text(out, name, value)
        elif isinstance(value, list):
            out[f"{name}@odata.type"] = "#Collection(String)"
        elif isinstance(value, dict):
            value = {"@odata.type": "#Exchange.GenericHashTable", **value}
        elif name in UINT16S:
            out[f"{name}@data.type"] = "System.UInt16"
            out[f"{name}@odata.type"] = "#Decimal"
        elif isinstance(value, float):
            out[f"{name}@data.type"] = "System.Double"
        elif isinstance(value, int) and not isinstance(value, bool):
            out[f"{name}@data.type"] = "System.Int32"
        out[name] = value
    return out


def _text(out: Row, name: str, value: str) -> str:
    if name in GUIDS:
        out[f"{name}@data.type"] = "System.Guid"
        return value
    moment = rest_time(value)
    if moment is None:
        return value
    out[f"{name}@data.type"] = "System.DateTime"
    return moment


def decode_parameters(sent: Any) -> dict[str, Any]:
    """Parameters as cmdlets take them: tagged tables become mappings, sidecar keys go. Raises CmdletError.

    A nested object without its `@odata.type` does not bind: GenericHashTable is an open type (seen with CIPP).
    """
    if not isinstance(sent, dict):
        raise unbound("The value for parameter 'Parameters' can't be read as Exchange.GenericHashTable.")
    return {name: _decoded(name, value) for name, value in sent.items() if "@" not in name}


def _decoded(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(name, item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = str(value.get("@odata.type", "")).removeprefix("#")
    if kind == "Exchange.ByteArrayType":
        return value.get("Data")
    if kind not in {"Exchange.GenericHashTable", "Exchange.StringFieldDeltaUpdateData"}:
        shown = "System.Management.Automation.PSCustomObject"
        reason = f'Cannot convert the "{shown}" value of type "{shown}" to type "System.Collections.Hashtable".'
        raise not_convertible(name, shown, "System.Collections.Hashtable", reason)
    return {key: _decoded(name, entry) for key, entry in value.items() if "@" not in key}


def unbound(text: str) -> CmdletError:
    return CmdletError(f"{_INVOCATION}.InvalidRequestException", text, binding=True)


# --- errors ----------------------------------------------------------------------------------------------------------

_CODES = {400: "BadRequest", 403: "Forbidden", 404: "NotFound", 429: "TooManyRequests"}


def error_body(error: CmdletError) -> dict[str, Any]:
    """The body of a refusal. The outer message says nothing, as in the service: the text is in details."""
    outer = "Invalid Operation" if error.binding else "Error executing cmdlet"
    inner: dict[str, Any] = {"message": outer, "type": _ODATA_ERROR, "stacktrace": ""}
    body: dict[str, Any] = {"code": _CODES.get(error.http_status, "InternalServerError"), "message": outer}
    if error.detailed:
        text = f"{error.error_id}|{error.exception_type}|{error.message}"
        code = "Client" if error.binding else "Context"
        body["details"] = [{"code": code, "target": "", "message": text}]
    if error.binding:
        inner["internalexception"] = {"message": error.message, "type": error.exception_type, "stacktrace": ""}
    body["innererror"] = inner
    # The capture of a value that does not convert has the warnings beside the error (graph2otel, July 2026).
    siblings = (
        {} if error.detailed else {"adminapi.warnings@odata.type": "#Collection(String)", "@adminapi.warnings": []}
    )
    return {"error": body, **siblings}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it becomes HTTP: status, own headers, JSON body or raw bytes."""

    status: int
    body: Any = None
    headers: Mapping[str, str] | None = None


def refused(error: CmdletError) -> Reply:
    """403 is told by no text: NUL bytes that pretend to be gzip, the reason in a header (live, graph2otel)."""
    if error.http_status == 403:
        reason = error.message.replace('"', "'")
        headers = {
            "Content-Encoding": "gzip",
            "Content-Type": "application/json",
            "x-ms-diagnostics": f'2000010;reason="{reason}";error_category="unauthorized"',
        }
        return Reply(403, b"\0" * 64, headers)
    headers = {"x-ExceptionType": error.exception_type, "x-ExceptionTargetType": error.category}
    return Reply(error.http_status, error_body(error), headers)


def _stale() -> CmdletError:
    """Live capture (graph2otel, July 2026)."""
    return unbound("Expired or Invalid pagination request. Default Expiry time is 00:30:00")


# --- paging ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Rows still to be fetched, for anyone who asks again with the same tenant, anchor and body."""

    fingerprint: str
    rows: Sequence[Row]
    expires: float


class _Cursors:
    """Listings under way. They live on one backend in the service: another anchor does not find them."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._kept: OrderedDict[str, _Cursor] = OrderedDict()

    def keep(self, fingerprint: str, rows: Sequence[Row]) -> str:
        """Keep rows and return their name."""
        name = uuid.uuid4().hex
        expires = self._tenant.clock.now().timestamp() + _CURSOR_LIFETIME_S
        self._kept[name] = _Cursor(fingerprint, rows, expires)
        while len(self._kept) > _CURSORS:
            self._kept.popitem(last=False)
        return name

    def find(self, token: str, fingerprint: str | None) -> tuple[str, Sequence[Row], int]:
        """Name, rows and offset behind a `$skiptoken`. Raises CmdletError where it is stale or another one's."""
        try:
            name, _, offset = base64.urlsafe_b64decode(token).decode().partition("/")
            cursor, start = self._kept[name], int(offset)
        except (ValueError, KeyError):
            raise _stale() from None
        if fingerprint != cursor.fingerprint or cursor.expires <= self._tenant.clock.now().timestamp():
            raise _stale()
        return name, cursor.rows, start


def _token(name: str, offset: int) -> str:
    return base64.urlsafe_b64encode(f"{name}/{offset}".encode()).decode()


# --- the service -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invocation:
    """One InvokeCommand: who, from where to where, with what."""

    caller: Caller
    base: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    @property
    def page_size(self) -> int:
        if "$top" in self.query:
            return entity_sets.page_size(self.query, _LARGEST_PAGE)
        found = re.search(r"odata\.maxpagesize\s*=\s*(\d+)", self.headers.get("prefer", ""), re.IGNORECASE)
        return min(max(int(found[1]), 1), _LARGEST_PAGE) if found else _LARGEST_PAGE

    @property
    def columns(self) -> frozenset[str] | None:
        chosen = self.query.get("$select")
        return frozenset(name.strip().lower() for name in chosen.split(",")) if chosen else None

    @property
    def tenant_path(self) -> str:
        return self.path.split("/")[3].lower()

    def fingerprint(self) -> str | None:
        """What a page must share with the first; None without an anchor: such a page finds no cursor.

        Pages of an entity set are found without one: clients that send none read them whole.
        """
        anchor = self.headers.get("x-anchormailbox", "").lower()
        if self.body is None:
            return hashlib.sha256(f"GET {self.path.lower()}".encode()).hexdigest()
        if not anchor:
            return None
        body = orjson.dumps(self.body, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(b"\0".join((self.tenant_path.encode(), anchor.encode(), body))).hexdigest()


class ExchangeService:
    """Answers invocations; free of HTTP, so that a request and an item of a batch take the same way."""

    def __init__(self, tenant: Tenant, faults: Faults) -> None:
        self._tenant, self._faults = tenant, faults
        self._cursors = _Cursors(tenant)

    def invoke(self, call: Invocation, do: Mapping[str, Any], columns: dict[str, Any]) -> Reply:
        """Run one cmdlet, or give the next page of a listing. `do` is a fault's deed, `columns` the log's."""
        try:
            name, sent = command_of(call.body)
            columns.update(cmdlet=name, parameters=sent, write=not name.lower().startswith(("get-", "test-")))
            parameters = decode_parameters(sent)
            if "$skiptoken" in call.query:
                cursor, rows, start = self._cursors.find(call.query["$skiptoken"], call.fingerprint())
                return self._page(call, CmdletResult([]), rows, start, cursor, do)
            result = run_cmdlet(self._tenant, call.caller, name, parameters)
        except CmdletError as error:
            reply = refused(error)
            if lacking := _not_modelled(call.body):
                columns["not_modelled"] = lacking
                reply = dataclasses.replace(
                    reply, headers={**(reply.headers or {}), NOT_MODELLED: header_text(lacking)}
                )
            return reply
        columns["executed"] = True
        if "read_after_write_404" in do:
            self._hide(name, parameters, float(do["read_after_write_404"]))
        if result.confirmation is not None:
            return self._reply(call, result, [], None, do)
        rows = chained(result.rows, result.beyond) if result.beyond else result.rows
        return self._page(call, result, rows, 0, None, do)

    def read(self, call: Invocation, wanted: Asked, do: Mapping[str, Any], columns: dict[str, Any]) -> Reply:
        """An entity set, a page of it, or one entity."""
        columns.update(cmdlet=wanted.cmdlet, parameters=dict(wanted.parameters))
        try:
            if "$skiptoken" in call.query:
                cursor, rows, start = self._cursors.find(call.query["$skiptoken"], call.fingerprint())
                return self._page(call, CmdletResult([]), rows, start, cursor, do)
            fits = entity_sets.filtered(call.query.get("$filter"))
            result = run_cmdlet(self._tenant, call.caller, wanted.cmdlet, wanted.parameters)
        except CmdletError as error:
            return refused(error)
        columns["executed"] = True
        whole = chained(result.rows, result.beyond) if result.beyond else result.rows
        rows = [entity_sets.as_entity(wanted.cmdlet, row) for row in whole if fits(row)]
        if wanted.one:
            context = f"{call.base}/adminapi/beta/{self._tenant.tenant_id}/$metadata#{call.path.rpartition('/')[2]}"
            entity = {**wire_row(rows[0], call.columns), **self._expanded(call, wanted, columns)}
            return Reply(200, {"@odata.context": f"{context}/$entity", **entity})
        return self._page(call, CmdletResult([], result.warnings), rows, 0, None, do)

    def _expanded(self, call: Invocation, wanted: Asked, columns: dict[str, Any]) -> dict[str, Any]:
        """What `$expand` adds to one entity."""
        name = call.query.get("$expand", "")
        cmdlet = entity_sets.EXPANDED.get(name.lower())
        if cmdlet is None:
            if name:
                columns["not_modelled"] = f"$expand={name}"
            return {}
        found = run_cmdlet(self._tenant, call.caller, cmdlet, {"Identity": wanted.parameters["Identity"]}).rows
        return {name: [wire_row(row, None) for row in found]}

    def _page(
        self,
        call: Invocation,
        result: CmdletResult,
        rows: Sequence[Row],
        start: int,
        cursor: str | None,
        do: Mapping[str, Any],
    ) -> Reply:
        """Rows from `start`. A page ends at the page size, the first one also where ResultSize cut the listing."""
        end = start + call.page_size
        if cursor is None and result.beyond:
            end = min(end, len(result.rows))
        link = None
        if end < len(rows):
            cursor = cursor or self._cursors.keep(call.fingerprint() or "", rows)
            query = {name: value for name, value in call.query.items() if name != "$skiptoken"}
            query["$skiptoken"] = _token(cursor, end)
            link = f"{call.base}{call.path}?{urlencode(query, quote_via=quote, safe='$,=')}"
        return self._reply(call, CmdletResult([], result.warnings, result.errors), rows[start:end], link, do)

    def _reply(
        self, call: Invocation, result: CmdletResult, rows: Iterable[Row], link: str | None, do: Mapping[str, Any]
    ) -> Reply:
        columns = call.columns
        body: dict[str, Any] = {
            "@odata.context": f"{call.base}/adminapi/beta/{self._tenant.tenant_id}"
            "/$metadata#Collection(Exchange.GenericHashTable)",
            "adminapi.warnings@odata.type": "#Collection(String)",
            "@adminapi.warnings": result.warnings,
        }
        errors = [*result.errors, *do.get("adminapi_errors", ())]
        if errors:
            body["adminapi.errors@odata.type"] = "#Collection(String)"
            body["@adminapi.errors"] = errors
        if result.confirmation is not None:
            body["@adminapi.confirmationmessage"] = result.confirmation
        if link:
            body["@odata.nextLink"] = link
        if call.headers.get("x-responseformat", "").lower() == "clixml":
            noun = str(call.body["CmdletInput"]["CmdletName"]).partition("-")[2] if call.body else ""
            body["value"] = [{"_clixml": clixml_document(noun, row, columns)} for row in left(rows, do)]
        else:
            body["value"] = [wire_row(row, columns) for row in left(rows, do)]
        headers = {"X-Warnings": header_text(" ".join(result.warnings))} if result.warnings else {}
        return Reply(200, body, headers)

    def _hide(self, name: str, parameters: Mapping[str, Any], seconds: float) -> None:
        """After a write: let reads miss its object for a while."""
        noun = name.partition("-")[2].lower()
        wanted = {str(v).lower() for k, v in parameters.items() if k.lower() in {"identity", "name", "domainname"}}
        for kind in (kind for name, kind in NOUNS.items() if name.lower() == noun):
            found = (row for text in wanted for row in self._tenant.named(kind.name, kind.all_names, text))
            for row in {row_key(row): row for row in found}.values():
                self._tenant.hide(kind.name, row, seconds)


def command_of(body: Any) -> tuple[str, Any]:
    """Name and parameters of the cmdlet. Raises CmdletError. `Parameters` may lack, but is never null."""
    envelope = body.get("CmdletInput") if isinstance(body, dict) else None
    name = envelope.get("CmdletName") if isinstance(envelope, dict) else None
    if not isinstance(envelope, dict) or not isinstance(name, str) or not name:
        raise unbound("The request body must hold a CmdletInput with a CmdletName.")
    return name, envelope.get("Parameters", {})


def _not_modelled(body: Any) -> str:
    """What of a refused call the service has and the sandbox lacks."""
    try:
        name, sent = command_of(body)
    except CmdletError:
        return ""
    return not_modelled(name, sent if isinstance(sent, dict) else {})


def header_text(text: str) -> str:
    return text.encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")
