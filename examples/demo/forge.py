"""The stand-in for a forge: a bare repository over smart HTTP on loopback, which tells of pushes as GitHub does."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from examples.demo.payload import Moved, body_of, headers_of

FULL_NAME = "acme/todo"
_REF = "refs/heads/main"
_ZEROS = "0" * 40
_DELIVERY_S = 10.0
"""GitHub waits as long."""


@dataclass(frozen=True)
class Answer:
    """What a delivery was answered."""

    status: int
    text: str


class Forge:
    """One repository, one webhook. A push and its delivery are one: nobody reads the repository between."""

    def __init__(self, folder: Path) -> None:
        self._root = folder
        self._repository = folder / f"{FULL_NAME}.git"
        self._whole = threading.Lock()
        self._hook: tuple[str, str] | None = None
        self.answers: list[Answer] = []
        self.host = "127.0.0.1"
        self.port = 0

    @property
    def web_url(self) -> str:
        """Where the repository would have its page."""
        return f"http://{self.host}:{self.port}/{FULL_NAME}"

    @property
    def clone_url(self) -> str:
        """Where it is cloned from."""
        return f"{self.web_url}.git"

    def hook(self, url: str, secret: str) -> None:
        """Sets the webhook, as in a repository's settings."""
        self._hook = (url, secret)

    @contextmanager
    def serving(self) -> Iterator["Forge"]:
        """Serves until the end of the block, on a port that is free."""
        if not self._repository.exists():
            self._repository.mkdir(parents=True)
            self._git("init", "--quiet", "--bare", "--initial-branch=main")
            self._git("config", "http.receivepack", "true")
        with ThreadingHTTPServer((self.host, 0), _handler(self)) as server:
            self.port = server.server_port
            thread = threading.Thread(target=server.serve_forever, name="forge", daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()

    def backend(self, variables: dict[str, str], body: bytes) -> bytes:
        """One request through `git http-backend` (a CGI program); after a push, the delivery."""
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self._root), "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "ada", "REMOTE_ADDR": "127.0.0.1", **variables,
        }  # fmt: skip
        with self._whole:
            before = self._head()
            done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
            if (after := self._head()) not in (before, _ZEROS):
                self._deliver(before, after)
        return done.stdout

    def _head(self) -> str:
        found = self._git("for-each-ref", "--format=%(objectname)", _REF)
        return found or _ZEROS

    def _deliver(self, before: str, after: str) -> None:
        if self._hook is None:
            return
        url, secret = self._hook
        title, time = self._git("show", "--no-patch", "--format=%s%x00%cI", after).split("\0")
        body = body_of(Moved(_REF, before, after, title, time), FULL_NAME, self.web_url)
        response = httpx.post(url, content=body, headers=headers_of(body, secret), timeout=_DELIVERY_S)
        self.answers.append(Answer(response.status_code, response.text))

    def _git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self._repository, capture_output=True, text=True, check=True)
        return done.stdout.strip()


def _handler(forge: Forge) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """HTTP/1.0: each answer ends with its connection."""

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            """The story is enough."""

        def _answer(self) -> None:
            url = urlsplit(self.path)
            variables = {
                "REQUEST_METHOD": self.command,
                "PATH_INFO": url.path,
                "QUERY_STRING": url.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if body:
                variables["CONTENT_LENGTH"] = str(len(body))
            head, _, content = forge.backend(variables, body).partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    return Handler
