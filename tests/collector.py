"""An OpenTelemetry collector for tests: takes OTLP over HTTP (protobuf) and keeps the spans."""

import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import KeyValue


@dataclass(frozen=True)
class Seen:
    """One span as it came over the wire. Times are nanoseconds since 1970."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    begin: int
    end: int
    failed: bool
    attributes: dict[str, str | int]


@dataclass
class Collector:
    """What has come so far."""

    endpoint: str
    spans: list[Seen] = field(default_factory=list)

    def of(self, trace: str) -> list[Seen]:
        """The spans of a trace."""
        return [span for span in self.spans if span.trace == trace]

    def named(self, name: str) -> Seen:
        """The only span of a name."""
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, f"{name}: {len(found)} of {sorted(span.name for span in self.spans)}"
        return found[0]

    def having(self, attribute: str) -> list[Seen]:
        """The spans that have an attribute."""
        return [span for span in self.spans if attribute in span.attributes]

    def path(self, span: Seen) -> list[str]:
        """The names from the root of the trace down to a span."""
        by_id = {other.id: other for other in self.of(span.trace)}
        names = [span.name]
        while span.parent in by_id:
            span = by_id[span.parent]
            names.insert(0, span.name)
        return names


def assert_one_tree(spans: Sequence[Seen]) -> Seen:
    """The root: all spans are of one trace, no id comes twice, and every parent but the root's is there."""
    assert len({span.trace for span in spans}) == 1
    ids = [span.id for span in spans]
    assert len(ids) == len(set(ids)), "an id came twice"
    roots = [span for span in spans if span.parent not in ids]
    assert len(roots) == 1, [f"{span.service} {span.name}" for span in roots]
    return roots[0]


@contextmanager
def collector() -> Iterator[Collector]:
    """Listens on a free port until the end of the block."""
    spans: list[Seen] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces", self.path
            assert self.headers["Content-Type"] == "application/x-protobuf"
            spans.extend(_read(ExportTraceServiceRequest.FromString(body)))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is http.server's
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Collector(f"http://127.0.0.1:{server.server_address[1]}", spans)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _read(request: ExportTraceServiceRequest) -> Iterator[Seen]:
    for resource in request.resource_spans:
        service = _attributes(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    str(service), span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
                    span.start_time_unix_nano, span.end_time_unix_nano, span.status.code == span.status.STATUS_CODE_ERROR,
                    _attributes(span.attributes),
                )  # fmt: skip


def _attributes(values: Sequence[KeyValue]) -> dict[str, str | int]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in values}
