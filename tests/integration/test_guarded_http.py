"""Calls to addresses that users give, over a real connection."""

import gzip
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.guarded_http import READ_BYTES, Failed, guarded_client
from shared.guarded_http import Response as Answer
from shared.health import serve
from shared.outbound import Reach

Respond = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def asked(respond: Respond) -> AsyncIterator[Callable[[], Awaitable[Answer]]]:
    """What the client makes of this answer."""
    app = Starlette(routes=[Route("/", respond)])
    async with serve(app, "127.0.0.1", 0) as port, guarded_client(Reach("Set IT", ("127.0.0.1",))) as client:
        yield lambda: client.send("GET", f"http://127.0.0.1:{port}/", {})


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip", "identity, gzip", "br", "deflate"])
async def test_a_compressed_answer_is_none(coding: str) -> None:
    """A few bytes of it could become any number: it is not unpacked, whether it could be or not."""
    packed = gzip.compress(bytes(16 * READ_BYTES))

    async def respond(_request: Request) -> Response:
        return Response(packed, headers={"Content-Encoding": coding})

    async with asked(respond) as ask:
        tracemalloc.start()
        try:
            with pytest.raises(Failed, match=rf"127\.0\.0\.1 answered in the coding '{coding}', which was not asked for"):
                await ask()
            assert tracemalloc.get_traced_memory()[1] < READ_BYTES
        finally:
            tracemalloc.stop()


async def test_it_is_asked_for_as_it_is() -> None:
    """What says that it is, or says so of nothing, is an answer."""
    accepted: list[str] = []

    async def respond(request: Request) -> Response:
        accepted.append(request.headers["accept-encoding"])
        return Response(b"plain", headers={"Content-Encoding": "Identity"})

    async def nothing(_request: Request) -> Response:
        return Response(status_code=304, headers={"Content-Encoding": "gzip"})

    async with asked(respond) as ask:
        assert (await ask()).body == b"plain"
    assert accepted == ["identity"]
    async with asked(nothing) as ask:
        assert (await ask()).status == 304


async def test_of_a_long_answer_the_beginning_is_read() -> None:
    """However long it is."""

    async def respond(_request: Request) -> Response:
        return Response(b"x" * READ_BYTES * 3)

    async with asked(respond) as ask:
        assert (await ask()).body == b"x" * READ_BYTES
