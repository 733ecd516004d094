"""How long a struck deployment takes is counted from the return of what was killed; a strike counts that fell on something at work."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import cast

import pytest

from tests.faults.strikes import books, sitting
from tests.faults.strikes.kinds import KINDS
from tests.faults.strikes.kinds.strike import DidNotStrike
from tests.faults.strikes.ledger import Blow
from tests.faults.strikes.machine import Machine
from tests.faults.strikes.moments import Moment, Watch, is_boundary
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

    killed = ""

    def heal(self, killed: str = "") -> float:
        """The time of the return, of what it notes."""
        self.killed = killed or self.killed
        return time.monotonic()


@dataclass
class PaperStream:
    """One push, which shows its pipeline until its deployment has ended."""

    lanes: Sequence[Lane]
    ends_at: Callable[[], float]
    sent: list[Sent] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    is_sent = True

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
    begun: int = 0
    """Streams."""

    def ends_at(self) -> float:
        """By the monotonic clock."""
        return self.struck_at + self.ends_after_s if self.struck_at else float("inf")

    def _stream(self, chance: random.Random) -> Stream:
        self.begun += 1
        return cast(Stream, PaperStream(self.lanes, self.ends_at))


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> PaperSitting:
    """The sitting: its books say when the deployment has ended, and nothing else is looked at."""
    load = SimpleNamespace(requests=0, failed=[], host="web")
    made = PaperSitting(1, cast(Machine, Paper()), [cast(Lane, SimpleNamespace(load=load))], {"good": USUAL_S})
    made.watch = cast(Watch, SimpleNamespace(wait=lambda *_: True))

    def read(_: Machine) -> SimpleNamespace:
        state = "succeeded" if time.monotonic() > made.ends_at() else "running"
        return SimpleNamespace(deployments=[SimpleNamespace(id="d", state=state, commit="abc")], changes=[])

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


@pytest.mark.parametrize(
    ("kind", "hit", "killed"),
    [
        ("kill coordinator", None, "coordinator"),
        ("kill build", "the program of a build", "builder"),
        ("two replicas: kill one", "the second auth", "auth"),
        ("clocks differ: participants an hour behind", "deployer", "deployer"),
    ],
)
def test_of_every_single_kill_the_end_is_timed(
    kind: str, hit: str | None, killed: str, paper: PaperSitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the return of what was killed, also where chance chose it."""

    def blow(_: object) -> str | None:
        paper.struck_at = time.monotonic()
        return hit

    monkeypatch.setitem(KINDS, kind, replace(KINDS[kind], blow=blow))
    run = paper.run(replace(PLAN, kind=kind))
    assert run.late_s is not None
    assert cast(Paper, paper.machine).killed == killed


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


def test_a_strike_is_kept_as_it_was(paper: PaperSitting) -> None:
    """When it fell, on what, and what was hit."""
    run = paper.run(PLAN)
    assert run.blows == (Blow("after 0.0 s", came=True, at_work=("good: on its way",), hit="kill coordinator"),)
    assert run.struck == 1


def test_a_boundary_that_did_not_come_is_waited_for_in_another_stream(paper: PaperSitting) -> None:
    """What chance cancelled or made fail may never come to a step."""

    def wait(_: Moment, over: Callable[[], bool]) -> bool:
        return until(lambda: paper.begun == 2 or over(), within=5) and paper.begun == 2

    paper.watch = cast(Watch, SimpleNamespace(wait=wait))
    paper.struck_at = time.monotonic()  # all ends at once
    assert [blow.came for blow in paper.run(PLAN).blows] == [True]


def test_a_boundary_that_never_came_is_no_strike(paper: PaperSitting) -> None:
    """The blow falls all the same; it does not count."""
    paper.watch = cast(Watch, SimpleNamespace(wait=lambda *_: False))
    run = paper.run(PLAN)
    assert [blow.came for blow in run.blows] == [False]
    assert run.good
    assert run.struck == 0


def test_a_strike_that_found_nothing_is_none(paper: PaperSitting, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where no build runs that could be killed."""

    def blow(_: object) -> None:
        paper.struck_at = time.monotonic()
        raise DidNotStrike

    monkeypatch.setitem(KINDS, PLAN.kind, replace(KINDS[PLAN.kind], blow=blow))
    run = paper.run(PLAN)
    assert [blow.hit for blow in run.blows] == [""]
    assert run.struck == 0


def test_an_answer_is_more_than_that_a_worker_has_accepted() -> None:
    """Else a strike at the answer of a step would be one at its command."""
    subject = "slipway.res.local.deployer.01k-switch-web"
    answer, command = Moment(step="switch", edge="res"), Moment(step="switch", edge="cmd")
    assert is_boundary(answer, subject, b'{"outcome":"done"}')
    assert not is_boundary(answer, subject, b'{"outcome":"accepted"}')
    assert not is_boundary(command, subject, b'{"outcome":"done"}')
    assert is_boundary(command, "slipway.cmd.local.deployer.effects.01k-switch-web.do.1", b"{}")
