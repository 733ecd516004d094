"""A git server over HTTP with Basic or Bearer authentication, by `git http-backend`; it can be one that knows only protocol 0."""

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

_BACKEND = "/usr/lib/git-core/git-http-backend"


@dataclass
class Forge:
    """What the server serves, to whom, and what it was asked."""

    root: Path
    login: tuple[str | None, str] | None = None
    """User name and password; without a user name the password has to come as Bearer."""
    modern: bool = True
    redirect: str | None = None
    refuses: int | None = None
    """The status of every answer, where it takes no requests."""
    adds: dict[str, str] = field(default_factory=dict)
    """Headers of every answer."""
    port: int = 0
    requests: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    """Processes whose arguments or environment held the password while the server was asked."""

    def url(self, name: str) -> str:
        """Where a repository below the root is cloned from."""
        return f"http://127.0.0.1:{self.port}/{name}"


def _authorization(username: str | None, password: str) -> str:
    return f"Bearer {password}" if username is None else "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _showing(login: tuple[str | None, str] | None) -> Iterator[str]:
    """What a list of processes (`ps axe`) says where the login stands in it, plain or encoded."""
    if login is None:
        return
    signs = [login[1].encode(), _authorization(*login).partition(" ")[2].encode()]
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is somebody else's
            shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if any(sign in shown for sign in signs):
                yield shown.replace(b"\0", b" ").decode(errors="replace")


@contextmanager
def running_forge(root: Path, login: tuple[str | None, str] | None = None, *, modern: bool = True) -> Iterator[Forge]:
    """Serves every repository below `root`."""
    forge = Forge(root, login, modern)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                self._serve(self._chunks())
            else:
                self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _serve(self, body: bytes) -> None:
            forge.requests.append(self.path)
            given = self.headers.get("Authorization", "")
            forge.logins.append(given)
            forge.shown.extend(_showing(forge.login))
            if forge.refuses is not None:
                self._say(forge.refuses, {}, b"")
            elif forge.redirect is not None:
                self._say(301, {"Location": f"{forge.redirect}{self.path}"}, b"")
            elif forge.login and given != _authorization(*forge.login):
                self._say(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
            else:
                self._backend(body)

        def _backend(self, body: bytes) -> None:
            parts = urlsplit(self.path)
            env = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(forge.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
                "PATH_INFO": parts.path,
                "QUERY_STRING": parts.query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }
            if forge.modern:
                env["GIT_PROTOCOL"] = self.headers.get("Git-Protocol", "")
            done = subprocess.run([_BACKEND], input=body, env=env, capture_output=True, check=False)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self._say(int(headers.pop("Status", "200").split()[0]), headers, content)

        def _say(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in (headers | forge.adds).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    forge.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
