"""Strikes that find nothing to strike say so."""

import random
from typing import cast

import psutil
import pytest

from tests.faults.strikes.kinds import processes
from tests.faults.strikes.kinds.strike import DidNotStrike, Scene
from tests.faults.strikes.machine import Machine
from tests.faults.strikes.moments import Watch


def test_whoever_finds_no_build_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A strike that hit nothing is none."""
    monkeypatch.setattr(processes, "BUILD_LIMIT_S", 0.05)
    monkeypatch.setattr(psutil, "process_iter", list)
    scene = Scene(cast("Machine", None), cast("Watch", None), random.Random(1))
    with pytest.raises(DidNotStrike, match="no build"):
        processes.kill_build(scene)
