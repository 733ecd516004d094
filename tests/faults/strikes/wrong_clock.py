"""A service whose clock is wrong: the same process becomes the real one under libfaketime. Which service: its bus user says."""

import os
import sys

from tests.faults.strikes.stack import FAKETIME, clocks


async def main() -> None:
    """Never returns: the process is another program then."""
    name = os.environ["SLIPWAY_NATS_USER"]
    wrong = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": clocks()[name], "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    os.execve(sys.executable, [sys.executable, "-m", "tests.faults.strikes.service", name], os.environ | wrong)  # noqa: S606
