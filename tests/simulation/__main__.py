"""`python -m tests.simulation`: runs many schedules and prints the first that shows a violation, or replays one by its number."""

import argparse
import os
import sys
import time

from tests.simulation.all_mutants import MUTANTS
from tests.simulation.exploration import Found, explore, explore_many, told
from tests.simulation.shrinking import shrink

AT_ONCE = 2000


def main() -> int:
    """0: no violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this schedule and print it; a violation is made as short as it gets")
    parser.add_argument("--whole", action="store_true", help="with --seed: print it as it is, not shortened")
    parser.add_argument("--schedules", type=int, default=2000, help="how many to run (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="with a defect put in")
    options = parser.parse_args()
    if options.mutant:
        MUTANTS[options.mutant].put_in()
    if options.seed is not None:
        return _replay(options.seed, whole=options.whole)
    return _many(options.first, options.schedules, options.workers)


def _replay(seed: int, *, whole: bool) -> int:
    found = explore(seed)
    if found is None:
        print(told(Found(seed, "", None)))
        return 0
    _show(found, found if whole else shrink(found))
    return 1


def _show(found: Found, shown: Found) -> None:
    print(told(shown))
    count, left = len(found.decisions or ()), len(shown.decisions or ())
    print(f"schedule {found.seed}: {count} decisions, shown with {left}: {shown.sentence}", flush=True)


def _many(first: int, count: int, workers: int) -> int:
    began, bad, done = time.monotonic(), 0, 0
    while done < count:
        some = min(AT_ONCE, count - done)
        for found in explore_many(range(first + done, first + done + some), workers):
            bad += 1
            if bad == 1:
                _show(found, shrink(found))
            else:
                print(f"schedule {found.seed}: {found.sentence}", flush=True)
        done += some
        seconds = time.monotonic() - began
        print(f"{done} schedules in {seconds:.0f} s ({done / seconds:.0f}/s), {bad} with a violation", file=sys.stderr, flush=True)
    if bad:
        print("replay one with: python -m tests.simulation --seed N")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
