"""Progress while anything takes longer than a second."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

AFTER_S = 1.0
_console = Console(stderr=True)


@contextmanager
def patience(text: str) -> Iterator[None]:
    """Shows that something goes on, once it has gone on for a second; on a terminal only."""
    if not _console.is_terminal or threading.current_thread() is not threading.main_thread():
        yield
        return
    status = _console.status(text)
    timer = threading.Timer(AFTER_S, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        status.stop()
