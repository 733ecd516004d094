"""The supervisor's children: each is started, started again with growing delay when it ends, and ended in time."""

import json
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from embedded import processes

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 10.0
_SILENT = 60.0
"""Seconds after which a child that used to answer, runs, and answers nothing more is killed: it hangs."""
_SILENT_AT_START = 120.0
"""The same, of one that has not answered since it was started. Migrations run before."""
_STEADY = 60.0
"""Seconds after which a child counts as healthy: its next end is treated as the first."""


@dataclass(frozen=True)
class ChildState:
    """What is told about a child."""

    name: str
    pid: int | None
    restarts: int
    health_port: int | None
    ready: bool
    last_end: str


@dataclass
class Child:
    """One supervised process. `run` is what its fork does; times are seconds of a monotonic clock."""

    name: str
    run: Callable[[], None]
    log: Path
    probe: Callable[[], Awaitable[bool]]
    lives: Callable[[], Awaitable[bool]]
    """Whether it answers anything."""
    health_port: int | None = None
    before_start: Callable[[], None] = lambda: None
    stop_signal: signal.Signals = signal.SIGTERM
    pid: int | None = None
    restarts: int = 0
    ready: bool = False
    last_end: str = ""
    _started_at: float = 0.0
    _due_at: float = 0.0
    _heard_at: float | None = None
    _delay: float = field(default=_FIRST_DELAY)

    def tend(self, now: float) -> str | None:
        """Notice its end, start it when due; answers with a sentence where something happened."""
        if self.pid is None:
            return self._start(now) if now >= self._due_at else None
        outcome = processes.reap(self.pid)
        if outcome is None:
            return None
        if now - self._started_at > _STEADY:
            self._delay = _FIRST_DELAY
        return self._later(now, str(outcome))

    def heard(self, now: float, *, answered: bool) -> bool:
        """Notes whether it answered just now. One that hangs is killed, to be started again; whether it was."""
        if answered:
            self._heard_at = now
        since, limit = (self._started_at, _SILENT_AT_START) if self._heard_at is None else (self._heard_at, _SILENT)
        if self.pid is None or now - since <= limit:
            return False
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._heard_at = now
        return True

    def due_in(self, now: float) -> float | None:
        """Seconds until it is to be started; None while it runs."""
        return max(self._due_at - now, 0.0) if self.pid is None else None

    def last_words(self, lines: int = 3) -> str:
        """The end of its log, which says why it ended."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(self.log.stat().st_size - 8192, 0))
            return "\n".join(_in_words(line.decode(errors="replace")) for line in file.read().splitlines()[-lines:])

    def state(self) -> ChildState:
        """What there is to tell about it."""
        return ChildState(self.name, self.pid, self.restarts, self.health_port, self.ready, self.last_end)

    def _start(self, now: float) -> str:
        try:
            self.before_start()
            self.pid = processes.fork(self.run, self.log, end_with_parent=self.stop_signal)
        except OSError as error:
            return self._later(now, f"cannot be started: {error}")
        self._started_at = now
        return f"process {self.pid}"

    def _later(self, now: float, why: str) -> str:
        self.pid, self.ready, self.last_end, self._heard_at = None, False, why, None
        self._due_at, said = now + self._delay, f"{why}; starts again in {self._delay:.1f} s"
        self._delay = min(self._delay * 2, _LONGEST_DELAY)
        self.restarts += 1
        return said


def _in_words(line: str) -> str:
    """A line of a log for people: of a JSON object, what happened and why."""
    try:
        said = json.loads(line)
    except ValueError:
        return line
    if not isinstance(said, dict) or "event" not in said:
        return line
    why = said.get("error") or said.get("reason")
    return f"{said['event']}: {why}" if why else str(said["event"])


def as_json(states: list[ChildState]) -> list[dict[str, object]]:
    """For run/processes.json."""
    return [asdict(state) for state in states]
