"""Traces and metrics. A deployment is one trace: `traceparent` travels in message headers and in the outbox.

Two kinds of spans: those of work that goes on here (`span`), and those of what outlives every process, a deployment and its
steps. The ids of the latter are worked out from the trace and their names, so that whoever sends a message can name the span
that it belongs to long before `record` tells of it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from random import getrandbits
from threading import Thread
from time import time_ns

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, set_span_in_context
from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics, generate_latest

disable_created_metrics()  # type: ignore[no-untyped-call]

HANDLED = Counter("slipway_messages_handled_total", "Messages handled", ["durable", "outcome"])
REDELIVERED = Counter("slipway_messages_redelivered_total", "Messages that came again", ["durable"])
DEAD = Counter("slipway_dead_letters_total", "Messages given up", ["durable"])
HANDLING_SECONDS = Histogram("slipway_handling_seconds", "Time to handle a batch or a command", ["durable"])
UNSENT = Gauge("slipway_outbox_unsent_messages", "Messages written and not yet published", ["schema"])
UNSENT_AGE = Gauge(
    "slipway_outbox_oldest_unsent_age_seconds", "Age of the oldest message not yet published, 0 where there is none", ["schema"]
)
PUBLISHED = Counter("slipway_outbox_published_total", "Messages that the relay published, sent again ones too", ["schema", "stream"])

EXPORT_S = 3.0
"""How long one export may take, tries included; a collector that is away must not keep a process from ending."""
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""`00-<trace id>-<span id>-<flags>` (W3C Trace Context)."""
_SPAN_AT, _FLAGS_AT = 36, 52
"""Where in it the span id begins and ends."""


@dataclass
class _Now:
    """This process's tracing. OpenTelemetry's own global can be set only once, and tests run several services in one process."""

    provider: TracerProvider
    processor: BatchSpanProcessor | None = None


_now = _Now(TracerProvider(shutdown_on_exit=False))
_SCOPE = InstrumentationScope("slipway")


Measure = Callable[[], Awaitable[None]]
_measures: list[Measure] = []


@contextmanager
def measured(measure: Measure) -> Iterator[None]:
    """Within the block `measure` is called before the metrics are told, to set gauges that cost something to know."""
    _measures.append(measure)
    try:
        yield
    finally:
        _measures.remove(measure)


async def exposition() -> bytes:
    """All metrics of this process, in Prometheus' text format."""
    await asyncio.gather(*(measure() for measure in tuple(_measures)))
    return generate_latest()


def configure(service: str, instance: str, endpoint: str | None) -> TracerProvider:
    """Sets up tracing for this process; call after the fork. Without an endpoint only ids are made, and travel."""
    resource = Resource.create({"service.name": f"slipway-{service}", "service.namespace": "slipway", "service.instance.id": instance})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    processor = None
    if endpoint:
        processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_S))
        provider.add_span_processor(processor)
    _now.provider, _now.processor = provider, processor
    return provider


def end(provider: TracerProvider, within_s: float) -> None:
    """Exports what waits. Several exports, where a collector takes none: it stays behind where that takes longer."""
    ending = Thread(target=provider.shutdown, daemon=True)
    ending.start()
    ending.join(within_s)


def exports() -> bool:
    """Whether anybody gets the spans: what is made only for `record` need not be made otherwise."""
    return _now.processor is not None


def trace_headers() -> dict[str, str]:
    """The current trace as message headers; none outside of any span."""
    text = _current()
    return {"traceparent": text} if text else {}


def traceparent() -> str:
    """The current span as W3C text; outside of any span, the beginning of a new trace."""
    return _current() or _text(_new())


def trace_id() -> str | None:
    """The current trace's id, for logs."""
    found = trace.get_current_span().get_span_context()
    return f"{found.trace_id:032x}" if found.is_valid else None


def named(parent: str, name: str) -> str:
    """The traceparent of a span that is known by its name within the trace of `parent`: always the same for the same name."""
    return f"{parent[:_SPAN_AT]}{blake2b(name.encode(), digest_size=8).hexdigest()}{parent[_FLAGS_AT:]}"


def well_formed(text: str | None) -> str | None:
    """A received traceparent, or None where it is none that this version can read."""
    return text if text and _TRACEPARENT.fullmatch(text) else None


@contextmanager
def span(name: str, headers: Mapping[str, str] | None = None, kind: SpanKind = SpanKind.CONSUMER, **attributes: str) -> Iterator[Span]:
    """A span that goes on with the trace in the headers of a received message, or begins one; without headers, with the current one."""
    if exports():
        with _now.provider.get_tracer(_SCOPE.name).start_as_current_span(name, _told(headers), kind=kind, attributes=attributes) as current:
            yield current
        return
    above = trace.get_current_span(_told(headers)).get_span_context()
    only_ids = NonRecordingSpan(_beneath(above) if above.is_valid else _new())
    token = context.attach(set_span_in_context(only_ids))
    try:
        yield only_ids
    finally:
        context.detach(token)


def _told(headers: Mapping[str, str] | None) -> context.Context | None:
    """What the headers of a message say of a trace; None stands for the current context."""
    if headers is None:
        return None
    text = well_formed(headers.get("traceparent"))
    return set_span_in_context(NonRecordingSpan(_context(text)), context.Context()) if text else context.Context()


def record(
    name: str,
    itself: str | None,
    parent: str,
    begin_ns: int,
    attributes: Mapping[str, str | int],
    *,
    end_ns: int | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    error: str = "",
) -> None:
    """Tells of a span that has ended. `itself` and `parent` are traceparents; None makes a new id. Nanoseconds since 1970."""
    if _now.processor is None:
        return
    above = _context(parent)
    own = _context(itself) if itself else _beneath(above)
    ended = ReadableSpan(
        name,
        instrumentation_scope=_SCOPE,
        context=own,
        parent=above,
        resource=_now.provider.resource,
        attributes=attributes,
        kind=kind,
        status=Status(StatusCode.ERROR, error) if error else Status(),
        start_time=begin_ns,
        end_time=end_ns or time_ns(),
    )
    _now.processor.on_end(ended)


def _new() -> SpanContext:
    """The beginning of a trace."""
    return SpanContext(getrandbits(128) or 1, getrandbits(64) or 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _beneath(above: SpanContext) -> SpanContext:
    """A new span of the same trace."""
    return SpanContext(above.trace_id, getrandbits(64) or 1, is_remote=False, trace_flags=above.trace_flags)


def _current() -> str | None:
    """The current span as W3C text."""
    found = trace.get_current_span().get_span_context()
    return _text(found) if found.is_valid else None


def _text(found: SpanContext) -> str:
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"


def _context(text: str) -> SpanContext:
    return SpanContext(int(text[3:35], 16), int(text[_SPAN_AT:_FLAGS_AT], 16), is_remote=True, trace_flags=TraceFlags(int(text[53:55], 16)))
