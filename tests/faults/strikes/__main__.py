"""The strikes of `make faults`: strikes a real platform until as many strikes are done, over all kinds, and says what came of it.

Goes on where it stopped, by the ledger in docs. A platform that was found wrong is not used again.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from embedded.images.cache import Cache
from embedded.images.catalogue import everything, find
from tests.faults.strikes import box
from tests.faults.strikes.kinds import KINDS
from tests.faults.strikes.ledger import Ledger, newest, plain, table
from tests.faults.strikes.report import write
from tests.faults.strikes.sitting import Plan, Sitting, plans
from tests.faults.strikes.versions import code, is_dirty

LEDGER = box.CHECKOUT / "docs" / "faults.jsonl"
STATE = Path(os.environ.get("XDG_STATE_HOME", "~/.local/state")).expanduser() / "slipway" / "faults"
AGAIN = 75
"""Exit status: the platform is spoilt, and there is more to do."""
MODULE = "tests.faults.strikes"
NOT_COMMITTED = "a run of what is not committed is of no version: commit it, or keep the run elsewhere with --ledger"


def main(arguments: list[str]) -> int:
    """The exit status: 0 where nothing was lost, endless or wrong."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--strikes", type=int, default=300, help="how many in all")
    parser.add_argument("--kinds", help="only these, comma-separated")
    parser.add_argument("--ledger", type=Path, default=LEDGER, help="the file of all runs; its page is written beside it")
    parser.add_argument("--state", type=Path, default=STATE, help="the folder for what remains of a platform that was found wrong")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after this time")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--since", type=float, default=time.time(), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for path in (options.ledger.resolve(), options.state.resolve()):
        if not path.is_relative_to(box.CHECKOUT) and any(path.is_relative_to(folder) for folder in box.FRESH):
            parser.error(f"{path} would end with the machine that is struck")
    if options.ledger.resolve() == LEDGER and is_dirty():
        parser.error(NOT_COMMITTED)
    kinds = options.kinds.split(",") if options.kinds else list(KINDS)
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no kind of strike is called {', '.join(sorted(unknown))}; there are: {', '.join(KINDS)}")
    if missing := {str(needed) for kind in kinds if (needed := KINDS[kind].needs) is not None and not needed.exists()}:
        parser.error(f"{', '.join(sorted(missing))} is missing; `make faults` installs it, and --kinds names those that do without")
    ledger = Ledger.open(options.ledger)
    wanted = plans(options.seed, options.strikes, kinds)
    done = ledger.done(options.since, code())
    todo = [plan for plan in wanted if plan.name not in done]
    if options.inside:
        return _sit(options.seed, todo, ledger, options.state, time.monotonic() + options.seconds) if todo else 0
    status = _all_sittings([*arguments, f"--since={options.since}"], todo=bool(todo))
    ledger = Ledger.open(ledger.path)
    names = {plan.name for plan in wanted}
    made = [run for run in ledger.runs if run.name in names]
    print(plain(list(table(made, list(KINDS), code()))))
    write(ledger)
    return status or (0 if all(run.good for run in newest(made)) else 1)


def _all_sittings(arguments: list[str], *, todo: bool) -> int:
    """As many machines as it takes, one after the other."""
    if todo and (reason := box.why_not()) is not None:
        print(f"The machine that is struck cannot be made: {reason}", file=sys.stderr)
        return 2
    if todo:  # inside, no package can be fetched
        for image in everything():
            Cache().get(find(image))
    status = AGAIN if todo else 0
    while status == AGAIN:
        status = box.run_inside(MODULE, [*arguments, "--inside"])
    return status


def _sit(seed: int, todo: Sequence[Plan], ledger: Ledger, state: Path, until: float) -> int:
    """Runs on this machine, until all is done, time is over, or something is found."""
    sitting = Sitting(seed)
    began = time.monotonic()
    sitting.begin()
    print(
        f"ready after {time.monotonic() - began:.0f} s; usual times: { {what: round(s, 1) for what, s in sitting.usual.items()} }",
        flush=True,
    )
    for plan in todo:
        if time.monotonic() > until:
            return 0
        run = sitting.run(plan)
        ledger.add(run)
        late = "" if run.late_s is None else f", slowest end {run.late_s:+.1f} s"
        print(f"{'✓' if run.good else '✗'} {run.kind} {run.turn}: {'; '.join(run.moments)} ({run.seconds:.0f} s{late})", flush=True)
        vain = [f"did not strike: {blow}" for blow in run.blows if not blow.struck]
        for word in (*run.lost, *run.endless, *run.wrong, *run.notes, *vain):
            print(f"      {word}", flush=True)
        if not run.good:
            sitting.keep_evidence(state / f"{run.kind.replace(' ', '-')}-{run.turn}-of-seed-{run.seed}")
            return AGAIN
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
