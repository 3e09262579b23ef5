"""Message traces: which address sends which mail, and, from the detail of a message, which connector took it.

Get-MessageTraceV2 answers for ten days a query, 90 days back, with at most 5,000 rows newest first; that there are more
is a warning, and the next query ends at the last row's time and begins with its recipient, whose row comes again.
100 queries in five minutes are allowed, and as many for details (Learn, both pages; public captures, 2026). A row does
not name the connector; the Receive event of its detail does (`S:InboundConnectorData=Name=…`, public scripts). Mail
that a mailbox sends by Outlook or Graph has no source address.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from urllib.parse import quote

from provisioner.model import Cmdlet, GraphRequest, Parameter, Row
from provisioner.resources.canonical import domain_name, lenient
from provisioner.senders.inventory import TlsVersion
from provisioner.senders.observing import Observation, address, moment, source_ip, tls_version

DAYS, DAYS_A_QUERY = 90, 10
MOST_ROWS = 5000
MOST_QUERIES, MOST_DETAILS = 90, 90
"""Of a run: a few below the service's quota, so that other tools are answered meanwhile."""
ROLE = "a role that holds Get-MessageTraceV2 (View-Only Recipients in Exchange, or Global Reader)"
COLUMNS = frozenset({
    "MessageTraceId", "Received", "SenderAddress", "RecipientAddress", "FromIP", "Status", "MessageId",
})  # fmt: skip
PERMISSION = "ExchangeMessageTrace.Read.All (Graph), with admin consent"
SERVICE_PRINCIPAL = "8bd644d1-64a1-4d4b-ae52-2e0cbf64e373"
"""Microsoft's application that answers for Graph. Without its service principal in the tenant Graph answers 401."""
_PATH = "/admin/exchange/tracing/messageTraces"
_form = lenient(domain_name)
_OF_GRAPH = {
    "id": "MessageTraceId",
    "receivedDateTime": "Received",
    "senderAddress": "SenderAddress",
    "recipientAddress": "RecipientAddress",
    "fromIP": "FromIP",
    "status": "Status",
    "messageId": "MessageId",
    "event": "Event",
    "data": "Data",
}
_CONNECTOR = re.compile(r"S:InboundConnectorData=Name=([^;\"<]*)")
_TLS = re.compile(r"S:tlsversion=([A-Za-z0-9_.]+)")
_FORM = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time that one query may ask for, and where in it the listing goes on."""

    begin: str
    end: str
    recipient: str = ""

    @property
    def request(self) -> Cmdlet:
        parameters: dict[str, Parameter] = {"StartDate": self.begin, "EndDate": self.end, "ResultSize": MOST_ROWS}
        if self.recipient:
            parameters["StartingRecipientAddress"] = self.recipient
        return Cmdlet("Get-MessageTraceV2", parameters, COLUMNS)

    def after(self, rows: Sequence[Row]) -> Window | None:
        """Where the listing goes on after these rows; None where they are its end, or it would not move."""
        if len(rows) < MOST_ROWS:
            return None
        last = rows[-1]
        further = Window(self.begin, str(last.get("Received")), str(last.get("RecipientAddress")))
        return further if further != self else None

    @property
    def over_graph(self) -> GraphRequest:
        """The same question to Microsoft Graph, whose pages the adapter follows (Learn, "List messageTraces")."""
        condition = f"receivedDateTime ge {self.begin} and receivedDateTime le {self.end}"
        return GraphRequest("GET", f"{_PATH}?$filter={condition.replace(' ', '%20')}&$top={MOST_ROWS}")


def of_graph(row: Row) -> Row:
    """A row of Graph (exchangeMessageTrace, or a detail of one) in the columns of the cmdlets."""
    return {_OF_GRAPH.get(name, name): value for name, value in row.items()}


def windows(begin: str, end: str) -> tuple[Window, ...]:
    """The queries for a period, the newest days first."""
    first, last = dt.datetime.fromisoformat(begin), dt.datetime.fromisoformat(end)
    found = []
    while last > first:
        start = max(first, last - dt.timedelta(days=DAYS_A_QUERY))
        found.append(Window(start.strftime(_FORM), last.strftime(_FORM)))
        last = start
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Taken:
    """What the detail of one message says about how it came in."""

    connector: str
    tls: TlsVersion | None


Pair = tuple[str, str]
"""Source address and sender: their messages are taken by the same connector."""


def pair_of(row: Row) -> Pair:
    return source_ip(row.get("FromIP")), address(row.get("SenderAddress"))


def samples(rows: Iterable[Row], domains: frozenset[str] | None) -> Mapping[Pair, Row]:
    """The newest message of each pair whose sender is of the tenant, those with the most messages first."""
    newest: dict[Pair, Row] = {}
    count: dict[Pair, int] = {}
    for row in rows:
        pair = pair_of(row)
        if not all(pair) or not ours(pair[1], domains):
            continue
        count[pair] = count.get(pair, 0) + 1
        if pair not in newest or _order(row) > _order(newest[pair]):
            newest[pair] = row
    return {pair: newest[pair] for pair in sorted(newest, key=lambda p: (-count[p], p))}


def _order(row: Row) -> tuple[str, str, str]:
    return (str(row.get("Received")), str(row.get("MessageTraceId")), str(row.get("RecipientAddress")))


def detail(row: Row) -> Cmdlet:
    """What asks how a message came in."""
    return Cmdlet(
        "Get-MessageTraceDetailV2",
        {"MessageTraceId": str(row.get("MessageTraceId")), "RecipientAddress": str(row.get("RecipientAddress"))},
        frozenset({"MessageTraceId", "Event", "Data"}),
    )


def detail_over_graph(row: Row) -> GraphRequest:
    """The same question to Microsoft Graph (Learn, "exchangeMessageTrace: getDetailsByRecipient")."""
    trace, recipient = (
        quote(str(row.get(column)).replace("'", "''"), safe="@") for column in ("MessageTraceId", "RecipientAddress")
    )
    return GraphRequest("GET", f"{_PATH}/{trace}/getDetailsByRecipient(recipientAddress='{recipient}')")


def taken(events: Iterable[Row]) -> Taken | None:
    """How a message came in, by its Receive event; None where the detail has none."""
    for event in events:
        if str(event.get("Event")).lower() == "receive":
            data = unescape(str(event.get("Data") or ""))
            connector, version = _CONNECTOR.search(data), _TLS.search(data)
            return Taken(connector[1].strip() if connector else "", tls_version(version[1]) if version else "none")
    return None


def ours(sender: str, domains: frozenset[str] | None) -> bool:
    """Whether a sender is of one of the tenant's domains; of any, where these could not be read."""
    return domains is None or _domain_of(sender) in domains


def _domain_of(address: str) -> str:
    return _form(address.rpartition("@")[2])


def decode(rows: Iterable[Row], how: Mapping[Pair, Taken], domains: frozenset[str] | None) -> Iterator[Observation]:
    """Mail of the tenant's senders that came from an address; the trace has a row for each recipient of a message.

    A message counts once, with the first of its rows.
    """
    seen: set[tuple[str, str]] = set()
    messages: set[str] = set()
    for row in rows:
        pair, recipient = pair_of(row), address(row.get("RecipientAddress"))
        known_by = (str(row.get("MessageTraceId")), recipient)
        if known_by in seen or not all(pair) or not ours(pair[1], domains):
            continue
        seen.add(known_by)
        first_of_message = known_by[0] not in messages
        messages.add(known_by[0])
        found, received = how.get(pair), moment(row.get("Received"))
        failed = str(row.get("Status") or "").lower() == "failed"
        inside = domains is not None and _domain_of(recipient) in domains
        yield Observation(
            "message_traces",
            sender=pair[1],
            ip_address=pair[0],
            connector=found.connector if found else None,
            tls=found.tls if found else None,
            recipients="" if domains is None else "inside" if inside else "outside",
            code="Failed" if failed else "",
            reason="the message trace says Failed" if failed else "",
            messages=1 if first_of_message else 0,
            failures=1 if failed else 0,
            first=received,
            last=received,
        )
