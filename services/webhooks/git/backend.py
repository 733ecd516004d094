"""`git http-backend` (CGI) fed from ASGI chunk by chunk: a push of any size passes through, never held in memory."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from subprocess import PIPE

import structlog
from starlette.types import Receive, Scope, Send

from shared.subprocesses import Program, memory_limit, spawn

log = structlog.get_logger()

CHUNK = 64 * 1024
HEADERS_LIMIT = 32 * 1024
MEMORY = memory_limit(2 * 2**30)
"""Of each git, in bytes: a few bytes of a push can stand for as many of an object as their author likes."""


@dataclass(frozen=True)
class Call:
    """One request to git: the path below the root, the query, the environment, and what to do when the client leaves.

    The query is ours: the client's own might mean another service to git than to whoever checked it.
    """

    path: str
    query: str
    environment: Mapping[str, str]
    left: Callable[[], None]


async def serve(call: Call, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers the request with what git says. A client that leaves stops nothing: what it has sent completely is carried out."""
    env = {**call.environment, **_cgi(call, scope)}
    process = await spawn("git", "http-backend", env=env, stdin=PIPE, limit=CHUNK, limits={"data": MEMORY})
    fed = asyncio.Event()
    feeder = asyncio.create_task(_feed(process, receive, call.left, fed))
    complaints = asyncio.create_task(_complaints(process))
    try:
        await _answer(process, send, fed)
        await process.wait()
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, complaints, return_exceptions=True)
        if process.returncode is not None:
            process.close()


def _cgi(call: Call, scope: Scope) -> dict[str, str]:
    """Without CONTENT_LENGTH: where a body ends early, git would read on for ever with all of a processor. Its end says enough."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    wanted = {
        "CONTENT_TYPE": "content-type",
        "HTTP_CONTENT_ENCODING": "content-encoding",
        "HTTP_ACCEPT_ENCODING": "accept-encoding",
        "HTTP_USER_AGENT": "user-agent",
        "GIT_PROTOCOL": "git-protocol",
    }
    given = {variable: headers[name] for variable, name in wanted.items() if name in headers}
    return {
        "GIT_HTTP_EXPORT_ALL": "1",
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": call.path,
        "QUERY_STRING": call.query,
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        **given,
    }


async def _feed(process: Program, receive: Receive, left: Callable[[], None], fed: asyncio.Event) -> None:
    """The request's body into git; then waits for the client to leave."""
    assert process.stdin is not None, "it was opened as a pipe"
    more = True
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            process.stdin.close()
            fed.set()
            left()
            return
        if not more:
            continue
        with suppress(BrokenPipeError, ConnectionResetError):  # git has heard enough; its answer says why
            if not process.stdin.is_closing():
                process.stdin.write(message.get("body", b""))
                await process.stdin.drain()
        more = message.get("more_body", False)
        if not more:
            process.stdin.close()
            fed.set()


async def _answer(process: Program, send: Send, fed: asyncio.Event) -> None:
    """What git says, from when it says more than its head: that it writes before it has heard anything, and the answer may begin only
    once a proxy has noticed the request's end (see `ReadFirst`), which on a busy machine takes longer than the pause that is made for it.
    """
    assert process.stdout is not None, "it was opened as a pipe"
    try:
        head = await process.stdout.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        await fed.wait()
        await send({"type": "http.response.start", "status": 500, "headers": [(b"content-type", b"text/plain; charset=utf-8")]})
        await send({"type": "http.response.body", "body": b"git did not answer; see the log of webhooks.\n"})
        return
    status, headers = _head(head)
    await fed.wait()
    chunk = await process.stdout.read(CHUNK)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    while chunk:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        chunk = await process.stdout.read(CHUNK)
    await send({"type": "http.response.body", "body": b""})


def _head(head: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    """CGI's head (RFC 3875): `Status` is the status, the rest are headers."""
    status, headers = 200, []
    for line in head.strip().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        else:
            headers.append((name.strip().lower(), value.strip()))
    return status, headers


async def _complaints(process: Program) -> None:
    """What git says on its standard error, for the operator."""
    assert process.stderr is not None, "it was opened as a pipe"
    while line := await process.stderr.readline():
        log.warning("git http-backend", said=line.decode(errors="replace").rstrip()[:500])
