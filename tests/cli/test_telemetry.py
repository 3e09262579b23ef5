"""OpenTelemetry: what a collector gets of a run, by the real exporter, and what it never gets."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from provisioner import engine
from provisioner.cli.tally import Tally
from provisioner.cli.telemetry import begin, wanted
from provisioner.diagnostics import NotFound, Throttled
from provisioner.model import Action, Address, Answer, Change, Cmdlet, DnsQuery, GraphRequest, Secret
from provisioner.tenant.correlation import request_id
from tests.cli.shop import Shop, open_shop

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = f"00-{TRACE}-{PARENT}-01"


@dataclass
class Collector:
    """What was received, decoded: spans as dictionaries, and metrics by name."""

    address: str
    bodies: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def spans(self) -> list[dict[str, Any]]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        found = []
        for path, body in self.bodies:
            if path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    service = _attributes(resource.resource.attributes)
                    for scope in resource.scope_spans:
                        found += [_span(span, service) for span in scope.spans]
        return found

    @property
    def run(self) -> dict[str, Any]:
        (span,) = [s for s in self.spans if s["name"].startswith("provisioner ")]
        return span

    @property
    def metrics(self) -> dict[str, float]:
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        found: dict[str, float] = {}
        for path, body in self.bodies:
            if path == "/v1/metrics":
                for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    for scope in resource.scope_metrics:
                        for metric in scope.metrics:
                            found[metric.name] = sum(p.as_int or p.as_double for p in metric.sum.data_points)
        return found


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def _span(span: Any, service: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": span.name,
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "error": span.status.code == 2,
        "words": span.status.message,
        "events": [(e.name, _attributes(e.attributes)) for e in span.events],
        "service": service,
        **_attributes(span.attributes),
    }


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as here:
        yield here


PLAN = "smtp_auth: { mailboxes: { a@contoso.com: enabled } }\n"


def applied(shop: Shop, collector: Collector, *options: str, code: int = 0, **environment: str) -> str:
    shop.reset()
    place = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.address, **environment}
    done = shop.run("--profile", "sandbox", *options, "apply", shop.write(PLAN), "--auto-approve", **place)
    assert done.returncode == code, done.stderr
    return done.stderr


# --- a run -----------------------------------------------------------------------------------------------------------


def test_a_run_is_a_span_and_each_request_one_below_it(shop: Shop, collector: Collector) -> None:
    applied(shop, collector, "--log-file", "run.log", "--log-format", "json", TRACEPARENT=CALLER)
    run, requests = collector.run, [s for s in collector.spans if s["parent"] != PARENT]
    assert (run["name"], run["trace"], run["parent"]) == ("provisioner apply", TRACE, PARENT)
    assert (run["process.exit.code"], run["error"], run["service"]["service.name"]) == (0, False, "provisioner")
    assert {(s["trace"], s["parent"]) for s in requests} == {(TRACE, run["id"])}
    records = [json.loads(line) for line in (shop.folder / "run.log").read_text().splitlines()]
    (shop.folder / "run.log").unlink()
    assert (
        len(requests)
        == sum(r["kind"] == "request" for r in records)
        == collector.metrics["provisioner.client.requests"]
    )
    assert {(r["run"], r["trace"]) for r in records} == {(run["provisioner.run"], TRACE)}
    (write,) = [s for s in requests if s["name"] == "Set-CASMailbox"]
    assert write["provisioner.address"] == 'smtp_auth["a@contoso.com"]'
    assert (write["http.request.method"], write["server.address"]) == ("POST", "127.0.0.1")
    assert (write["provisioner.outcome"], write["http.response.status_code"]) == ("ok", 200)
    reads = [s for s in requests if s["name"].startswith("Get-")]
    assert {(s["http.response.status_code"], s["http.request.method"]) for s in reads} == {(200, "POST")}
    from opentelemetry import trace

    # kiota and azure-core write spans too, with whole addresses, once a provider is the process's own
    assert type(trace.get_tracer_provider()).__name__ == "ProxyTracerProvider"
    assert not [s for s in requests if "url.full" in s or "http.url" in s or "url.uri_template" in s]
    graph = next(s for s in requests if s["name"] == "GET /organization")
    assert (graph["http.request.method"], graph["http.response.status_code"]) == ("GET", 200)


def test_the_journal_and_the_service_know_the_run_by_the_same_id(shop: Shop, collector: Collector) -> None:
    since = shop.tenant.seen()
    applied(shop, collector)
    (file,) = (shop.folder / "state").glob("*/journal.jsonl")
    run = collector.run["provisioner.run"]
    assert json.loads(file.read_text().splitlines()[-1])["run"] == run
    ids = [r["client_request_id"] for front in ("exchange", "graph") for r in shop.tenant.requests(front, since)]
    assert len(set(ids)) == len(ids) >= 4
    assert {i.replace("-", "")[:12] for i in ids} == {run}


def test_throttling_is_counted_everywhere(shop: Shop, collector: Collector) -> None:
    shop.reset()
    shop.fault("Set-CASMailbox", {"status": 429, "headers": {"Retry-After": "3"}}, times=2)
    place = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.address}
    options = ("--profile", "sandbox", "-v", "--log-file", "run.log", "--log-format", "json")
    done = shop.run(*options, "apply", shop.write(PLAN), "--auto-approve", **place)
    shop.release()
    assert done.returncode == 0, done.stderr
    last = json.loads((shop.folder / "run.log").read_text().splitlines()[-1])
    (shop.folder / "run.log").unlink()
    assert (last["kind"], last["exit_code"], last["retries"], last["throttled"]) == ("end", 0, 2, 2)
    assert last["waited_s"] == 6.0
    metrics = {name.rpartition(".")[2]: value for name, value in collector.metrics.items()}
    assert metrics == {"requests": last["requests"], "retries": 2, "throttled": 2, "slowdowns": 2, "waited": 6.0}
    assert f"{last['requests']} requests, 0 failed, 2 retries (2 throttled), 6 s waited" in done.stderr
    (write,) = [s for s in collector.spans if s["name"] == "Set-CASMailbox"]
    assert write["http.request.resend_count"] == 2
    assert write["events"] == [("retry", {"error.type": "throttled", "provisioner.waits_s": 3.0})] * 2


def test_a_run_that_fails_is_an_error(shop: Shop, collector: Collector) -> None:
    place = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.address}
    assert shop.run("validate", "nowhere.yaml", **place).returncode == 3
    assert (collector.run["error"], collector.run["process.exit.code"]) == (True, 3)


# --- what is never sent ----------------------------------------------------------------------------------------------

CANARY = "canary"
SET = Cmdlet("Set-InboundConnector", {"Identity": CANARY, "Comment": CANARY, "Password": Secret(f"env:{CANARY}")})
USER = GraphRequest("GET", f"/users/{CANARY}@x.com?$filter=mail eq '{CANARY}'")
MX = DnsQuery("contoso.com", "MX")
CHANGE = Change(Address("dkim", "contoso.com"), Action.UPDATE, None, None)


def test_no_parameter_filter_answer_or_environment_reaches_the_collector(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
    monkeypatch.setenv("PROVISIONER_CREDENTIAL__SECRET", CANARY)
    monkeypatch.setattr(sys, "argv", ["provisioner", CANARY])
    telemetry = begin("apply", "0123456789ab", lambda _: None)
    assert telemetry is not None
    slow = Throttled(CANARY, CANARY, CANARY, 429, "r-1", CANARY)
    for event in (
        engine.LockAwaited(CANARY),
        engine.SlowedDown("Exchange", 4, 19.41, 1.0),
        engine.Sending(CHANGE, 0, SET),
        engine.Requested(SET),
        engine.Retrying(SET, 4.2, slow),
        engine.Responded(SET, slow, 0.5),
        engine.Requested(USER),
        engine.Responded(USER, NotFound(CANARY, CANARY, CANARY, 404, "r-2"), 0.5),
        engine.Requested(MX),
        engine.Responded(MX, Answer(({"value": CANARY},), (CANARY,)), 0.5),
        engine.HeldBack(CHANGE, (CANARY,)),
        engine.Requested(USER),
    ):
        telemetry.observe(event)
    telemetry.end(8)
    assert CANARY not in b"".join(body for _, body in collector.bodies).decode("utf-8", "replace").lower()
    spans = {s["name"]: s for s in collector.spans}
    assert spans["Set-InboundConnector"]["http.response.status_code"] == 429
    assert (spans["Set-InboundConnector"]["error.type"], spans["Set-InboundConnector"]["error"]) == ("throttled", True)
    assert spans["Set-InboundConnector"]["provisioner.address"] == 'dkim["contoso.com"]'
    assert spans["contoso.com MX"]["provisioner.outcome"] == "ok"
    asked = [s for s in collector.spans if s["name"] == "GET /users/…"]
    assert sorted((s["error"], s.get("error.type", "")) for s in asked) == [(False, "not_found"), (True, "")]
    assert {s["words"] for s in collector.spans} == {""}


# --- the standard variables ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "is_wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a=b"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "no"}, True),
    ],
)
def test_it_is_on_where_a_collector_is_named(environment: dict[str, str], is_wanted: bool) -> None:
    assert wanted(environment) is is_wanted


def test_the_name_of_the_service_is_the_users(shop: Shop, collector: Collector) -> None:
    place = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.address, "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=x"}
    assert shop.run("validate", shop.write(PLAN), OTEL_SERVICE_NAME="mail", **place).returncode == 0
    service = collector.run["service"]
    assert (service["service.name"], service["deployment.environment"]) == ("mail", "x")


def test_one_signal_can_be_left_out(shop: Shop, collector: Collector) -> None:
    applied(shop, collector, OTEL_TRACES_EXPORTER="none")
    assert {path for path, _ in collector.bodies} == {"/v1/metrics"}
    collector.bodies.clear()
    applied(shop, collector, OTEL_METRICS_EXPORTER="none")
    assert {path for path, _ in collector.bodies} == {"/v1/traces"}


def test_what_the_caller_does_not_sample_is_not_sent(shop: Shop, collector: Collector) -> None:
    applied(shop, collector, TRACEPARENT=CALLER[:-1] + "0")
    assert collector.spans == []


def test_what_cannot_be_had_is_one_note_and_nothing_else(shop: Shop, collector: Collector) -> None:
    for environment, note in (
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is grpc: no spans are sent"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "-1"}, "OpenTelemetry cannot be set up, and no spans are sent"),
    ):
        place = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.address, **environment}
        done = shop.run("validate", shop.write(PLAN), **place)
        assert (done.returncode, done.stderr.count(note), done.stderr.count("\n")) == (0, 1, 1), done.stderr
    assert collector.bodies == []


def test_without_the_extra_a_note_names_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    monkeypatch.setitem(sys.modules, name, None)
    done = shop.run("validate", shop.write(PLAN), OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 0
    assert done.stderr.count("exchange-provisioner[otel]") == 1
    assert len(done.stderr.splitlines()) == 1


def test_a_collector_that_is_not_there_is_told_and_changes_no_exit_code(shop: Shop) -> None:
    place = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "0.01"}
    done = shop.run("validate", shop.write(PLAN), **place)
    assert (done.returncode, "did not take the spans" in done.stderr) == (0, True)


# --- counting and ids ------------------------------------------------------------------------------------------------


def test_what_is_counted() -> None:
    tally = Tally()
    for event in (
        engine.Responded(MX, Answer(), 0.1),
        engine.Responded(MX, NotFound("", ""), 0.1),
        engine.Retrying(MX, 2.0, Throttled("", "")),
        engine.Retrying(MX, 1.5, NotFound("", "")),
    ):
        tally.observe(event)
    assert tally == Tally(requests=2, failed=1, retries=2, throttled=1, waited_s=3.5)
    assert str(tally) == "2 requests, 1 failed, 2 retries (1 throttled), 4 s waited"
    assert str(Tally(1)) == "1 requests, 0 failed"


def test_ids_of_requests_begin_with_the_run_and_differ() -> None:
    ids = {request_id("0123456789ab") for _ in range(50)}
    assert len(ids) == 50
    assert {(i[:13], i[14], len(i)) for i in ids} == {("01234567-89ab", "4", 36)}
    assert request_id("not hex")[:8] != request_id("not hex")[:8]
