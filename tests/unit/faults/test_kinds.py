"""What strikes do by themselves: how long, and where there is nothing to strike."""

import random
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import psutil
import pytest

from tests.faults.strikes.kinds import bus, database, processes
from tests.faults.strikes.kinds.strike import DidNotStrike, Scene
from tests.faults.strikes.machine import Machine
from tests.faults.strikes.moments import Watch


def test_whoever_finds_no_build_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A strike that hit nothing is none."""
    monkeypatch.setattr(processes, "BUILD_LIMIT_S", 0.05)
    monkeypatch.setattr(psutil, "process_iter", list)
    scene = Scene(cast("Machine", None), cast("Watch", None), random.Random(1), turn=0)
    with pytest.raises(DidNotStrike, match="no build"):
        processes.kill_build(scene)


@pytest.mark.parametrize("away", [bus.away, database.away])
def test_each_third_time_a_server_is_away_for_minutes(away: Callable[[Scene], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than the streams remember what was published twice."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    machine = cast("Machine", SimpleNamespace(supervisor=1, signal=lambda *_: 1))
    for turn in range(6):
        away(Scene(machine, cast("Watch", None), random.Random(turn), turn))
    assert [seconds > 120.0 for seconds in slept] == [True, False, False] * 2
    assert max(slept) <= 200.0
