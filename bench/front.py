"""One application as its users reach it: over TLS, through the load balancer."""

import http.client
import json
import socket
import ssl
import time
from pathlib import Path

_TIMEOUT_S = 5.0
_EVERY_S = 0.01


class _ByName(http.client.HTTPSConnection):
    """Connects to this machine and asks for a host by name, as a browser does with `*.localhost`."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=_TIMEOUT_S, context=context)
        self._ssl = context

    def connect(self) -> None:
        """http.client's own would resolve the name."""
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._ssl.wrap_socket(plain, server_hostname=self.host)


class Front:
    """Asks on one connection kept alive; a broken one is opened anew."""

    def __init__(self, host: str, port: int, authority: Path | None) -> None:
        if authority is None:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        else:
            context = ssl.create_default_context(cafile=str(authority))
        self._connection = _ByName(host, port, context)

    def version(self) -> str | None:
        """The version that answers now; None where none does."""
        try:
            self._connection.request("GET", "/api/version")
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return None
        return str(json.loads(body)["version"]) if answer.status == http.client.OK else None

    def until(self, version: str, within_s: float) -> float:
        """The wall-clock time (s) when this version first answered; raises TimeoutError."""
        deadline = time.monotonic() + within_s
        while self.version() != version:
            if time.monotonic() > deadline:
                raise TimeoutError(f"version {version} does not answer within {within_s:g} s")
            time.sleep(_EVERY_S)
        return time.time()

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()
