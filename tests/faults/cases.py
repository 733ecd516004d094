"""What `make faults` runs before the strikes, and keeps beside them: schedules of the simulation, and each fault at each step.

A line says something of a version for as long as neither the platform changes nor what judged it.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from embedded import engine
from embedded.settings import EngineSettings
from tests.faults.table import CASES

CHECKOUT = Path(__file__).parents[2]
PORTION = 5_000
"""Schedules of one line: no more have to be run again where the whole was broken off."""
SIMULATION, EACH_STEP = "simulation", "each step"
JUDGES = {
    SIMULATION: ("tests/simulation",),
    EACH_STEP: tuple(f"tests/faults/{name}.py" for name in ("injection", "lanes", "stack", "table", "test_each_step", "worker")),
}
_SAID = {
    SIMULATION: ("the simulation", "schedules", "with a violation"),
    EACH_STEP: ("each fault at each step", "cases", "with another end than expected"),
}
_RAN = {0, 1}
"""Exit statuses of pytest after which every case has its result."""


@dataclass(frozen=True)
class Done:
    """What came of some cases."""

    count: int
    failures: int


@dataclass(frozen=True)
class Cases:
    """Some cases that were run together."""

    what: str
    first: int
    """The number of the first schedule; 0 of cases without numbers."""
    count: int
    failures: int
    version: str
    """The commit."""
    code: str
    """Of the platform, as of a strike."""
    judged: str
    """The same, with what judged it."""
    at: float
    """When they ended, in seconds since the epoch."""

    @staticmethod
    def read(path: Path) -> "list[Cases]":
        """All that were kept, one JSON object a line; none where nothing is."""
        return [Cases(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    def keep(self, path: Path) -> None:
        """Adds it."""
        with path.open("a") as file:
            file.write(json.dumps(asdict(self)) + "\n")


def file_of(ledger: Path) -> Path:
    """The file that lies beside a ledger of strikes."""
    return ledger.with_suffix(".cases.jsonl")


def is_done(cases: Sequence[Cases], what: str, first: int, judged: str) -> bool:
    """Whether they were run at this version and were good the last time."""
    found = [one for one in cases if (one.what, one.first, one.judged) == (what, first, judged)]
    return bool(judged and found) and not found[-1].failures


def simulate(first: int, count: int) -> Done:
    """So many schedules, on all cores."""
    status, said = _run("tests.simulation", "--first", str(first), "--schedules", str(count))
    violations = sum(line.startswith("schedule ") for line in said)
    if bool(status) != bool(violations):
        raise RuntimeError(f"the simulation broke off with status {status}")
    return Done(count, violations)


def every_step() -> Done:
    """The whole table, on platforms on the engine that is there."""
    engine.ensure(EngineSettings())
    status, said = _run("pytest", "tests/faults/test_each_step.py")
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", said[-1])} if said else {}
    if status not in _RAN or sum(counts.values()) != len(CASES):
        raise RuntimeError(f"the cases of each step broke off with status {status}")
    return Done(len(CASES), len(CASES) - counts.get("passed", 0))


def _run(module: str, *arguments: str) -> tuple[int, list[str]]:
    """Runs a module of Python and shows what it prints: its exit status, and the lines."""
    said: list[str] = []
    with subprocess.Popen((sys.executable, "-m", module, *arguments), stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as running:
        for line in running.stdout or ():
            print(line, end="", flush=True)
            said.append(line)
    return running.returncode, said


def told(cases: Sequence[Cases], code: str) -> Iterator[str]:
    """What was run of each, at its newest version; whether that is older than the platform that was struck last."""
    for what, (name, unit, bad) in _SAID.items():
        found = [one for one in cases if one.what == what]
        newest = {one.first: one for one in found if one.judged == found[-1].judged}.values()
        if not newest:
            yield f"- {name}: not yet run"
            continue
        last = max(one.first + one.count for one in newest) - 1
        numbers = f" ({min(one.first for one in newest):,} to {last:,})" if what == SIMULATION else ""
        versions = ", ".join(dict.fromkeys(one.version for one in newest))
        older = "" if code in {"", found[-1].code} else ", an older version"
        count, failures = sum(one.count for one in newest), sum(one.failures for one in newest)
        yield f"- {name}: {count:,} {unit}{numbers}, {failures:,} {bad}, at {versions}{older}"
