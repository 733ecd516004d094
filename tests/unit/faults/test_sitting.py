"""How long a struck deployment takes is counted from the return of what was killed, whatever else waits for its end."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import cast

import pytest

from tests.faults.strikes import books, sitting
from tests.faults.strikes.kinds import KINDS
from tests.faults.strikes.machine import Machine
from tests.faults.strikes.moments import Moment, Watch
from tests.faults.strikes.sitting import Plan, Sitting
from tests.faults.strikes.stream import Lane, Sent, Stream
from tests.polling import until

IN_TIME_S = 0.5
USUAL_S = 0.2
PLAN = Plan(1, "kill coordinator", 0, (Moment(after_s=0.0),))


class Paper:
    """A machine that is back at once."""

    def become(self, rig: dict[str, str], *, replicas: bool) -> None:
        """As it is."""

    def door(self) -> tuple[int, int]:
        """Always the same."""
        return 1, 1

    def heal(self, killed: str = "") -> float:
        """The time of the return."""
        return time.monotonic()


@dataclass
class PaperStream:
    """One push, which shows its pipeline until its deployment has ended."""

    lanes: Sequence[Lane]
    ends_at: Callable[[], float]
    sent: list[Sent] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def start(self) -> None:
        """The push is accepted at once."""
        self.sent.append(Sent(self.lanes[0], "abc", "good", frozenset({"succeeded"}), accepted_at=time.monotonic()))

    def wait(self) -> None:
        """Until git says that it has ended."""
        until(lambda: time.monotonic() > self.ends_at(), within=10)


@dataclass
class PaperSitting(Sitting):
    """A sitting whose only deployment ends some time after the kill."""

    ends_after_s: float = 0.0
    struck_at: float = 0.0

    def ends_at(self) -> float:
        """By the monotonic clock."""
        return self.struck_at + self.ends_after_s if self.struck_at else float("inf")

    def _stream(self, chance: random.Random) -> Stream:
        return cast(Stream, PaperStream(self.lanes, self.ends_at))


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> PaperSitting:
    """The sitting: its books say when the deployment has ended, and nothing else is looked at."""
    load = SimpleNamespace(requests=0, failed=[], host="web")
    made = PaperSitting(1, cast(Machine, Paper()), [cast(Lane, SimpleNamespace(load=load))], {"good": USUAL_S})
    made.watch = cast(Watch, SimpleNamespace(wait=lambda _: True))

    def read(_: Machine) -> books.Books:
        state = "succeeded" if time.monotonic() > made.ends_at() else "running"
        return books.Books((books.Deployment("d", state, False, "abc", "shop"),), (), {})  # noqa: FBT003 -- a row

    def blow(_: object) -> None:
        made.struck_at = time.monotonic()

    monkeypatch.setattr(books, "read", read)
    monkeypatch.setattr(sitting, "IN_TIME_S", IN_TIME_S)
    monkeypatch.setattr(sitting, "examine", lambda *_: None)
    monkeypatch.setitem(KINDS, PLAN.kind, replace(KINDS[PLAN.kind], blow=blow))
    return made


def test_a_late_end_is_seen_although_its_push_showed_it(paper: PaperSitting) -> None:
    """The stream is over when the deployment is: that is no return of anything."""
    paper.ends_after_s = 1.5
    run = paper.run(PLAN)
    assert run.late_s == pytest.approx(1.5 - USUAL_S, abs=0.6)
    assert run.wrong == (f"a deployment ended {run.late_s:.0f} s later than usual after the process's return",)


def test_an_end_in_time_is_good(paper: PaperSitting) -> None:
    """Of the time after the return, the usual time and the promised time may pass."""
    paper.ends_after_s = 0.1
    run = paper.run(PLAN)
    assert run.good
    assert run.late_s == pytest.approx(0.1 - USUAL_S, abs=0.5)


def test_the_usual_time_is_that_of_the_deployment(paper: PaperSitting) -> None:
    """Without a strike it is measured alike: a push that goes on after the end of its deployment makes no deployment slow."""
    paper.usual, paper.struck_at = {}, time.monotonic()
    stream = PaperStream(paper.lanes, lambda: paper.struck_at + 1.5)
    paper.undisturbed(cast(Stream, stream), lambda _: stream.start())
    assert paper.usual == {"good": pytest.approx(0.3, abs=0.3)}
