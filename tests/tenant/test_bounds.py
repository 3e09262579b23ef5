"""Answers without an end, over every front: too large, packed, slow, redirected. Each is its request's error, in time.

The limits are lowered for the tests: that they hold is what counts.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from provisioner.diagnostics import Malformed, TenantError, Throttled, Unavailable, Unclear
from provisioner.model import Answer, Cmdlet, GraphRequest, Request
from provisioner.tenant import limits
from provisioner.tenant.connect import connect
from provisioner.tenant.psrp_connection import Bounds
from tests.clocks import FastClock, until
from tests.local_tenant import LocalTenant, hang_up, sandbox

SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "mailboxes": [{"count": 400, "domain": "contoso.onmicrosoft.com", "prefix": "m"}],
}
READ = Cmdlet("Get-InboundConnector", {})
DOMAINS = GraphRequest("GET", "/domains?$select=id")
NEW = Cmdlet("New-InboundConnector", {"Name": "x", "ConnectorType": "Partner", "SenderDomains": ("*",)})
LIMIT = 200_000
FRONTS = [
    pytest.param("exchange", "rest", READ, id="exchange"),
    pytest.param("graph", "rest", DOMAINS, id="graph"),
    pytest.param("entra", "rest", READ, id="sign-in for exchange"),
    pytest.param("entra", "rest", DOMAINS, id="sign-in for graph"),
    pytest.param("wsman", "psrp", READ, id="psrp"),
]


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTenant]:
    folder = tmp_path_factory.mktemp("bounds")
    (folder / "seed.yaml").write_text(yaml.safe_dump(SEED))
    with sandbox(folder / "state", folder / "seed.yaml", lag=0) as running:
        yield running


@pytest.fixture(autouse=True)
def _as_at_the_start(tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("MOST_BYTES", "MOST_SIGN_IN_BYTES"):
        monkeypatch.setattr(limits, name, LIMIT)
    yield
    tenant.control("POST", "/reset")
    tenant.control("DELETE", "/requests")


def fault(tenant: LocalTenant, front: str, do: dict[str, Any], *, after: int = 0, times: int | None = None) -> None:
    tenant.control("POST", "/faults", [{"front": front, "after": after, "times": times, "do": do}])


def ask(tenant: LocalTenant, transport: str, request: Request, **timeouts: float) -> Answer | TenantError:
    """What a request gives, with a sign-in and a session of its own."""

    async def work() -> Answer | TenantError:
        profile = tenant.profile(transport, timeouts={"retry_s": 0.0, **timeouts})
        async with connect(profile, clock=FastClock()) as ports:
            try:
                return await (ports.exchange.run(request) if isinstance(request, Cmdlet) else _graph(ports, request))
            except TenantError as error:
                return error

    return asyncio.run(work())


async def _graph(ports: Any, request: Request) -> Answer:
    found: Answer = await ports.directory.send(request)
    return found


@pytest.mark.parametrize(("front", "transport", "request_"), FRONTS)
@pytest.mark.parametrize("deed", ["flood", "inflate"])
def test_a_body_above_the_limit_is_malformed(
    tenant: LocalTenant, front: str, transport: str, request_: Request, deed: str
) -> None:
    fault(tenant, front, {deed: 40 * LIMIT})
    found = ask(tenant, transport, request_)
    assert isinstance(found, Malformed), found
    assert f"more than {LIMIT:,} bytes" in str(found)


@pytest.mark.parametrize(("front", "transport", "request_"), FRONTS)
def test_a_body_below_the_limit_is_read(tenant: LocalTenant, front: str, transport: str, request_: Request) -> None:
    assert isinstance(ask(tenant, transport, request_), Answer)


@pytest.mark.parametrize(("front", "transport", "request_"), FRONTS)
def test_an_answer_that_comes_byte_by_byte_is_given_up_in_time(
    tenant: LocalTenant, front: str, transport: str, request_: Request
) -> None:
    fault(tenant, front, {"drip": 0.02})
    before = set(threading.enumerate())
    found = ask(tenant, transport, request_, request_s=0.6)
    assert isinstance(found, Unclear | Unavailable), found
    assert any(words in str(found) for words in ("in time", "no end after", "within 1 s")), found
    demand_ended(before)


@pytest.mark.parametrize("after", range(4))
def test_each_exchange_of_a_runspace_is_bounded(tenant: LocalTenant, after: int) -> None:
    """Opening it, the first Receive, the pipeline and its output."""
    fault(tenant, "wsman", {"drip": 0.05}, after=after)
    found = ask(tenant, "psrp", READ, request_s=0.6)
    assert isinstance(found, Unclear | Unavailable), found
    tenant.control("DELETE", "/faults")
    fault(tenant, "wsman", {"flood": 40 * LIMIT}, after=after)
    found = ask(tenant, "psrp", READ)
    assert isinstance(found, Malformed), found


def test_a_write_whose_answer_is_too_large_is_unclear_and_sent_once(tenant: LocalTenant) -> None:
    fault(tenant, "exchange", {"flood": 40 * LIMIT})
    found = ask(tenant, "rest", NEW)
    assert isinstance(found, Unclear), found
    assert sum(r["cmdlet"] == NEW.name for r in tenant.requests()) == 1


def test_what_a_pipeline_gives_is_bounded_too(tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_BYTES", 100 * LIMIT)
    monkeypatch.setattr(limits, "MOST_PIPELINE_BYTES", LIMIT)
    found = ask(tenant, "psrp", Cmdlet("Get-CASMailbox", {"ResultSize": "Unlimited"}))
    assert isinstance(found, Malformed), found
    assert "the answers to one pipeline" in str(found)


def test_the_rows_of_a_pipeline_are_bounded(tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_BYTES", 100 * LIMIT)
    monkeypatch.setattr(limits, "MOST_ROWS", 30)
    found = ask(tenant, "psrp", Cmdlet("Get-CASMailbox", {"ResultSize": "Unlimited"}))
    assert isinstance(found, Malformed), found
    assert "more than 30 rows" in str(found)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_over_psrp_no_redirect_is_followed(tenant: LocalTenant, status: int) -> None:
    fault(tenant, "wsman", {"status": status, "headers": {"Location": "https://elsewhere.example/wsman"}})
    found = ask(tenant, "psrp", READ)
    assert isinstance(found, Malformed), found
    assert "redirected to elsewhere.example" in str(found)
    assert len(tenant.requests("wsman")) == 1


@pytest.mark.parametrize(("status", "kind"), [(429, Throttled), (503, Unavailable)])
def test_a_management_host_may_ask_to_wait(tenant: LocalTenant, status: int, kind: type[TenantError]) -> None:
    fault(tenant, "wsman", {"status": status, "headers": {"Retry-After": "9"}}, times=1)
    found = ask(tenant, "psrp", READ)
    assert isinstance(found, kind), found
    assert found.retry_after_s == 9.0  # type: ignore[attr-defined]
    assert "asks for 9 s" in found.hint
    fault(tenant, "wsman", {"status": status, "headers": {"Retry-After": "9"}}, times=1)
    assert isinstance(ask(tenant, "psrp", READ, retry_s=30.0), Answer)


_TIMED_OUT = (
    '<s:Fault><s:Detail><f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" '
    'Code="2150858793"/></s:Detail></s:Fault>'
)
"""ERROR_WSMAN_OPERATION_TIMEDOUT."""


@pytest.mark.parametrize("do", [{"run_then_close": True}, {"soap": _TIMED_OUT}, {"soap": "<s:Fault/>"}], ids=str)
def test_a_pipeline_whose_command_had_no_clear_answer_is_not_sent_again(
    tenant: LocalTenant, do: dict[str, Any]
) -> None:
    rule = {"front": "wsman", "match": {"method": "Command", "cmdlet": NEW.name}, "times": 1, "do": do}
    tenant.control("POST", "/faults", [rule])
    found = ask(tenant, "psrp", NEW, retry_s=30.0)
    assert isinstance(found, Unclear), found
    assert len(tenant.writes("psrp")) == 1


def test_a_pipeline_that_only_reads_is_sent_again(tenant: LocalTenant) -> None:
    rule = {"front": "wsman", "match": {"method": "Command"}, "times": 1, "do": {"run_then_close": True}}
    tenant.control("POST", "/faults", [rule])
    assert isinstance(ask(tenant, "psrp", READ), Answer)
    assert [(r["method"], r["runs"]) for r in tenant.requests("wsman") if r["method"] == "Command"] == [
        ("Command", [READ.name])
    ] * 2


def test_an_exchange_is_cut_when_its_time_is_over() -> None:
    ours, theirs = socket.socketpair()
    bounds = Bounds(0.05)
    with ours, theirs:
        ours.settimeout(60)
        handle = bounds.opened(ours)
        bounds.begin()
        assert ours.recv(1) == b""
        bounds.closed(handle)
    bounds.close()


def test_a_later_exchange_with_less_time_is_cut_at_its_own() -> None:
    ours, theirs = socket.socketpair()
    bounds = Bounds(3600.0)
    with ours, theirs:
        ours.settimeout(30)
        handle = bounds.opened(ours)
        bounds.begin()
        until(lambda: bounds._changed._waiters)  # type: ignore[attr-defined] # it watches the first one
        bounds.end()
        bounds.limit(0.05)
        bounds.begin()
        assert ours.recv(1) == b""
        bounds.closed(handle)
    bounds.close()


def test_one_thread_watches_all_exchanges_and_ends_with_the_connection() -> None:
    before = set(threading.enumerate())
    bounds = Bounds(60.0)
    for _ in range(3):
        bounds.begin()
        bounds.end()
    bounds.begin()
    assert len(set(threading.enumerate()) - before) == 1
    bounds.close()
    demand_ended(before)


def test_a_port_closes_in_time_while_a_host_still_drips(tenant: LocalTenant) -> None:
    fault(tenant, "wsman", {"drip": 0.2}, after=2)

    async def work() -> None:
        async with connect(tenant.profile("psrp"), clock=FastClock()) as ports:
            asking = asyncio.create_task(ports.exchange.run(READ))
            await asyncio.to_thread(_until_dripping, tenant)
            asking.cancel()
            ports.exchange._closing_s = 0.1  # type: ignore[attr-defined]

    before = set(threading.enumerate())
    asyncio.run(work())
    demand_ended(before)


def demand_ended(before: set[threading.Thread]) -> None:
    """Every thread that began since then ends by itself: none goes on reading."""
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(60.0)
    assert not [t.name for t in left if t.is_alive()]


def _until_dripping(tenant: LocalTenant) -> None:
    deadline = time.monotonic() + 60
    while len(tenant.requests("wsman")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    hang_up()  # this thread's connection
