"""`make faults`: many schedules of the simulation, each fault at each step, then strikes on a whole platform.

Goes on where it stopped, by the ledgers in docs, and writes their page.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.cases import EACH_STEP, JUDGES, PORTION, SIMULATION, Cases, Done, every_step, file_of, is_done, simulate
from tests.faults.strikes.__main__ import LEDGER, NOT_COMMITTED
from tests.faults.strikes.__main__ import main as strike
from tests.faults.strikes.versions import code, is_dirty, version


def main(arguments: list[str]) -> int:
    """The exit status: 0 where nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=1, help="chooses the schedules and the strikes; each step meets each fault whatever it is"
    )
    parser.add_argument("--schedules", type=int, default=100_000, help="of the simulation")
    parser.add_argument("--strikes", type=int, default=300, help="on a whole platform")
    parser.add_argument("--ledger", type=Path, default=LEDGER, help="the file of all strikes; the others' file and the page lie beside it")
    options = parser.parse_args(arguments)
    if options.ledger.resolve() == LEDGER and is_dirty():
        parser.error(NOT_COMMITTED)
    path, first = file_of(options.ledger), (options.seed - 1) * options.schedules
    good = True
    for begin in range(first, first + options.schedules, PORTION):
        count = min(PORTION, first + options.schedules - begin)
        good &= _once(path, SIMULATION, begin, lambda begin=begin, count=count: simulate(begin, count))  # type: ignore[misc]
    good &= _once(path, EACH_STEP, 0, every_step)
    struck = strike(["--seed", str(options.seed), "--strikes", str(options.strikes), "--ledger", str(options.ledger)])
    return struck or (0 if good else 1)


def _once(path: Path, what: str, first: int, run: Callable[[], Done]) -> bool:
    """Whether the cases are good: by what is kept of them at this version, else they are run."""
    judged = code(*JUDGES[what])
    if is_done(Cases.read(path), what, first, judged):
        return True
    struck, commit, done = code(), version(), run()
    Cases(what, first, done.count, done.failures, commit, struck, judged, time.time()).keep(path)
    return done.failures == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
