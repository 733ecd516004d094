"""Traces and metrics. A deployment is one trace: `traceparent` travels in message headers and in the outbox."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context, propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind
from prometheus_client import Counter, Histogram

tracer = trace.get_tracer("slipway")

HANDLED = Counter("slipway_messages_handled_total", "Messages handled", ["durable", "outcome"])
REDELIVERED = Counter("slipway_messages_redelivered_total", "Messages that came again", ["durable"])
DEAD = Counter("slipway_dead_letters_total", "Messages given up", ["durable"])
HANDLING_SECONDS = Histogram("slipway_handling_seconds", "Time to handle a batch or a command", ["durable"])


def configure(service: str, instance: str, endpoint: str | None) -> TracerProvider:
    """Sets up tracing for this process; call after the fork. Without an endpoint spans are made (their ids travel) but not sent."""
    provider = TracerProvider(resource=Resource.create({"service.name": f"slipway-{service}", "service.instance.id": instance}))
    if endpoint:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    trace.set_tracer_provider(provider)
    return provider


def trace_headers() -> dict[str, str]:
    """The current trace as message headers."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


@contextmanager
def span(name: str, headers: Mapping[str, str] | None = None, kind: SpanKind = SpanKind.CONSUMER, **attributes: str) -> Iterator[Span]:
    """A span that goes on with the trace in the headers of a received message."""
    token = context.attach(propagate.extract(dict(headers or {})))
    try:
        with tracer.start_as_current_span(name, kind=kind, attributes=attributes) as current:
            yield current
    finally:
        context.detach(token)
