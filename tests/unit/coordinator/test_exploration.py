"""Random schedules of the engine: any order, duplicate, loss, crash, silence and late worker. Every schedule must end.

The target is a model with a fence: it keeps the highest epoch seen, refuses lower ones, and knows what stands on it.
What DESIGN wants tested as sentences is looked at after each input.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

import pytest

from services.coordinator import inputs as i
from services.coordinator.compensation import has_undo
from services.coordinator.engine import advance
from services.coordinator.plan import plan_builds, plan_deployment
from services.coordinator.saga import DeploymentState, Limits, Saga, Step, StepState, Want, is_after_pivot
from services.coordinator.snapshot import Record, Snapshot
from shared.contracts import facts as f
from shared.contracts.answers import Answer, Failure, Outcome, answer
from shared.contracts.commands import Command, Direction
from shared.contracts.events import Event
from shared.contracts.manifest import DatabaseManifest, JobManifest, Manifest, ServiceManifest
from shared.contracts.releases import ReleaseKind
from shared.contracts.steps import STEP_KINDS
from tests.unit.coordinator.scenario import START, Scenario, fact_for, origin, undone_for

SHOP = Manifest(
    services={"web": ServiceManifest(port=3000, databases=("db",)), "worker": ServiceManifest(databases=("db",))},
    databases={"db": DatabaseManifest()},
    jobs={"migrate": JobManifest(service="web", command=("migrate",), undo=("migrate", "down"))},
)
LIMITS = Limits(queue=timedelta(minutes=2))
DAY = timedelta(days=1)
KIND_OF = {kind.command: kind for kind in STEP_KINDS.values()}
SCHEDULES = 160
CALM_AFTER = 400
"""Inputs after which nothing goes wrong any more, so that a schedule shows whether it can end."""
AT_MOST = 3000


def _record() -> Record:
    scenario = Scenario(manifest=SHOP).run()
    assert scenario.saga.plan is not None
    plan = scenario.saga.plan
    former = {name: release.model_copy(update={"key": f"former-{name}"}) for name, release in plan.releases.items()}
    gone = former["worker"].model_copy(update={"service": "gone", "id": "gone"})
    return Record(releases=former | {"gone": gone}, databases=plan.databases)


FORMER = _record()


@dataclass
class Worker:
    """One delivery of a command to a worker."""

    command: Command
    silent: bool = False
    """It neither beats nor answers for now."""
    accepted: bool = False


@dataclass
class World:
    """A deployment, the bus, workers, and the target; `random` decides everything."""

    random: Random
    saga: Saga
    record: Record
    chaos: float
    now: datetime = START
    commands: list[Command] = field(default_factory=list)
    """In the stream: stay until a worker has acknowledged."""
    workers: list[Worker] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    old_answers: list[Answer] = field(default_factory=list)
    sent: dict[str, Command] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    cancelled: set[tuple[str, str]] = field(default_factory=set)
    fence: int = 0
    standing: dict[str, int] = field(default_factory=dict)
    """What a step with an undo has left on the target, with its epoch."""
    inputs: int = 0

    # The engine, and what is looked at after each input

    def feed(self, message: i.Input) -> None:
        """One input, and every sentence about it."""
        self.inputs += 1
        before = self.saga
        nothing_awaited = isinstance(message, Answer) and not _is_awaited(before, message)
        self.saga, outputs = advance(before, message, self.now, LIMITS)
        if nothing_awaited:
            assert self.saga == before, "an answer that nothing awaits changed something"
            assert not outputs
        for output in outputs:
            if isinstance(output, Command):
                self._sent(before, output)
            elif isinstance(output, Event):
                self.events.append(output)
            elif isinstance(output, i.CancelWork) and not self.bad():
                self.commands = [command for command in self.commands if not _purges(output.subject, command)]
                self.cancelled.add((output.step_key, output.direction))
        self._look()

    def _sent(self, before: Saga, command: Command) -> None:
        known = self.sent.setdefault(command.id, command)
        assert known is command, f"{command.id} was sent twice"
        self.commands.append(command)
        step = self.saga.steps[str(command.step)]
        if command.direction is Direction.DO:
            for name in step.depends_on:
                other = self.saga.steps[name]
                assert other.satisfied or (is_after_pivot(other.kind) and other.state is StepState.FAILED), f"{step.name} before {name}"
            assert self.saga.state not in {DeploymentState.COMPENSATING, DeploymentState.STUCK} or before.state is not self.saga.state
        else:
            assert not before.past_pivot, "an undo after the pivot"
            for other in _dependents(self.saga, step):
                assert other.state is StepState.UNDONE or not has_undo(other), f"{step.name} undone before {other.name}"
                assert not other.at_work, f"{step.name} undone while {other.name} is at work"

    def _look(self) -> None:
        saga = self.saga
        assert [event.sequence for event in self.events] == list(range(1, len(self.events) + 1))
        if saga.state.final:
            assert not any(step.at_work for step in saga.steps.values())
        elif saga.state is DeploymentState.STUCK:
            assert any(step.state is StepState.UNDO_FAILED for step in saga.steps.values()), "stuck at nothing"
        else:
            assert saga.wake_at(LIMITS.silence) is not None or saga.wants is not None, f"{saga.state} with nothing to come"

    # What can happen

    def bad(self) -> bool:
        """Something goes wrong now."""
        chance = self.chaos if self.saga.epoch is not None else self.chaos / 10  # else hardly one would take the environment
        return self.inputs < CALM_AFTER and self.random.random() < chance

    def happen(self) -> None:
        """One thing happens: a delivery, a worker's progress, an answer, a want, a timer, a person."""
        choices = [self._time]
        choices += [self._deliver] * 3 * bool(self.commands)
        choices += [self._work] * 4 * bool(self.workers)
        choices += [self._answer] * 4 * bool(self.answers)
        choices += [self._want] * 3 * (self.saga.wants is not None)
        choices += [self._stale] * (bool(self.old_answers) and self.inputs < CALM_AFTER)
        choices += [self._person]
        self.random.choice(choices)()

    def _deliver(self) -> None:
        command = self.random.choice(self.commands)
        if self.bad():  # a power cut takes it from the stream
            self.commands.remove(command)
        elif all(worker.command is not command for worker in self.workers) or self.bad():
            self.workers.append(Worker(command))

    def _work(self) -> None:
        worker = self.random.choice(self.workers)
        if worker.silent:
            worker.silent = self.inputs < CALM_AFTER and self.random.random() < 0.95
        elif self.bad():
            if self.random.random() < 0.5:
                self.workers.remove(worker)  # it crashed: the command is still in the stream
            else:
                worker.silent = True
        elif not worker.accepted and self.random.random() < 0.6:
            worker.accepted = True
            self._says(worker.command, Outcome.ACCEPTED)
        else:
            self._finish(worker)

    def _finish(self, worker: Worker) -> None:
        command = worker.command
        if command.direction is Direction.DO and (command.step_key, "do") in self.cancelled:
            self._says(command, Outcome.FAILED, failure=Failure(code="cancelled", message="cancelled"))
        elif command.epoch is not None and command.epoch < self.fence:
            self._says(command, Outcome.REFUSED, failure=Failure(code="lower_epoch", message="lower epoch"))
        else:
            self._effect(command)
        if self.bad():  # it dies after its answer, before its acknowledgement: the command is delivered again
            self.workers.remove(worker)
            return
        self.workers.remove(worker)
        self.commands = [other for other in self.commands if other is not command]

    def _effect(self, command: Command) -> None:
        self.fence = max(self.fence, command.epoch or 0)
        step, half = str(command.step), self.bad()
        if command.direction is Direction.UNDO:
            if not half:
                self.standing.pop(step, None)
        elif KIND_OF[type(command)].undone is not None and (not half or self.random.random() < 0.5):
            self.standing[step] = command.epoch or 0
        if half:
            self._says(command, Outcome.FAILED, failure=Failure(code="broken", message="broken", may_pass=self.random.random() < 0.5))
        elif command.direction is Direction.UNDO:
            self._says(command, Outcome.DONE, fact=undone_for(command))
        else:
            self._says(command, Outcome.DONE, fact=self._fact(command))

    def _fact(self, command: Command) -> f.Fact:
        if KIND_OF[type(command)].name == "authorise" and self.random.random() < 0.1:
            return f.ApprovalRequested(rule="production asks")
        return fact_for(command, SHOP)

    def _says(self, command: Command, outcome: Outcome, *, fact: f.Fact | None = None, failure: Failure | None = None) -> None:
        said = answer(command, KIND_OF[type(command)].participant, outcome, fact=fact, failure=failure)
        if not self.bad():  # else a power cut took it
            self.answers.append(said)

    def _answer(self) -> None:
        index = 0 if self.random.random() < 0.7 else self.random.randrange(len(self.answers))
        said = self.answers[index]
        if not self.bad():  # else it is delivered once more
            del self.answers[index]
        self.old_answers.append(said)
        self.feed(said)

    def _stale(self) -> None:
        self.feed(self.random.choice(self.old_answers))

    def _want(self) -> None:
        want = self.saga.wants
        if want is None:
            return
        if self.bad():
            self.feed(i.Refused(Failure(code="refused", message="it cannot be done")))
        elif want is Want.BUILDS:
            self.feed(plan_builds(self.saga, Snapshot()))
        elif want is Want.ENVIRONMENT:
            self.feed(i.EnvironmentTaken(epoch=7))
        else:
            self.feed(plan_deployment(self.saga, Snapshot(), self.record, self.record))

    def _time(self) -> None:
        wake = self.saga.wake_at(LIMITS.silence)
        idle = not (self.commands or self.workers or self.answers)
        if wake is not None and (idle or self.random.random() < self.chaos / 5):
            self.now = max(self.now, wake)
        self.now += timedelta(milliseconds=self.random.randrange(1, 500))
        heard = {str(worker.command.step): self.now for worker in self.workers if worker.accepted and not worker.silent}
        away = timedelta(seconds=self.random.randrange(60)) if self.bad() else DAY
        self.feed(i.Tick(connected_since=self.now - away, heard=heard))

    def _person(self) -> None:
        if self.saga.state is DeploymentState.STUCK:
            self.feed(i.Retried(by="ada"))
        elif self.saga.state is DeploymentState.WAITING:
            self.feed(i.Approved(by="ada", approved=True))
        elif self.bad() and self.random.random() < 0.1:
            self.feed(i.Cancelled(by="ada"))


def _is_awaited(saga: Saga, said: Answer) -> bool:
    step = saga.steps[str(said.step)]
    if said.direction is Direction.UNDO:
        return step.state is StepState.UNDOING
    return step.state in {StepState.SENT, StepState.ACCEPTED}


def _purges(subject: str, command: Command) -> bool:
    at = f"{command.target}.{KIND_OF[type(command)].participant}"
    return at in subject.replace("._.", f".{command.target}.") and subject.endswith(f"{command.step_key}.{command.direction}.*")


def _dependents(saga: Saga, step: Step) -> list[Step]:
    direct = [other for other in saga.steps.values() if step.name in other.depends_on]
    return direct + [further for other in direct for further in _dependents(saga, other)]


def _world(seed: int) -> World:
    random = Random(seed)
    kind = random.choice([ReleaseKind.DEPLOY, ReleaseKind.DEPLOY, ReleaseKind.ROLLBACK, ReleaseKind.REMOVE])
    more: dict[str, object] = {"kind": kind}
    if kind is not ReleaseKind.DEPLOY:
        more |= {"source": None, "rollback_to": "d0" if kind is ReleaseKind.ROLLBACK else None}
    record = random.choice([Record(), FORMER])
    saga = Saga(id="d1", origin=origin(**more), state=DeploymentState.AUTHORIZING, created_at=START)
    return World(random, saga, record, chaos=random.choice([0.0, 0.02, 0.1, 0.3]))


@pytest.mark.parametrize("part", range(4))
def test_every_schedule_ends_and_leaves_nothing_half_done(part: int) -> None:
    """Whatever happens on the way, it ends; then all stands, or nothing does, also after the last late worker."""
    for seed in range(part, SCHEDULES, 4):
        world = _world(seed)
        world.feed(i.Begin(cause="change-1"))
        try:
            while not world.saga.state.final:
                world.happen()
                assert world.inputs < AT_MOST, f"still {world.saga.state}"
            _afterwards(world)
        except AssertionError as error:
            raise AssertionError(f"schedule {seed}: {error}") from error


def _afterwards(world: World) -> None:
    for worker in world.workers:
        worker.silent = False
    world.inputs = max(world.inputs, CALM_AFTER)
    _standing_is_right(world)
    while world.workers or world.commands:
        world._deliver() if world.commands and not world.workers else world._work()
    _standing_is_right(world)


def _standing_is_right(world: World) -> None:
    saga = world.saga
    if saga.state is DeploymentState.SUCCEEDED:
        done = {name for name, step in saga.steps.items() if has_undo(step)}
        assert set(world.standing) == done, f"{done ^ set(world.standing)} at the end"
    else:
        assert not world.standing, f"{saga.state}, and {sorted(world.standing)} stand"
