"""Certificates are renewed while the control plane runs, and read by those whose they are."""

import datetime as dt
import itertools
import os
import signal
from pathlib import Path

import pytest

from embedded import authority
from embedded.children import Child
from embedded.home import Home
from embedded.renewal import Renewal

DAY = 86400.0


async def always() -> bool:
    """A probe that is content."""
    return True


@pytest.fixture
def renewal(tmp_path: Path) -> Renewal:
    """Of three services that run and are ready, with fresh certificates."""
    home = Home.at(tmp_path / "home")
    home.prepare()
    names = ("api", "auth", "builder")
    authority.prepare(home, names)
    services = [Child(name, lambda: None, home.logs / name, always, always, pid=pid, ready=True) for pid, name in enumerate(names, 101)]
    return Renewal(home, services)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that were asked to end."""
    asked: list[int] = []

    def note(pid: int, number: int) -> None:
        assert number == signal.SIGTERM
        asked.append(pid)

    monkeypatch.setattr(os, "kill", note)
    return asked


def test_services_are_started_again_one_after_the_other(renewal: Renewal, ended: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once the one before is ready again; until the next certificates near their end nothing more happens."""
    clock = itertools.count(2 * DAY)
    renewal.tend(0.0)
    assert ended == []
    with monkeypatch.context() as patched:
        patched.setattr(authority, "_RENEW_BEFORE", dt.timedelta(days=366))
        renewal.tend(next(clock))
    for number, child in enumerate(renewal.services, 1):
        renewal.tend(next(clock))
        assert len(ended) == number
        child.pid, child.ready = None, False
        renewal.tend(next(clock))
        child.pid = 200 + number
        renewal.tend(next(clock))
        assert len(ended) == number
        child.ready = True
    renewal.tend(next(clock))
    renewal.tend(4 * DAY)
    assert ended == [101, 102, 103]


def test_certificates_that_cannot_be_renewed_end_nothing(renewal: Renewal, ended: list[int]) -> None:
    """A file that somebody broke: the log tells of it, and all goes on."""
    (renewal.home.tls / "api.pem").write_text("no certificate")
    renewal.tend(0.0)
    assert ended == []
