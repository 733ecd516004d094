"""Who holds a home: one at a time, found out without being in its way."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from embedded import lock, supervisor
from embedded.home import Home
from embedded.settings import Settings
from embedded.supervisor import EndFailed, down


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A prepared home."""
    made = Home.at(tmp_path / "home")
    made.prepare()
    return made


@contextmanager
def looking(home: Home) -> Iterator[None]:
    """Somebody looks all the while who holds it."""
    enough = threading.Event()

    def look() -> None:
        while not enough.is_set():
            lock.running_supervisor(home)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def test_one_at_a_time(home: Home) -> None:
    """The second is told of the first; when that lets go, the home is free."""
    with lock.take(home):
        assert lock.running_supervisor(home) == os.getpid()
        with pytest.raises(lock.AlreadyRunning, match=rf"process {os.getpid()}"):
            lock.take(home)
    assert lock.running_supervisor(home) is None


def test_a_look_is_in_nobodys_way(home: Home) -> None:
    """`slipway status` at the moment of a start does not make it fail."""
    with looking(home):
        for _ in range(100):
            lock.take(home).close()


def test_one_that_has_not_said_yet_who_it_is_is_waited_for(home: Home) -> None:
    """It holds the home a moment before its number is in the file."""
    with lock.take(home) as held:
        held.truncate(0)
        later = threading.Timer(0.1, lambda: (held.write("4711\n"), held.flush()))
        later.start()
        assert lock.running_supervisor(home) == 4711
        later.join()


def test_one_that_does_not_say_who_it_is_is_not_signalled(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Process 0 would be the whole group of whoever runs `slipway down`."""
    signalled: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _: signalled.append(pid))
    monkeypatch.setattr(supervisor, "_END_LIMIT", 0.1)
    monkeypatch.setattr(lock, "_BRIEFLY", 0.1)
    with lock.take(home) as held:
        held.truncate(0)
        with pytest.raises(EndFailed):
            down(Settings(home=home.path))
    assert signalled == []
