"""Get-MessageTraceV2 and Get-MessageTraceDetailV2 (Learn, the pages of both; public captures, 2026).

A listing that ResultSize cuts is told by a warning alone, with the call that goes on: EndDate is the last row's
Received and StartingRecipientAddress its recipient, whose row comes again. There is no link to a next page.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from provisioner.sandbox import message_traces
from provisioner.sandbox.clock import stored_time
from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Rows
from provisioner.sandbox.cmdlets.parameters import Delta, Replace, array, choice, string
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.message_traces import LARGEST, USUAL, Query, TraceRefused

_FILTER_TYPE = "Microsoft.Exchange.Management.FfoReporting.SubjectFilterType"


def moment(call: Call, name: str) -> dt.datetime | None:
    """A DateTime parameter, None where it was not sent. Raises CmdletError."""
    text = call.get(name)
    if text is None:
        return None
    found = stored_time(text) or _day(str(text))
    if found is None:
        reason = f'Cannot convert the "{text}" value of type "System.String" to type "System.DateTime".'
        raise errors.not_convertible(name, text, "System.DateTime", reason)
    return found


def _day(text: str) -> dt.datetime | None:
    """A date without a time: "2026-11-03", or "11/3/2026" as the examples of the pages have it."""
    for form in ("%Y-%m-%d", "%m/%d/%Y"):
        try:
            return dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC)
        except ValueError:
            continue
    return None


def many(call: Call, name: str) -> frozenset[str]:
    """The values of a parameter that takes several."""
    value = call.get(name)
    if isinstance(value, Replace):
        return frozenset(value.values)
    return frozenset(value.add) if isinstance(value, Delta) else frozenset()


def refused(error: TraceRefused) -> errors.CmdletError:
    """A refused query as a cmdlet says it."""
    kind = (
        "Microsoft.Exchange.Management.Tasks.TooManyRequestsException"
        if error.throttled
        else "System.ArgumentException"
    )
    return errors.CmdletError(kind, error.text)


def _size(call: Call) -> int:
    size = call.get("ResultSize", USUAL)
    if size is None or not 1 <= size <= LARGEST:
        raise errors.invalid(f"ResultSize is invalid. Valid values are 1 to {LARGEST}.")
    return int(size)


def _list(call: Call) -> Rows:
    size = _size(call)
    kinds = {"contains": "contains", "startswith": "startswith", "endswith": "endswith"}
    query = Query(
        start=moment(call, "StartDate"),
        end=moment(call, "EndDate"),
        senders=many(call, "SenderAddress"),
        recipients=many(call, "RecipientAddress"),
        statuses=frozenset(status.lower() for status in many(call, "Status")),
        message_ids=many(call, "MessageId"),
        trace_id=str(call.get("MessageTraceId") or ""),
        from_ip=str(call.get("FromIP") or ""),
        to_ip=str(call.get("ToIP") or ""),
        subject=(kinds[str(call.get("SubjectFilterType", "Contains")).lower()], str(call.get("Subject") or "")),
        starting_recipient=str(call.get("StartingRecipientAddress") or ""),
    )
    rows = _asked(call, "list", lambda: message_traces.found(call.tenant, query))
    if len(rows) > size:
        last, first = rows[size - 1], query.start
        begin = f'-StartDate "{first:%Y-%m-%dT%H:%M:%SZ}" ' if first else ""
        call.warn(
            f"There are more results, use the following command to get more. Get-MessageTraceV2 {begin}-EndDate "
            f'"{last["Received"]}" -StartingRecipientAddress "{last["RecipientAddress"]}" -ResultSize {size}'
        )
    return [message_traces.shown(row) for row in rows[:size]]


def _detail(call: Call) -> Rows:
    trace_id, recipient = str(call.get("MessageTraceId")), str(call.get("RecipientAddress"))
    start, end = moment(call, "StartDate"), moment(call, "EndDate")
    events = {event.lower() for event in many(call, "Event")}
    rows = _asked(call, "detail", lambda: message_traces.details(call.tenant, trace_id, recipient))
    return [
        row
        for row in rows
        if (not events or str(row["Event"]).lower() in events)
        and (start is None or (stored_time(row["Date"]) or start) >= start)
        and (end is None or (stored_time(row["Date"]) or end) <= end)
    ]


def _asked(call: Call, kind: str, ask: Callable[[], Any]) -> Any:
    try:
        message_traces.count_query(call.tenant, kind)
        return ask()
    except TraceRefused as error:
        raise refused(error) from None


def _given(*names: str) -> tuple[Any, ...]:
    return tuple(string(name, stored=False) for name in names)


CMDLETS = (
    Cmdlet(
        "Get-MessageTraceV2",
        (
            *_given("StartDate", "EndDate", "FromIP", "ToIP", "MessageTraceId", "StartingRecipientAddress", "Subject"),
            *(array(name) for name in ("MessageId", "RecipientAddress", "SenderAddress", "Status")),
            choice("SubjectFilterType", _FILTER_TYPE, "Contains", "EndsWith", "StartsWith", stored=False),
        ),
        _list,
    ),
    Cmdlet(
        "Get-MessageTraceDetailV2",
        (
            string("MessageTraceId", stored=False, required=True),
            string("RecipientAddress", stored=False, required=True),
            *_given("StartDate", "EndDate", "MessageId", "SenderAddress"),
            *(array(name) for name in ("Action", "Event")),
        ),
        _detail,
    ),
)
