"""A short selection of `make faults`: a whole platform on a machine of its own, struck while deployments are under way."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.faults.strikes import box

KINDS = ("kill coordinator", "kill NATS", "kill PostgreSQL", "participant answers nonsense")
LIMIT_S = 240.0


@pytest.mark.skipif(box.why_not() is not None, reason=str(box.why_not()))
@pytest.mark.timeout(LIMIT_S + 20)
def test_nothing_is_lost_endless_or_wrong() -> None:
    """One strike of each of these kinds; the seed is that of the environment variable SEED, else 1."""
    # Not below /tmp: the state has to outlive the machine.
    with tempfile.TemporaryDirectory(prefix="slipway-faults-", dir="/var/tmp") as state:
        command = (sys.executable, "-m", "tests.faults.strikes", "--seed", os.environ.get("SEED", "1"), "--strikes", str(len(KINDS)))
        done = subprocess.run(
            (*command, "--kinds", ",".join(KINDS), "--state", state, "--ledger", f"{state}/faults.jsonl"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=LIMIT_S,
            cwd=Path(__file__).parents[2],
        )
    assert done.returncode == 0, done.stdout
