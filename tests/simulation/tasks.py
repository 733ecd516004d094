"""Processes and what they do at the same time. A task is a generator that stops before each of its effects: there it
may be overtaken by others, put to sleep, or dropped, which is what a crash is."""

from collections.abc import Generator
from dataclasses import dataclass, field
from math import inf
from typing import TypeVar

from tests.simulation.violation import Violation

T = TypeVar("T")
Steps = Generator[float, None, T]
"""Yields the seconds until it goes on, at the earliest."""


class Nap(float):
    """Seconds, or until it is woken."""


IDLE = Nap(inf)


@dataclass(eq=False)
class Task:
    """One thing that a party does."""

    name: str
    party: "Party"
    steps: Steps[None]
    ready_at: float
    idle: bool = False

    def go(self, now: float) -> None:
        """Goes on to its next effect."""
        self.idle = False
        try:
            wait = next(self.steps)
        except StopIteration:
            self.party.tasks.remove(self)
            return
        self.idle = isinstance(wait, Nap)
        self.ready_at = max(now + wait, self.party.asleep_until)

    def wake(self, at: float) -> None:
        """There is, or will be, something to do."""
        if self.idle and at < self.ready_at:
            self.ready_at = max(at, self.party.asleep_until)


@dataclass(eq=False)
class Party:
    """One process: what it does, and what it forgets when it dies."""

    name: str
    tasks: list[Task] = field(default_factory=list)
    up: bool = False
    starts: int = 0
    asleep_until: float = 0.0
    fell_asleep_at: float = 0.0

    def start(self, now: float) -> None:
        """Starts from nothing."""
        self.up, self.asleep_until = True, 0.0
        self.starts += 1

    def spawn(self, name: str, steps: Steps[None], ready_at: float) -> Task:
        """Something more to do."""
        if len(self.tasks) > 500:
            raise Violation(f"{self.name} never ends what it does: {name}")
        task = Task(name, self, steps, max(ready_at, self.asleep_until))
        self.tasks.append(task)
        return task

    def crash(self) -> None:
        """Dies. What it had not yet committed or sent never happens."""
        self.up = False
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            task.steps.close()

    def sleep(self, now: float, until: float) -> None:
        """Stopped, as by SIGSTOP: it does nothing, hears nothing, and does not know it."""
        self.fell_asleep_at, self.asleep_until = now, until
        for task in self.tasks:
            if task.ready_at < until:
                task.ready_at = until
                task.idle = False

    def reconnected(self, now: float) -> None:
        """The bus is back."""
