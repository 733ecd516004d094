"""What was struck so far and what came of it: kept after every run, so that the whole can be had in as many sittings as it takes.

It lies in the repository (docs/faults.jsonl), beside what is rendered from it: nothing in it is of the machine that it was made on.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults.strikes.moments import AT_RANDOM


@dataclass(frozen=True)
class Blow:
    """One strike of a run, and whether it was one."""

    moment: str
    came: bool
    """Whether the boundary came that it was to fall at; True at a random moment."""
    at_work: tuple[str, ...]
    """What had been sent and had not ended by then, and how far each was."""
    hit: str
    """What was struck; empty where there was nothing to strike."""

    @property
    def struck(self) -> bool:
        """It fell where it was to fall, on deployments under way."""
        return bool(self.came and self.at_work and self.hit)


@dataclass(frozen=True)
class Run:
    """One run: its strikes, its deployments, and what was not as it must be. Seed, kind and turn say what is done in it."""

    seed: int
    kind: str
    turn: int
    moments: tuple[str, ...]
    deployments: int
    requests: int
    late_s: float | None = None
    """Of one kill: how long after the process's return, and its usual time, the slowest deployment ended."""
    lost: tuple[str, ...] = ()
    endless: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    version: str = ""
    """The commit that was struck."""
    stack: tuple[str, ...] = ()
    """What it ran on, with versions."""
    seconds: float = 0.0
    at: float = 0.0
    """When it ended, in seconds since the epoch."""
    blows: tuple[Blow, ...] = ()
    """Its strikes as they were. Rows from before they were kept have none."""
    code: str = ""
    """The platform's own, in short (`versions.code`); empty where it was of no commit, or changed meanwhile."""

    @property
    def good(self) -> bool:
        """Nothing lost, endless or wrong."""
        return not (self.lost or self.endless or self.wrong)

    @property
    def struck(self) -> int:
        """How many of its strikes were ones."""
        return sum(blow.struck for blow in self.blows)

    @property
    def boundaries(self) -> frozenset[str]:
        """Those that its strikes fell at, in words."""
        return frozenset(blow.moment for blow in self.blows if blow.struck and not blow.moment.startswith(AT_RANDOM))

    @property
    def whole(self) -> bool:
        """All of its strikes were ones."""
        return self.struck == len(self.moments)

    @property
    def name(self) -> tuple[int, str, int]:
        """The same for every time that it is made."""
        return self.seed, self.kind, self.turn


@dataclass
class Ledger:
    """The runs, in a file with one JSON object a line."""

    path: Path
    runs: list[Run] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> "Ledger":
        """What is there; nothing where nothing is."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        return cls(path, [_run(json.loads(line)) for line in lines])

    def add(self, run: Run) -> None:
        """Keeps one."""
        self.runs.append(run)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(run)) + "\n")

    def done(self, since: float, code: str) -> frozenset[tuple[int, str, int]]:
        """Runs that need not be made again, by name: those that were good and really struck this code, and those made since a time."""
        proven = {run.name for run in of_code(self.runs, code) if run.good and run.whole}
        return frozenset(proven | {run.name for run in self.runs if run.at >= since})


def newest(runs: Sequence[Run]) -> list[Run]:
    """Of each run the last time that it was made: what was found wrong stays until then."""
    return list({run.name: run for run in runs}.values())


def of_code(runs: Sequence[Run], code: str) -> list[Run]:
    """Of those that struck this code, the last time that each was made. All others are history."""
    return newest([run for run in runs if code and run.code == code])


def _run(found: dict[str, object]) -> Run:
    lists = {name: tuple(value) for name, value in found.items() if isinstance(value, list)}
    blows = tuple(Blow(**{**blow, "at_work": tuple(blow["at_work"])}) for blow in lists.get("blows", ()))
    return Run(**{**found, **lists, "blows": blows})  # type: ignore[arg-type]


_HEAD = ("fault", "strikes ever", "at this version", "struck", "boundaries", "deployments", "lost", "endless", "wrong", "slowest end")


def table(runs: Sequence[Run], kinds: Sequence[str], code: str) -> Iterator[tuple[str, ...]]:
    """The rows by kind of fault, with a head and a sum: how many strikes there ever were, and then what came of those at this code."""
    yield _HEAD
    for kind in kinds:
        if found := [run for run in runs if run.kind == kind]:
            yield _row(kind, found, code)
    yield _row("all", runs, code)


def _row(name: str, runs: Sequence[Run], code: str) -> tuple[str, ...]:
    counted = of_code(runs, code)
    late = [run.late_s for run in counted if run.late_s is not None and run.struck]
    counts = (
        sum(len(run.moments) for run in runs),
        sum(len(run.moments) for run in counted),
        sum(run.struck for run in counted),
        len(frozenset[str]().union(*(run.boundaries for run in counted))),
        sum(run.deployments for run in counted),
        sum(len(run.lost) for run in counted),
        sum(len(run.endless) for run in counted),
        sum(len(run.wrong) for run in counted),
    )
    return (name, *map(str, counts), f"{max(late):+.1f} s" if late else "")


def plain(rows: Sequence[tuple[str, ...]]) -> str:
    """For a terminal."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def markdown(rows: Sequence[tuple[str, ...]]) -> str:
    """For docs/faults.md."""
    head, *rest = rows
    lines = [" | ".join(head), "|".join(["---", *["---:"] * (len(head) - 1)]), *(" | ".join(row) for row in rest)]
    return "\n".join(f"| {line} |" if not line.startswith("---") else f"|{line}|" for line in lines)
