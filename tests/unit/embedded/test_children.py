"""A child that ends is started again with growing delay."""

import os
import signal
from pathlib import Path

import pytest

from embedded import processes
from embedded.children import Child


async def always() -> bool:
    """A probe that is content."""
    return True


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Child:
    """A child whose process is only a number: forks and ends are said by the test."""
    numbers = iter(range(100, 200))
    monkeypatch.setattr(processes, "fork", lambda *_args, **_more: next(numbers))
    monkeypatch.setattr(processes, "reap", lambda _pid: processes.Outcome(-signal.SIGKILL))
    return Child("api", lambda: None, tmp_path / "api.log", always, always)


def test_delays_grow_and_end_at_ten_seconds(child: Child) -> None:
    """0.1 s after the first end, doubled after each next one, never more than 10 s."""
    now, delays = 0.0, []
    for _ in range(10):
        child.tend(now)
        child.tend(now)
        due = child.due_in(now)
        assert due is not None
        delays.append(round(due, 3))
        now += due
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]
    assert child.restarts == 10
    assert child.last_end == "ended by SIGKILL"


def test_a_child_that_ran_for_a_minute_counts_as_healthy(child: Child) -> None:
    """Its next end is treated as the first."""
    for now in (0.0, 0.0, 1.0, 1.0, 2.0):
        child.tend(now)
    child.tend(100.0)
    assert child.due_in(100.0) == pytest.approx(0.1)


def test_it_is_not_started_before_it_is_due(child: Child) -> None:
    """Until the delay has passed nothing happens."""
    child.tend(0.0)
    child.tend(0.0)
    assert child.tend(0.05) is None
    assert child.tend(0.11) is not None


def test_one_that_hangs_is_killed(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute without an answer, two where it never gave one since it was started; once, until it has had its time again."""
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *order: killed.append(order))
    child.tend(0.0)
    child.tend(0.0)
    child.tend(10.0)
    assert child.pid == 101
    assert not child.heard(129.0, answered=False)
    assert child.heard(131.0, answered=False)
    assert not child.heard(132.0, answered=False)
    child.heard(140.0, answered=True)
    assert not child.heard(199.0, answered=False)
    assert child.heard(201.0, answered=False)
    assert killed == [(101, signal.SIGKILL)] * 2


def test_last_words_are_the_end_of_the_log(child: Child) -> None:
    """Three lines, whatever came before."""
    child.log.write_text("\n".join(str(number) for number in range(5000)))
    assert child.last_words() == "4997\n4998\n4999"
