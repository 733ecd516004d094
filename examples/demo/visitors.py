"""People who use the application while it is deployed anew: they ask all the time, and every answer is counted."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from examples.demo.application import Application

PAUSE_S = 0.03
"""Between two requests of a visitor: about 30 a second each, so that the machine is left to the deployment."""


@dataclass
class Tally:
    """What the visitors got. Any answer but 200 with the whole list is a failure, and no request is tried again."""

    by_version: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def requests(self) -> int:
        """All of them."""
        return self.by_version.total() + len(self.failures)

    def answered(self, version: str, seconds: float) -> None:
        """One good answer more."""
        with self._lock:
            self.by_version[version] += 1
            self.slowest_s = max(self.slowest_s, seconds)

    def failed(self, why: str) -> None:
        """One failure more."""
        with self._lock:
            self.failures.append(why)


@contextmanager
def visiting(application: Application) -> Iterator[Tally]:
    """Two visitors until the end of the block: one keeps its connection, one opens a new one for each request."""
    tally, leaving, began = Tally(), threading.Event(), time.monotonic()
    expected = application.get("/api/todos")[2]
    visitors = [
        threading.Thread(target=_visit, args=(application, expected, tally, leaving, keep), name=f"visitor {keep}", daemon=True)
        for keep in (True, False)
    ]
    for visitor in visitors:
        visitor.start()
    try:
        yield tally
    finally:
        leaving.set()
        for visitor in visitors:
            visitor.join()
        tally.seconds = time.monotonic() - began


def _visit(application: Application, expected: bytes, tally: Tally, leaving: threading.Event, keep: bool) -> None:
    connection = application.connection()
    while not leaving.is_set():
        began = time.monotonic()
        try:
            connection.request("GET", "/api/todos")
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            tally.failed(f"{type(error).__name__}: {error}")
            connection.close()
        else:
            if response.status == 200 and body == expected:
                tally.answered(response.headers.get("x-app-version", "?"), time.monotonic() - began)
            else:
                tally.failed(f"status {response.status}" if response.status != 200 else "another list than before")
        if not keep:
            connection.close()
        leaving.wait(PAUSE_S)
    connection.close()
