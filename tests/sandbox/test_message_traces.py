"""Message traces: what passes the SMTP ports shows in them, how listings end, what is refused."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from provisioner.sandbox.clock import wire_time
from provisioner.sandbox.cmdlets import Caller, CmdletError, run_cmdlet
from provisioner.sandbox.graph import GraphService
from provisioner.sandbox.graph_calls import Call, GraphError
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Row, Tenant
from tests.local_tenant import LocalTenant
from tests.sandbox.mailing import relay, submit

_ADMINISTRATOR = Caller("app", directory_roles=("Exchange Administrator",))
_BASE = "https://graph.microsoft.com"


@pytest.fixture
def fresh(tenant: LocalTenant) -> LocalTenant:
    """The tenant of the seed, without the records of other tests."""
    tenant.control("POST", "/reset")
    tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=False)
    return tenant


def _tenant(*traces: Row, **sections: Any) -> Tenant:
    tenant = Tenant()
    tenant.merge(load_seed({"sandbox": 1, "objects": {"MessageTrace": list(traces)}, **sections}))
    return tenant


def _trace(days_ago: float, recipient: str = "anna@contoso.com", **more: Any) -> Row:
    return {"_DaysAgo": days_ago, "SenderAddress": "erp@contoso.com", "RecipientAddress": recipient, **more}


def _rows(tenant: Tenant, **parameters: Any) -> list[Row]:
    return list(run_cmdlet(tenant, _ADMINISTRATOR, "Get-MessageTraceV2", parameters).rows)


def _span(tenant: Tenant, first: float, last: float = 0) -> dict[str, str]:
    now = tenant.clock.now()
    return {
        "StartDate": wire_time(now - dt.timedelta(days=first)),
        "EndDate": wire_time(now - dt.timedelta(days=last)),
    }


# --- what the ports record ------------------------------------------------------------------------------------------


def test_a_message_that_was_submitted_shows_with_its_address_and_its_tls(fresh: LocalTenant) -> None:
    submit(fresh)
    (row,) = fresh.cmdlet("Get-MessageTraceV2")["rows"]
    assert (row["SenderAddress"], row["RecipientAddress"]) == ("erp@contoso.com", "someone@fabrikam.com")
    assert (row["Status"], row["FromIP"], row["Subject"]) == ("Delivered", "127.0.0.1", "Scan 17")
    assert not any(column.startswith("_") for column in row)
    ids = {"MessageTraceId": row["MessageTraceId"], "RecipientAddress": "someone@fabrikam.com"}
    events = fresh.cmdlet("Get-MessageTraceDetailV2", **ids)["rows"]
    assert [event["Event"] for event in events] == ["Receive", "Submit", "Send external"]
    assert "S:tlsversion=SP_PROT_TLS1_3_SERVER" in events[0]["Data"]
    assert "InboundConnectorData" not in events[0]["Data"]


def test_the_detail_of_a_relayed_message_names_the_connector_that_took_it(fresh: LocalTenant) -> None:
    relay(fresh, "127.0.0.10", "someone@fabrikam.com", tls=True)
    relay(fresh, "127.0.0.99", "anna@contoso.com")
    direct, relayed = sorted(fresh.cmdlet("Get-MessageTraceV2")["rows"], key=lambda row: str(row["FromIP"]))
    assert (relayed["FromIP"], direct["FromIP"]) == ("203.0.113.10", "198.51.100.99")
    data = [
        fresh.cmdlet(
            "Get-MessageTraceDetailV2",
            MessageTraceId=row["MessageTraceId"],
            RecipientAddress=row["RecipientAddress"],
            Event=["Receive"],
        )["rows"][0]["Data"]
        for row in (relayed, direct)
    ]
    assert "S:InboundConnectorData=Name=hq;" in data[0]
    assert "InboundConnectorData" not in data[1]
    assert direct["Status"] == "FilteredAsSpam", "its address is not in the SPF record"


# --- how a listing is asked ------------------------------------------------------------------------------------------


def test_a_cut_listing_goes_on_at_its_last_row_which_comes_again() -> None:
    traces = [_trace(1 + n / 1000, f"r{n % 4}@contoso.com") for n in range(9)]
    tenant = _tenant(*traces, *(_trace(3, f"r{n}@contoso.com", Subject="at once") for n in range(6)))
    span = _span(tenant, 9)
    seen: list[tuple[str, str]] = []
    more: dict[str, Any] = {}
    for _ in range(20):
        answer = run_cmdlet(tenant, _ADMINISTRATOR, "Get-MessageTraceV2", {**span, "ResultSize": 4, **more})
        page = [(row["MessageTraceId"], row["RecipientAddress"]) for row in answer.rows]
        assert not more or page[0] == seen[-1], "the row at the boundary comes again"
        seen += page
        if not answer.warnings:
            break
        assert "There are more results" in answer.warnings[0]
        last = answer.rows[-1]
        more = {"EndDate": last["Received"], "StartingRecipientAddress": last["RecipientAddress"]}
    assert len(set(seen)) == 15


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        (lambda t: _span(t, 11), "longer than 10 days"),
        (lambda t: _span(t, 95, 90), "older than 90 days"),
        (lambda t: {"StartDate": _span(t, 3)["StartDate"]}, "EndDate is required"),
        (lambda _: {"ResultSize": 5001}, "ResultSize is invalid"),
        (lambda _: {"StartDate": "soon", "EndDate": "later"}, "System.DateTime"),
    ],
)
def test_what_the_service_does_not_answer_is_refused(parameters: Any, word: str) -> None:
    tenant = _tenant()
    with pytest.raises(CmdletError, match=word):
        _rows(tenant, **parameters(tenant))


def test_without_dates_two_days_are_listed() -> None:
    assert len(_rows(_tenant(_trace(1), _trace(3)))) == 1


def test_the_hundred_and_first_query_in_five_minutes_is_refused_and_later_not() -> None:
    tenant = _tenant(_trace(1), settings={"message_trace_quota": 2})
    _rows(tenant)
    _rows(tenant)
    with pytest.raises(CmdletError, match="surpassed the permitted limit"):
        _rows(tenant)
    tenant.clock.advance(301)
    assert len(_rows(tenant)) == 1


def test_a_message_that_is_delivered_later_is_pending_until_then() -> None:
    tenant = _tenant(_trace(0.5))
    tenant.rows("MessageTrace")[0]["_Due"] = wire_time(tenant.clock.now() + dt.timedelta(seconds=60))
    assert [row["Status"] for row in _rows(tenant)] == ["Pending"]
    tenant.clock.advance(61)
    assert [row["Status"] for row in _rows(tenant)] == ["Delivered"]


# --- over Graph ------------------------------------------------------------------------------------------------------


def _graph(tenant: Tenant, path: str, roles: str = "ExchangeMessageTrace.Read.All", **params: str) -> Any:
    call = Call(
        "GET",
        tuple(path.split("/")),
        {f"${k}": v for k, v in params.items()},
        {},
        None,
        f"{_BASE}/v1.0",
        frozenset({roles}),
    )
    return GraphService(tenant).answer(call).body


_TRACES = "admin/exchange/tracing/messageTraces"


def test_graph_tells_the_same_in_its_own_spelling() -> None:
    tenant = _tenant(_trace(1, Status="FilteredAsSpam", FromIP="203.0.113.9", _Connector="hq"), _trace(8))
    span = _span(tenant, 9)
    dates = f"receivedDateTime ge {span['StartDate']} and receivedDateTime le {span['EndDate']}"
    first = _graph(tenant, _TRACES, filter=dates, top="1")
    assert "@odata.nextLink" in first
    (row,) = _graph(tenant, _TRACES, filter=f"{dates} and fromIP eq '203.0.113.9'")["value"]
    assert (row["status"], row["senderAddress"]) == ("filteredAsSpam", "erp@contoso.com")
    details = _graph(tenant, f"{_TRACES}/{row['id']}/getDetailsByRecipient(recipientAddress='anna@contoso.com')")
    assert "InboundConnectorData=Name=hq" in details["value"][0]["data"]


@pytest.mark.parametrize(
    ("roles", "settings", "status", "word"),
    [
        ("AuditLog.Read.All", {}, 403, "Insufficient privileges"),
        ("ExchangeMessageTrace.Read.All", {"message_trace_provisioned": False}, 401, "8bd644d1-64a1-4d4b-ae52"),
    ],
)
def test_graph_wants_the_permission_and_the_service_principal(
    roles: str, settings: dict[str, Any], status: int, word: str
) -> None:
    with pytest.raises(GraphError, match=word) as refused:
        _graph(_tenant(settings=settings), _TRACES, roles=roles)
    assert refused.value.status == status
