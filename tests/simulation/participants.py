"""Workers, as `shared.participant` and the deployer's fence make them: decode, fence, look, make it so, answer, acknowledge."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from services.coordinator.inputs import CancelWork
from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.contracts.answers import Answer, Failure, Outcome
from shared.contracts.commands import Command, Direction
from shared.contracts.steps import KIND_OF
from tests.simulation import applications, effects
from tests.simulation.streams import Consumer, Delivery, Unavailable
from tests.simulation.target import Failed, Landing
from tests.simulation.tasks import Nap, Party, Steps
from tests.unit.coordinator.scenario import fact_for, undone_for

if TYPE_CHECKING:
    from tests.simulation.world import World

PARTICIPANT_OF = {command: kind.participant for command, kind in KIND_OF.items()}
LEASE_S = 30.0
BUSY_S, TRIES, DELIVERIES, PAUSE_S, LOOK_AGAIN_S = 5.0, 3, 10, 0.5, 0.005


class LowerEpoch(Exception):
    """The target has seen a higher epoch."""


class StepFailure(Exception):
    """An expected failure."""

    def __init__(self, code: str, *, may_pass: bool = False) -> None:
        super().__init__(code)
        self.failure = Failure(code=code, message=code, may_pass=may_pass)


class Unexpected(Exception):
    """A defect of the worker or of its surroundings."""


class Cancelled(Exception):
    """Somebody called it off."""


@dataclass(eq=False)
class Worker:
    """One delivery of a command in a process's hands."""

    world: "World"
    process: "Process"
    command: Command
    delivery: Delivery
    cancelled: bool = False
    began_at: float = 0.0

    def run(self) -> Steps[None]:
        """Until it is acknowledged or given back."""
        command, key = self.command, (self.command.step_key, self.command.direction)
        if (now := self.process.working.get(key)) is not None:
            sequence = self.delivery.stored.sequence
            if sequence not in {now.delivery.stored.sequence} | self.process.waiting:
                self.process.waiting.add(sequence)
                yield from self._say(self._message(Outcome.ACCEPTED))
            self.delivery.give_back(BUSY_S)
            return
        self.process.working[key] = self
        self.began_at = self.world.now
        try:
            yield from self._say_what_nobody_asked()
            said = self._given_up() if self.delivery.tries > DELIVERIES else (yield from self._answer())
        finally:
            self.process.working.pop(key, None)
        if said is None:
            self.delivery.give_back(float(self.delivery.tries))
            return
        yield from self._say(said)
        if self._is_strange("an answer comes twice"):
            yield from self._say(said.model_copy(update={"id": self.world.fresh_id("again")}))
        yield 0.0
        self.delivery.acknowledge()
        self.world.tell(f"{self.process.name}: acknowledges {command.attempt_id}")

    def _given_up(self) -> Answer:
        return self._message(Outcome.FAILED, failure=Failure(code="worker_killed", message="its workers died of it, again and again"))

    def _answer(self) -> Steps[Answer | None]:
        try:
            yield from self._die()
            if self.world.happens(self.world.profile.slow):
                yield from self._say(self._message(Outcome.ACCEPTED))
            yield from self.pause(0.0)
            done = self._message(Outcome.DONE, fact=(yield from self._make_it_so()))
            return self._unreadable(done) if self._is_strange("an answer cannot be read", 0.1) else done
        except StepFailure as error:
            return self._message(Outcome.FAILED, failure=error.failure)
        except LowerEpoch:
            refused = Failure(code="lower_epoch", message="a later deployment has had it")
            return self._message(Outcome.REFUSED, failure=refused, seen=self.world.target.fence)
        except Cancelled:
            return self._message(Outcome.FAILED, failure=Failure(code="cancelled", message="cancelled"))
        except Unexpected:
            if self.delivery.tries < TRIES:
                return None
            return self._message(Outcome.FAILED, failure=Failure(code="internal_error", message="a defect"))

    def pause(self, seconds: float) -> Steps[None]:
        """Where others may come between; where it hears that it was cancelled, or that its time is over."""
        yield seconds
        if self.cancelled:
            raise Cancelled
        if self.world.now - self.began_at > self.command.timeout_s:
            raise StepFailure("timed_out")

    def _die(self) -> Steps[None]:
        """Some steps kill the process of their worker, once it has said that it is at it."""
        deadly, command = self.world.profile.deadly, self.command
        if not deadly or command.direction is Direction.UNDO or not str(command.step).startswith(deadly) or not self.world.happens(1.0):
            return
        self.world.counts["a worker is killed by its step"] += 1
        yield from self._say(self._message(Outcome.ACCEPTED))
        yield from self._wait_for_the_end()

    def _wait_for_the_end(self) -> Steps[None]:
        """Its process dies, now."""
        world, process, starts = self.world, self.process, self.process.starts
        world.later(0.0, lambda: world.crash(process) if process.up and process.starts == starts else None)
        yield LEASE_S

    def _is_strange(self, kind: str, share: float = 1.0) -> bool:
        if not self.world.happens(self.world.profile.strange * share):
            return False
        self.world.counts[kind] += 1
        self.world.tell(f"{self.process.name}: {kind}: {self.command.attempt_id}")
        return True

    def _say_what_nobody_asked(self) -> Steps[None]:
        """It is not done yet: somebody says so in another's name, of another epoch or attempt, or says something else."""
        asked, epoch = self.process.participant, (1 if self.command.epoch is None else self.command.epoch - 1)
        forged = (
            ("another participant answers", {"participant": "builder" if asked == "deployer" else "deployer"}),
            ("another target answers", {"target": "elsewhere"} if asked != "auth" else {"participant": "deployer", "target": "elsewhere"}),
            ("another epoch is answered", {"epoch": epoch}),
            ("a later attempt is answered", {"attempt": self.command.attempt + 100}),  # the next one may have been sent
            ("another fact is told", {"name": "TrafficSwitched" if type(self.command) is not c.SwitchTraffic else "ReleaseRetired"}),
        )
        kind, changed = forged[self.world.pick(len(forged))] if self.world.profile.strange else ("", {})
        if kind and self._is_strange(kind):
            done = self._message(Outcome.DONE, fact=self.world.true_after(self.command))
            yield from self._say(done.model_copy(update=changed))

    @staticmethod
    def _unreadable(done: Answer) -> Answer:
        """As of a version that the coordinator does not know."""
        return done.model_copy(update={"name": "SomethingNew"})

    def _make_it_so(self) -> Steps[f.Fact]:
        command = self.command
        if isinstance(command, c.InspectSource | c.BuildImage):
            self._clone(command.source.valid_until)
        if PARTICIPANT_OF[type(command)] == "deployer":
            yield from self.leased(None)
            for effect in effects.script(command):
                self.world.trouble(command)
                if isinstance(effect, effects.Look):
                    yield from self._look(effect)
                else:
                    yield from self.leased(effect)
        else:
            yield from self.pause(0.0)
        if self.world.happens(self.world.profile.hangs):
            self.world.counts["a worker hangs"] += 1
            yield from self.pause(self.command.timeout_s + 1)
        self.world.trouble(command, at_the_end=True)
        return self.world.fact(command)

    def _clone(self, until: datetime | None) -> None:
        if until is not None and until < self.world.clock():
            self.world.counts["a credential has ended"] += 1
            raise StepFailure("clone_denied")

    def _look(self, look: effects.Look) -> Steps[None]:
        yield from self.pause(0.0)
        try:
            look.at(self.world.target, self.command)
        except Failed as error:
            raise StepFailure(str(error)) from None

    def leased(self, effect: effects.Effect | None) -> Steps[None]:
        """One look and one effect under the lease. Without an effect: only the fence."""
        target = self.world.target
        yield from self._acquire()
        try:
            admit(self.process, self.command)
            if effect is None:
                return
            yield from self.pause(0.0)
            landing = effect(target, self.command)
            if target.left:
                self.world.counts["a release was left"] += 1
                self.world.later(0.0, self.world.reconcile)
            if landing is not None:
                yield from self._land(landing)
        except Failed as error:
            raise StepFailure(str(error)) from None
        finally:
            if target.holder is self.process:
                target.holder = None

    def _acquire(self) -> Steps[None]:
        target, since, wait = self.world.target, self.world.now, LOOK_AGAIN_S
        while target.holder is not None:
            if self.world.now - since > LEASE_S and target.holder is not self.process:
                self.world.tell(f"{self.process.name}: kills {target.holder.name}, which held the lease too long")
                self.world.crash(target.holder)
                target.holder = None
                break
            yield from self.pause(wait)
            wait = min(wait * 2, BUSY_S)
        target.holder = self.process

    def _land(self, landing: Landing) -> Steps[None]:
        try:
            yield from self.pause(0.0)
            if self.world.happens(self.world.profile.abandoned):
                yield from self._wait_for_the_end()
        except (GeneratorExit, Cancelled, StepFailure):
            if self.world.happens(self.world.profile.late_requests):
                self.world.counts["a request stays under way"] += 1
                self.world.target.late.append((self.command.step_key, landing))
            raise
        landing()

    def _message(self, outcome: Outcome, *, fact: f.Fact | None = None, failure: Failure | None = None, seen: int | None = None) -> Answer:
        return answer(self.world, self.command, outcome, fact=fact, failure=failure, seen=seen)

    def _say(self, said: Answer) -> Steps[None]:
        """Until the stream has it."""
        while True:
            try:
                self.world.bus.publish("RESULTS", said.id, f"{said.deployment}-{said.step}", said)
            except Unavailable:
                yield PAUSE_S
            else:
                return


def admit(process: "Process", command: Command) -> None:
    """The fence: remembers the highest epoch, refuses lower ones."""
    epoch, target = command.epoch or 0, process.world.target
    if epoch < target.fence:
        raise LowerEpoch
    target.fence = epoch


def answer(
    world: "World",
    command: Command,
    outcome: Outcome,
    *,
    fact: f.Fact | None = None,
    failure: Failure | None = None,
    seen: int | None = None,
) -> Answer:
    """As participants say it."""
    participant = PARTICIPANT_OF[type(command)]
    return Answer(
        id=world.fresh_id("answer"),
        time=applications.START,
        cause=command.id,
        deployment=command.deployment,
        step=command.step,
        target="_" if participant == "auth" else command.target,
        participant=participant,
        direction=command.direction,
        attempt=command.attempt,
        epoch=command.epoch,
        outcome=outcome,
        name=None if fact is None else type(fact).__name__,
        data={} if fact is None else fact.model_dump(mode="json"),
        failure=failure,
        seen_epoch=seen,
    )


@dataclass(eq=False)
class Process(Party):
    """One process of a participant."""

    participant: str = ""
    world: "World" = field(kw_only=True)
    consumer: Consumer = field(kw_only=True)
    working: dict[tuple[str, Direction], Worker] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)
    """Commands that were accepted while another attempt at their step is at work."""

    @property
    def awake(self) -> bool:
        """Neither dead nor stopped."""
        return self.up and self.asleep_until <= self.world.now

    def start(self, now: float) -> None:
        """Takes commands."""
        super().start(now)
        self.working, self.waiting = {}, set()
        self.consumer.readers = [task for task in self.consumer.readers if task.party is not self]
        self.consumer.readers.append(self.spawn("commands", self._fetch(), now))

    def _fetch(self) -> Steps[None]:
        world = self.world
        while True:
            for delivery in self.consumer.fetch(world.now, 8) if world.bus.up else ():
                command = delivery.stored.body
                assert isinstance(command, Command)
                world.tell(f"{self.name}: takes {command.attempt_id}, epoch {command.epoch}, delivery {delivery.tries}")
                self.spawn(command.attempt_id, Worker(world, self, command, delivery).run(), world.now)
            at = self.consumer.next_at(world.now)
            yield Nap(max(at - world.now, 0.001))

    def hear(self, cancel: CancelWork) -> None:
        """Core NATS: a worker at work is told to stop."""
        worker = self.working.get((cancel.step_key, Direction(cancel.direction)))
        if worker is not None:
            worker.cancelled = True

    def works_at(self, sequence: int) -> bool:
        """It says so every few seconds."""
        return self.awake and any(
            worker.delivery.stored.sequence == sequence and worker.delivery.starts == self.consumer.stream.starts
            for worker in self.working.values()
        )

    def heard(self, step_key: str) -> float | None:
        """When a worker of the step was last heard; None where none is at it here."""
        if not any(key == step_key for key, _ in self.working):
            return None
        return self.world.now if self.awake else self.fell_asleep_at


def fact_of(command: Command, variant: int, number: int) -> f.Fact:
    """What is true after a command that worked."""
    if command.direction is Direction.UNDO:
        return undone_for(command)
    if isinstance(command, c.InspectSource):
        stale = command.newest is not None and command.source.commit < command.newest
        return applications.inspected(number, variant, stale=stale)
    if isinstance(command, c.BuildImage):
        return f.ImageBuilt(service=command.service, image=applications.image(command.service, number))
    if isinstance(command, c.PushImage):
        return f.ImagePushed(service=command.service, image=command.image)
    return fact_for(command, applications.MANIFESTS[variant])
