"""A server that speaks as a forge's HTTP API does, as far as a test says."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class ForgeApi:
    """A forge's API: what it answers, and what it was shown. `tagged`: it says what is unchanged, as GitHub and GitLab do (RFC 9110)."""

    url: str = ""
    status: int = 200
    said: object = field(default_factory=dict)
    answers: dict[str, object] = field(default_factory=dict)
    """What it answers to a path, with its query or to any; to others, `said`. Bytes are the very body."""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    tagged: bool = False
    unchanged: int = 0
    """How often it said so."""

    def answer(self, path: str) -> bytes:
        """To a path."""
        said = self.answers.get(path, self.answers.get(path.partition("?")[0], self.said))
        return said if isinstance(said, bytes) else json.dumps(said).encode()


@contextmanager
def serving_api() -> Iterator[ForgeApi]:
    """Serves one."""
    api = ForgeApi()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            api.asked.append((self.path, self.headers["Authorization"]))
            body, status = api.answer(self.path), api.status
            tag = f'W/"{hashlib.sha256(body).hexdigest()}"'
            if api.tagged and self.headers["If-None-Match"] == tag:
                api.unchanged += 1
                body, status = b"", 304
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | ({"ETag": tag} if api.tagged else {}) | api.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests say enough."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
