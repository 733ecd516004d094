"""A changing request begins a trace; what a deployment does because of it goes on with it. Reading leaves none."""

from opentelemetry.trace import SpanKind, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.telemetry import span

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Traced:
    """ASGI middleware. A trace that a caller claims to go on with is not believed: anybody may call."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers within a span that is named after the route."""
        if scope["type"] != "http" or scope["method"] in _READING:
            await self._app(scope, receive, send)
            return
        with span(scope["method"], {}, SpanKind.SERVER) as serving:
            serving.set_attribute("http.request.method", scope["method"])

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    serving.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        serving.set_status(StatusCode.ERROR)
                await send(message)

            try:
                await self._app(scope, receive, noting)
            finally:
                route = getattr(scope.get("route"), "path", None)
                if route:
                    serving.set_attribute("http.route", route)
                    serving.update_name(f"{scope['method']} {route}")
