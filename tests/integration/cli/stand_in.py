"""What answers at the platform's address in the place of api, as the test says, over real HTTP; and the command line at it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from typer.testing import CliRunner, Result

from cli.main import app


@dataclass(frozen=True)
class Answer:
    """To one request. `cut`: the connection ends before the body does."""

    body: object = ""
    status: int = 200
    cut: bool = False

    def encoded(self) -> bytes:
        """Text as it is, all else as JSON."""
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


AWAY = Answer("Bad Gateway", 502)
"""What Traefik, which stays, says of an api that is being started again."""


def told(event: str, number: int, **data: object) -> str:
    """One event of a deployment's stream."""
    return f"event: {event}\ndata: {json.dumps(data)}\nid: {number}-0\n\n"


@dataclass
class StandIn:
    """Gives each path its answers in order, the last again and again; of others it knows nothing."""

    url: str
    answers: dict[str, list[Answer]]
    asked: list[str] = field(default_factory=list)
    """Method and path of each request, and in a stream where it shall go on."""

    def slipway(self, *words: str, given: bytes = b"", **variables: str | None) -> Result:
        """Calls `slipway` with these words; `given`: on standard input."""
        return CliRunner().invoke(app, list(words), input=given, env={"SLIPWAY_URL": self.url, "SLIPWAY_TOKEN": "slw_test", **variables})

    def answer(self, path: str) -> Answer:
        """The next one."""
        left = self.answers.get(path) or [Answer({"type": "/problems/not-found", "detail": f"There is no {path}."}, 404)]
        return left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def standing_in(answers: dict[str, list[Answer]]) -> Iterator[StandIn]:
    """Listens on a free port; paths are those below /api/v1."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].removeprefix("/api/v1")
            at = self.headers.get("Last-Event-ID")
            found.asked.append(f"{self.command} {path}" + (f" from {at}" if at else ""))
            answer = found.answer(path)
            body = answer.encoded()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(body) + answer.cut))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 -- http.server's names

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = StandIn(f"http://127.0.0.1:{server.server_address[1]}", answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
