"""A run as OpenTelemetry: a span for the run, one below it for each request, and counters. Sent by OTLP over HTTP.

Loaded only where the environment names a collector (`wanted`). The SDK reads the standard variables itself: where to,
headers, sampling, service name, what to leave out. Our providers are not made the process's own: libraries that write
spans too (kiota, azure-core) put addresses and filters into them. What is asked is told as in the log: never a
parameter, a filter or the text of an answer.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from provisioner import __version__
from provisioner.cli.log import asked, host_of
from provisioner.diagnostics import NotFound, TenantError, Throttled
from provisioner.engine import Event, HeldBack, LockAwaited, Requested, Responded, Retrying, Sending, SlowedDown
from provisioner.extras import installation
from provisioner.model import AnyRequest, Cmdlet, GraphRequest, PolicyQuery

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import Span, TracerProvider

_ENDPOINTS = tuple(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT" for signal in ("", "TRACES_", "METRICS_"))
_PATIENCE_S = 3
"""For the collector, where OTEL_EXPORTER_OTLP_TIMEOUT does not say how long: a run does not wait longer for it."""

_NAME = "provisioner"


def begin(command: str, run: str, note: Callable[[str], None]) -> Telemetry | None:
    """The span of a run, where the environment asks for one; a note where it asks for what cannot be had."""
    if not wanted():
        return None
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip() or "http/protobuf"
    if protocol != "http/protobuf":
        note(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}: no spans are sent, write http/protobuf")
        return None
    try:
        return Telemetry(command, run, note)
    except ModuleNotFoundError:
        what = "OTEL_EXPORTER_OTLP_ENDPOINT is set, and the extra [otel] is not installed: no spans are sent."
        note(f"{what} To send them: {installation('otel')}")
    except ValueError as error:  # a variable that is not a number
        note(f"OpenTelemetry cannot be set up, and no spans are sent: {error}")
    return None


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment names a collector and does not switch the SDK off (OpenTelemetry, SDK environment)."""
    off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not off and any(environment.get(name) for name in _ENDPOINTS)


class Telemetry:
    """An observer. `hosts` gives whom a kind of request asks; `over_http`: a cmdlet is one request of HTTP.

    Raises ModuleNotFoundError where the extra is not installed.
    """

    def __init__(self, command: str, run: str, note: Callable[[str], None]) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.hosts: Mapping[str, str] = {}
        self.over_http = True
        self._client = SpanKind.CLIENT
        self._note, self._failed = note, list[str]()
        self._traces, self._metrics = _providers(self._failed)
        self._tracer = self._traces.get_tracer(_NAME, __version__)
        caller = {name.lower(): os.environ[name] for name in ("TRACEPARENT", "TRACESTATE") if os.environ.get(name)}
        facts = {"provisioner.command": command, "provisioner.run": run}
        context = TraceContextTextMapPropagator().extract(caller)
        self._run = self._tracer.start_span(f"provisioner {command}", context, attributes=facts)
        self._open: dict[int, Any] = {}
        self._addresses: dict[int, str] = {}
        self._retries: dict[int, int] = {}
        meter = self._metrics.get_meter(_NAME, __version__)
        self._counts = {
            name: meter.create_counter(f"provisioner.client.{name}", unit, description)
            for name, unit, description in (
                ("requests", "{request}", "Requests that were answered, or failed."),
                ("retries", "{retry}", "Waits before a request was sent again."),
                ("throttled", "{retry}", "Waits that the service asked for."),
                ("slowdowns", "{slowdown}", "Times that a service made the run slower."),
                ("waited", "s", "Time waited before requests were sent again."),
            )
        }

    @property
    def trace(self) -> str:
        """The id of the trace, which the log names too."""
        return f"{self._run.get_span_context().trace_id:032x}"

    def observe(self, event: Event) -> None:
        match event:
            case Sending(change, _, request):
                self._addresses[id(request)] = str(change.address)
            case Requested(request):
                self._begin(request)
            case Retrying(request, seconds, error):
                self._again(request, seconds, error)
            case Responded(request, answer, _):
                self._answered(request, answer)
            case SlowedDown(service, at_once, per_s, _):
                rate = {} if per_s is None else {"provisioner.per_s": round(per_s, 1)}
                self._run.add_event(
                    "slowed down", {"provisioner.service": service, "provisioner.at_once": at_once, **rate}
                )
                self._counts["slowdowns"].add(1, {"provisioner.service": service})
            case LockAwaited():
                self._run.add_event("lock awaited")
            case HeldBack(change, _):
                self._run.add_event("held back", {"provisioner.address": str(change.address)})

    def _begin(self, request: AnyRequest) -> None:
        from opentelemetry.trace import set_span_in_context

        facts = self._facts(request)
        if address := self._addresses.pop(id(request), ""):
            facts["provisioner.address"] = address
        context = set_span_in_context(self._run)
        self._open[id(request)] = self._tracer.start_span(_title(request), context, self._client, facts)

    def _facts(self, request: AnyRequest) -> dict[str, Any]:
        """Attributes by the semantic conventions for HTTP clients, and ours."""
        facts = {f"provisioner.{name}": value for name, value in asked(request).items() if name != "method"}
        if host := host_of(request, self.hosts):
            facts["server.address"] = host
        if isinstance(request, GraphRequest):
            facts["http.request.method"] = request.method
        elif isinstance(request, PolicyQuery):
            facts["http.request.method"] = "GET"
        elif isinstance(request, Cmdlet) and self.over_http:
            facts["http.request.method"] = "POST"
        return facts

    def _again(self, request: AnyRequest, seconds: float, error: TenantError) -> None:
        self._retries[id(request)] = self._retries.get(id(request), 0) + 1
        facts = {"error.type": error.kind}
        self._counts["retries"].add(1, facts)
        if isinstance(error, Throttled):
            self._counts["throttled"].add(1)
        self._counts["waited"].add(seconds, facts)
        if span := self._open.get(id(request)):
            span.add_event("retry", {**facts, "provisioner.waits_s": round(seconds, 3)})

    def _answered(self, request: AnyRequest, answer: Any) -> None:
        outcome, retries = "ok", self._retries.pop(id(request), 0)
        span: Span | None = self._open.pop(id(request), None)
        if isinstance(answer, TenantError):
            outcome = answer.kind
        self._counts["requests"].add(1, {"provisioner.outcome": outcome})
        if span is None:
            return
        facts: dict[str, Any] = {"provisioner.outcome": outcome}
        facts |= {"http.request.resend_count": retries} if retries else {}
        if status := self._status(request, answer):
            facts["http.response.status_code"] = status
        if isinstance(answer, TenantError):
            facts["error.type"] = answer.kind
            facts |= {"provisioner.request_id": answer.request_id} if answer.request_id else {}
            if not isinstance(answer, NotFound):
                _fail(span)
        else:
            facts |= {"provisioner.request_id": answer.request_ids[0]} if any(answer.request_ids[:1]) else {}
        span.set_attributes(facts)
        span.end()

    def _status(self, request: AnyRequest, answer: Any) -> int | None:
        """The status of HTTP, where it is known. What was read in a batch, or through Graph, was answered by 200."""
        if answer.status is not None or isinstance(answer, TenantError):
            return cast("int | None", answer.status)
        over_http = isinstance(request, GraphRequest) or (isinstance(request, Cmdlet) and self.over_http)
        return 200 if over_http and request.reads else None

    def end(self, code: int) -> None:
        """End the spans and send what is left. A collector that does not answer is waited for a few seconds."""
        for span in self._open.values():  # interrupted
            _fail(span)
            span.end()
        self._run.set_attribute("process.exit.code", code)
        if code not in {0, 2}:
            _fail(self._run)
        self._run.end()
        with contextlib.suppress(KeyboardInterrupt):
            self._traces.shutdown()
            self._metrics.shutdown(timeout_millis=_PATIENCE_S * 1000)
        if self._failed:
            self._note(f"The collector of OpenTelemetry did not take the {' and '.join(dict.fromkeys(self._failed))}.")


def _providers(failed: list[str]) -> tuple[TracerProvider, MeterProvider]:
    """With exporters to the collector, unless OTEL_TRACES_EXPORTER or OTEL_METRICS_EXPORTER says `none`.

    `failed` is told what the collector did not take.
    """
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

    class Spans(OTLPSpanExporter):
        def export(self, *arguments: Any, **options: Any) -> SpanExportResult:
            result = super().export(*arguments, **options)
            if result is not SpanExportResult.SUCCESS:
                failed.append("spans")
            return result

    class Metrics(OTLPMetricExporter):
        def export(self, *arguments: Any, **options: Any) -> MetricExportResult:
            result = super().export(*arguments, **options)
            if result is not MetricExportResult.SUCCESS:
                failed.append("metrics")
            return result

    resource = Resource.create({"service.version": __version__})
    if not os.environ.get("OTEL_SERVICE_NAME") and "service.name" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        resource = resource.merge(Resource({"service.name": _NAME}))
    traces = TracerProvider(resource=resource, shutdown_on_exit=False)
    if _sends("TRACES"):
        traces.add_span_processor(BatchSpanProcessor(Spans(timeout=_timeout("TRACES"))))
    readers = [PeriodicExportingMetricReader(Metrics(timeout=_timeout("METRICS")))] if _sends("METRICS") else []
    return traces, MeterProvider(readers, resource, shutdown_on_exit=False)


def _sends(signal: str) -> bool:
    named = any(os.environ.get(f"OTEL_EXPORTER_OTLP_{s}ENDPOINT") for s in ("", f"{signal}_"))
    return named and os.environ.get(f"OTEL_{signal}_EXPORTER", "otlp").strip().lower() != "none"


def _timeout(signal: str) -> float | None:
    """None where the environment says it."""
    said = any(os.environ.get(f"OTEL_EXPORTER_OTLP_{s}TIMEOUT") for s in ("", f"{signal}_"))
    return None if said else _PATIENCE_S


def _title(request: AnyRequest) -> str:
    facts = asked(request)
    return facts.get("cmdlet") or " ".join(facts.values())


def _fail(span: Any) -> None:
    """An error, without its text: that is the service's, and may quote what was sent."""
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR))
