"""A container engine of a test's own that answers as it is told to, and otherwise not at all."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

from embedded.settings import EngineSettings

VERSION = {"GET /version": (200, {"Version": "29.0", "ApiVersion": "1.50"})}


@contextmanager
def stand_in(folder: Path, answers: Mapping[str, tuple[int, object]]) -> Iterator[EngineSettings]:
    """Its settings. It answers by method and path, without what follows a `?`, with a status and JSON; who asks for anything else waits."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            key = f"{self.command} {self.path.partition('?')[0]}"
            if key not in answers:
                ended.wait()
                return
            status, content = answers[key]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def do_DELETE(self) -> None:
            self.do_GET()

        def address_string(self) -> str:
            return "somebody"

        def log_message(self, *_: object) -> None: ...

    socket = folder / "engine.sock"
    with ThreadingUnixStreamServer(str(socket), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield EngineSettings(host=None, socket=socket, data_root=folder / "data", exec_root=folder / "exec")
        finally:
            ended.set()
            server.shutdown()
            thread.join()
