"""The order of request and answer."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from services.webhooks.server import Application
from shared import exchange
from shared.exchange import DISCARDED_MOST, ReadFirst
from shared.problems import Problem


def parts(*bodies: bytes) -> Iterator[Message]:
    """A request's body, then word that the client has left."""
    for number, body in enumerate(bodies, start=1):
        yield {"type": "http.request", "body": body, "more_body": number < len(bodies)}
    while True:
        yield {"type": "http.disconnect"}


async def asked(application: Application, body: Iterator[Message]) -> list[str]:
    """What happens in which order: parts that are read, and the answer's."""
    order: list[str] = []

    async def receive() -> Message:
        message = next(body)
        order.append(f"read {len(message.get('body', b''))}")
        return message

    async def send(message: Message) -> None:
        order.append(message["type"].removeprefix("http.response."))

    await ReadFirst(application)(
        {"type": "http", "path": "/hooks/github", "method": "POST", "headers": [(b"content-length", b"30")]}, receive, send
    )
    return order


async def refuse(*_: Any) -> None:
    """Without a look at the body."""
    raise Problem(404, "unknown-connection", "No.")


async def remote(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Is not asked."""
    raise AssertionError


async def test_an_answer_waits_for_the_end_of_the_request() -> None:
    """Also where nobody wanted to read the body."""
    order = await asked(Application(refuse, remote), parts(b"a" * 10, b"b" * 20))
    assert order == ["read 10", "read 20", "start", "body"]


async def test_a_body_without_end_is_not_read_for_ever() -> None:
    """Beyond a limit the answer comes all the same."""
    most = DISCARDED_MOST // 2**20
    order = await asked(Application(refuse, remote), parts(*[b"x" * 2**20] * (most * 2)))
    assert order.index("start") == most + 1


async def test_a_body_that_stops_arriving_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops sending gets the answer all the same, and the connection comes free."""
    monkeypatch.setattr(exchange, "DISCARDING_MOST_S", 0.01)
    sent: list[str] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message["type"])

    scope = {"type": "http", "path": "/hooks/github", "method": "POST", "headers": [(b"content-length", b"30")]}
    async with asyncio.timeout(5):
        await ReadFirst(Application(refuse, remote))(scope, receive, send)
    assert sent == ["http.response.start", "http.response.body"]


async def test_a_request_without_a_body_is_answered_at_once() -> None:
    """Whoever streams an answer listens for the client's leaving meanwhile: nobody reads beside it."""
    sent: list[str] = []

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message["type"])

    async def streams(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})

    await ReadFirst(streams)({"type": "http", "headers": [(b"accept", b"text/event-stream")]}, receive, send)
    assert sent == ["http.response.start"]


@pytest.mark.parametrize("last", [b"", b"end"])
async def test_a_request_that_was_read_is_answered_at_once(last: bytes) -> None:
    """Nothing more is asked of the client."""

    async def read_and_refuse(_name: str, _scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive()).get("more_body", False):
            pass
        raise Problem(401, "bad-signature", "No.")

    assert await asked(Application(read_and_refuse, remote), parts(b"begin", last)) == ["read 5", f"read {len(last)}", "start", "body"]
