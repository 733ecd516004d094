"""The deployed application as its users reach it: through the load balancer, with TLS checked against the local CA."""

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 10.0


class LocalConnection(http.client.HTTPSConnection):
    """`*.localhost` is this machine (RFC 6761, 6.3), also where the system's resolver does not know."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=TIMEOUT_S)
        self._tls = tls

    def connect(self) -> None:
        """Connects to loopback; the certificate must be the host's."""
        plain = socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


@dataclass(frozen=True)
class Application:
    """One address, and whom to trust."""

    url: str
    authority: Path

    def connection(self) -> LocalConnection:
        """A new one, not yet open."""
        parts = urlsplit(self.url)
        tls = ssl.create_default_context(cafile=str(self.authority))
        return LocalConnection(parts.hostname or "", parts.port or 443, tls)

    def get(self, path: str) -> tuple[int, str, bytes]:
        """Status, the version that answered, and the body."""
        return self._ask("GET", path, None)

    def todos(self) -> list[dict[str, Any]]:
        """The whole list."""
        found: list[dict[str, Any]] = json.loads(self.get("/api/todos")[2])
        return found

    def add(self, title: str) -> int:
        """One entry more; the status of the answer."""
        return self._ask("POST", "/api/todos", json.dumps({"title": title}).encode())[0]

    def certificate(self) -> tuple[str, date]:
        """Who signed it, and the last day on which it holds."""
        connection = self.connection()
        connection.connect()
        try:
            found: Any = connection.sock.getpeercert()
        finally:
            connection.close()
        issuer = dict(pair for group in found["issuer"] for pair in group)
        until = datetime.fromtimestamp(ssl.cert_time_to_seconds(found["notAfter"]), UTC)
        return issuer.get("commonName", "?"), until.date()

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, str, bytes]:
        connection = self.connection()
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            return response.status, response.headers.get("x-app-version", "?"), response.read()
        finally:
            connection.close()
