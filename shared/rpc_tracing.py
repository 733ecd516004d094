"""The trace of a gRPC call: the caller's span goes on in the service that it calls, as W3C `traceparent` in the metadata.

Own and short, because OpenTelemetry's instrumentation is a pre-release. A call that belongs to no trace begins none: reading leaves none.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio
from opentelemetry.trace import Span, SpanKind, StatusCode

from shared.telemetry import span, trace_headers, trace_id, well_formed

if TYPE_CHECKING:  # the stubs are generic, the classes are not
    _ClientInterceptor = aio.UnaryUnaryClientInterceptor[Any, Any]
    _ServerInterceptor = aio.ServerInterceptor[Any, Any]
else:
    _ClientInterceptor, _ServerInterceptor = aio.UnaryUnaryClientInterceptor, aio.ServerInterceptor

TRACEPARENT = "traceparent"
_FAULTS = frozenset({
    grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS,
})  # fmt: skip
"""Codes that are errors of a server's span (OpenTelemetry, Semantic Conventions for gRPC); others are the caller's own doing."""
Method = Callable[[Any, Any], Awaitable[Any]]


class Calling(_ClientInterceptor):
    """Sends the current trace with each call, within a span of its own."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[[aio.ClientCallDetails, Any], Awaitable["aio.UnaryUnaryCall[Any, Any]"]],
        client_call_details: aio.ClientCallDetails,
        request: Any,
    ) -> "aio.UnaryUnaryCall[Any, Any]":
        """Calls, and notes how it ended."""
        if trace_id() is None:
            return await continuation(client_call_details, request)
        with _span(client_call_details.method, None, SpanKind.CLIENT) as current:
            metadata = aio.Metadata(*(client_call_details.metadata or ()), *trace_headers().items())
            details = aio.ClientCallDetails(
                client_call_details.method,
                client_call_details.timeout,
                metadata,
                client_call_details.credentials,
                client_call_details.wait_for_ready,
            )
            call = await continuation(details, request)
            code = await call.code()
            _note(current, code, failed=code is not grpc.StatusCode.OK)
            return call


class Serving(_ServerInterceptor):
    """Answers calls within a span that goes on with their trace."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any]"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        """The method, or the method within a span."""
        found = await continuation(handler_call_details)
        metadata = dict(handler_call_details.invocation_metadata or ())
        parent = well_formed(str(metadata.get(TRACEPARENT, "")))
        if parent is None or found is None or found.unary_unary is None:
            return found
        within = _within(found.unary_unary, handler_call_details.method, parent)
        return grpc.unary_unary_rpc_method_handler(
            within, request_deserializer=found.request_deserializer, response_serializer=found.response_serializer
        )


def _within(method: Method, name: str, parent: str) -> Method:
    async def answer(request: Any, context: "aio.ServicerContext[Any, Any]") -> Any:
        with _span(name, {TRACEPARENT: parent}, SpanKind.SERVER) as current:
            try:
                answered = await method(request, context)
            except aio.AbortError as refusal:
                _note(current, context.code(), failed=context.code() in _FAULTS)
                refused = refusal
            else:
                _note(current, grpc.StatusCode.OK, failed=False)
                return answered
        raise refused

    return answer


def _span(method: str | bytes, headers: dict[str, str] | None, kind: SpanKind) -> Any:
    name = method.decode() if isinstance(method, bytes) else method
    service, _, called = name.lstrip("/").partition("/")
    return span(f"{service}/{called}", headers, kind, **{"rpc.system": "grpc", "rpc.service": service, "rpc.method": called})


def _note(current: Span, code: grpc.StatusCode, *, failed: bool) -> None:
    current.set_attribute("rpc.grpc.status_code", code.value[0])
    if failed:
        current.set_status(StatusCode.ERROR, code.name)
