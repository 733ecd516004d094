"""Which supervisor runs on a home: the one that holds the lock on run/supervisor.pid, whatever the number in it says."""

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from embedded.home import Home

_BRIEFLY = 1.0
"""Seconds for which a lock that others may hold for a moment is tried, and a number waited for that follows the lock."""


class AlreadyRunning(Exception):
    """Another supervisor holds this home."""


def take(home: Home) -> IO[str]:
    """Hold the home until the file is closed or the process ends. Raises AlreadyRunning."""
    file = _path(home).open("a+")
    deadline = time.monotonic() + _BRIEFLY
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:  # It may be held by somebody who only looks.
            if time.monotonic() > deadline:
                file.close()
                raise AlreadyRunning(f"Slipway runs already on {home.path} (process {running_supervisor(home)}).") from None
            time.sleep(0.002)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def running_supervisor(home: Home) -> int | None:
    """The process that holds the home, or None; 0 for one that holds it and has not said within a second who it is."""
    deadline = time.monotonic() + _BRIEFLY
    try:
        with _path(home).open() as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.seek(0)
                    number = file.read().strip()
                    if number or time.monotonic() > deadline:
                        return int(number or 0)
                    time.sleep(0.002)
                else:
                    return None
    except OSError:  # No such home, or somebody else's: the preflight says that in its own words.
        return None


def wait_until_free(home: Home, limit: float) -> bool:
    """Wait until no supervisor holds the home; False when one still does after `limit` seconds."""
    deadline = time.monotonic() + limit
    while running_supervisor(home) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _path(home: Home) -> Path:
    return home.run / "supervisor.pid"
