"""`/healthz` (the process lives), `/readyz` (its database and bus answer), `/metrics` (Prometheus), on a port of their own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.exchange import ReadFirst
from shared.telemetry import exposition

Check = Callable[[], Awaitable[None]]
"""Raises where something is not ready."""

HEAD_MOST = 64 * 1024
"""Of a request, in bytes: its first line and its headers."""
KEPT_S = 120
"""Idle connections are kept for longer than proxies keep theirs (Traefik: 90 s): whoever closes first loses the request that the
other has just sent. A busy process closes those that only seem idle, whose requests it has not read yet."""


def health_app(checks: Mapping[str, Check]) -> Starlette:
    """The health pages; `checks` may grow afterwards."""

    async def alive(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_request: Request) -> Response:
        now = dict(checks)  # More may be added while these are asked.
        found = dict(zip(now, await asyncio.gather(*(_say(check) for check in now.values())), strict=True))
        good = all(said == "ok" for said in found.values())
        return JSONResponse({"status": "ok" if good else "not ready", "checks": found}, status_code=200 if good else 503)

    async def metrics(_request: Request) -> Response:
        return Response(await exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return Starlette(routes=[Route("/healthz", alive), Route("/readyz", ready), Route("/metrics", metrics)])


async def _say(check: Check) -> str:
    try:
        async with asyncio.timeout(3):
            await check()
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is what readiness is to tell
        return str(error) or type(error).__name__
    return "ok"


@asynccontextmanager
async def serve(app: ASGIApp, host: str, port: int, *, proxied: bool = True) -> AsyncIterator[int]:
    """Serves an ASGI application in this event loop, without touching signal handlers; yields the port.

    `proxied`: what a proxy on this machine says of the client's address and scheme is taken over.
    """
    config = uvicorn.Config(
        ReadFirst(app),
        host=host,
        port=port,
        http=_Http,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=KEPT_S,
        timeout_graceful_shutdown=4,
        server_header=False,
        proxy_headers=proxied,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            if task.done():
                await task
                raise OSError(f"could not listen on {host}:{port}")
            await asyncio.sleep(0.005)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


class _Http(HttpToolsProtocol):
    """uvicorn's on a parser in C, which takes a head of any size: this one does not. The other parser costs more than a delivery does."""

    _head = 0
    """Bytes of a head that is not complete yet."""
    _in_head = False

    def on_message_begin(self) -> None:
        """A request."""
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """A part of one."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > HEAD_MOST and not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process has handlers of its own."""
        yield


@asynccontextmanager
async def serve_health(port: int, checks: Mapping[str, Check]) -> AsyncIterator[int]:
    """Serves the health pages on 127.0.0.1; yields the port (0 asks for a free one)."""
    async with serve(health_app(checks), "127.0.0.1", port) as bound:
        yield bound
