"""The coordinator's process: `work`, `results`, `changes`, `requests`, `driver` and `timers` around the real engine.

A transaction is what a task does between two stops; what comes after the commit (cancels, acknowledgements) comes after a stop.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from services.coordinator import engine
from services.coordinator import inputs as i
from services.coordinator.plan import plan_builds, plan_deployment
from services.coordinator.saga import DeploymentState, Limits, Saga, Want
from services.coordinator.snapshot import Record, Snapshot
from services.coordinator.turns import Turn, turn
from shared.contracts.answers import Answer, Failure
from shared.contracts.events import Event
from shared.outbox import Outgoing, Row, outgoing
from tests.simulation import deliveries, wishes
from tests.simulation.outbox import Relay
from tests.simulation.streams import Consumer, Delivery
from tests.simulation.tasks import IDLE, Nap, Party, Steps, Task

if TYPE_CHECKING:
    from tests.simulation.world import World

LIMITS = Limits()
CREDENTIAL = timedelta(seconds=20)
"""How much longer a credential is good than a command may wait: so short that a second attempt needs another."""


@dataclass(eq=False)
class Work:
    """One transaction, as `UnitOfWork`."""

    world: "World"
    messages: list[Outgoing] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    cancels: list[i.CancelWork] = field(default_factory=list)
    newer: list[Saga] = field(default_factory=list)

    def create(self, saga: Saga, cause: str) -> None:
        """A new deployment and its first move."""
        self.world.database.sagas[saga.id] = saga
        self.apply(saga.id, i.Begin(cause=cause))

    def apply(self, deployment: str, message: i.Input) -> None:
        """Moves a saga and writes it with all that it sends."""
        world, database = self.world, self.world.database
        saga = database.sagas.get(deployment)
        if saga is None:
            return
        if saga.state in {DeploymentState.AUTHORIZING, DeploymentState.WAITING}:
            saga = replace(saga, newest=database.environment.newest_commit)
        after, outputs = engine.advance(saga, message, world.clock(), LIMITS)
        if after is not saga:
            self._save(saga, after)
        for output in outputs:
            if isinstance(output, i.CancelWork):
                self.cancels.append(output)
            elif isinstance(output, i.CloseCommands):
                self.closed += output.ids
            else:
                self.messages.append(outgoing(output))
        world.invariants.moved(saga, message, after, outputs)

    def publish(self, event: Event) -> None:
        """Another message with the same transaction."""
        self.messages.append(outgoing(event))

    def write(self) -> list[Row]:
        """The messages, in the same transaction; the rows that the outbox took, for its relay once it is committed."""
        outbox = self.world.database.outbox
        rows = outbox.add(self.messages, self.world.now)
        outbox.close(self.closed)
        return rows

    def _save(self, before: Saga, saga: Saga) -> None:
        database = self.world.database
        environment = database.environment
        database.sagas[saga.id] = saga
        wake_at = None if saga.state.final else saga.wake_at(LIMITS.silence)
        if wake_at is None:
            database.wake_at.pop(saga.id, None)
        else:
            database.wake_at[saga.id] = wake_at
        if saga.wants is None:
            database.wants.pop(saga.id, None)
        else:
            database.wants[saga.id] = None
        if saga.epoch is not None and saga.epoch != before.epoch:
            environment.epoch = max(environment.epoch, saga.epoch)
        if saga.authorised and not before.authorised:
            if saga.origin.arrival > environment.newest_arrival:
                environment.newest_arrival = saga.origin.arrival
                environment.newest_commit = saga.origin.source.commit if saga.origin.source else None
            self.newer.append(saga)
        if saga.state is DeploymentState.SUCCEEDED and saga.plan is not None:
            environment.record = Record(releases=saga.plan.releases, databases=saga.plan.databases)
            environment.deployment = saga.id
            database.records[saga.id] = environment.record


@dataclass(eq=False)
class Coordinator(Party):
    """One process of it."""

    world: "World" = field(kw_only=True)
    connected_since: float = 0.0
    newer: list[Saga] = field(default_factory=list)

    def start(self, now: float) -> None:
        """Reads what there is and drives what is wanted."""
        super().start(now)
        world = self.world
        self.connected_since, self.newer = now, []
        self._read("results", world.results, now)
        self._read("changes", world.changes, now)
        self._read("requests", world.requests, now)
        self.relay = Relay(world, world.database.outbox)
        world.database.outbox.relays = [self.spawn("relay", self.relay.run(), now)]
        self._driver = self.spawn("driver", self._drive(), now)
        self._timers = self.spawn("timers", self._fire(), now)

    def _read(self, name: str, consumer: Consumer, now: float) -> None:
        consumer.readers = [task for task in consumer.readers if task.party.up and task.party is not self]
        consumer.readers.append(self.spawn(name, self._fetch(name, consumer), now))

    def reconnected(self, now: float) -> None:
        """Silence counts anew, and the relay looks for losses."""
        self.connected_since = now
        self.relay.check = True
        self.relay.wake()

    def wake(self, tasks: Iterable[Task]) -> None:
        """There is something to do."""
        for task in tasks:
            task.wake(self.world.now)

    def _fetch(self, name: str, consumer: Consumer) -> Steps[None]:
        world = self.world
        while True:
            found = consumer.fetch(world.now, 5) if world.bus.up else []
            if found and len(found) > 1 and world.happens(world.profile.reordered):
                found.reverse()
            if found:
                yield 0.0
                yield from self._take(name, found)
            at = consumer.next_at(world.now)
            yield Nap(max(at - world.now, 0.0))

    def _take(self, name: str, found: list[Delivery]) -> Steps[None]:
        work = Work(self.world)
        if name == "results":
            self.take_results(work, found)
        for delivery in found if name != "results" else ():
            (deliveries.take if name == "changes" else wishes.take)(work, delivery.stored.body)
        yield from self.committed(work)
        for delivery in found:
            delivery.acknowledge()

    def take_results(self, work: Work, found: list[Delivery]) -> None:
        """Each moves its saga; one that was taken before moves nothing."""
        for delivery in found:
            said = delivery.stored.body
            assert isinstance(said, Answer)
            if self.world.database.take(said.id):
                self.world.tell(f"coordinator: {said.step} {said.direction} {said.attempt} of {said.deployment}: {said.outcome}")
                work.apply(said.deployment or "", said)

    def committed(self, work: Work) -> Steps[None]:
        """The commit, and what comes after it: best effort."""
        rows = work.write()
        yield from self.relay.hand_over(rows)
        self.newer += work.newer
        self.wake([self._driver, self._timers])
        for cancel in work.cancels:
            yield 0.0
            world = self.world
            if world.bus.up and not world.happens(world.profile.lost_core):
                world.bus.commands.remove_subjects(cancel.subject.removesuffix("*"))
            if world.bus.up and not world.happens(world.profile.lost_core):
                for process in world.processes:
                    process.hear(cancel)

    # Timers

    def _fire(self) -> Steps[None]:
        world, wake_at = self.world, self.world.database.wake_at
        while True:
            clock = world.clock()
            for name in [name for name, at in wake_at.items() if at <= clock]:
                work = Work(world)
                saga = world.database.sagas[name]
                work.apply(name, self.tick(saga))
                yield from self.committed(work)
            soonest = min(wake_at.values(), default=None)
            # One that is due still (a beat was heard since) is looked at again a moment later.
            yield IDLE if soonest is None else Nap(max((soonest - world.clock()).total_seconds(), 0.25))

    def tick(self, saga: Saga) -> i.Tick:
        """What was heard, on the database's clock."""
        world, clock = self.world, self.world.clock()
        heard = {}
        for name, step in saga.steps.items():
            if not step.accepted or world.happens(world.profile.lost_core):
                continue
            times = [at for process in world.processes if (at := process.heard(f"{saga.id}-{name}")) is not None]
            if times and max(times) >= self.connected_since:
                heard[name] = clock - timedelta(seconds=world.now - max(times))
        connected = self.connected_since if world.bus.up else world.now
        return i.Tick(connected_since=clock - timedelta(seconds=world.now - connected), heard=heard)

    # Wants

    def _drive(self) -> Steps[None]:
        world, database = self.world, self.world.database
        while True:
            while self.newer:
                yield from self._older_give_way(self.newer.pop())
            served = False
            for name in list(database.wants):
                saga = database.sagas[name]
                if saga.wants is Want.ENVIRONMENT:
                    served |= yield from self.take_environment()
                elif saga.wants is not None:
                    served = True
                    yield 0.0
                    work = Work(world)
                    work.apply(name, self._planned(saga))
                    yield from self.committed(work)
            if not served and not self.newer:
                yield IDLE

    def _older_give_way(self, newer: Saga) -> Steps[None]:
        yield 0.0
        work = Work(self.world)
        for name, saga in list(self.world.database.sagas.items()):
            if saga.origin.arrival < newer.origin.arrival and saga.epoch is None and not saga.state.final:
                work.apply(name, i.Superseded(by=newer.id, reason="a newer commit was pushed", by_hand=newer.origin.by_hand))
        yield from self.committed(work)

    def is_free(self) -> bool:
        """Nobody holds the environment."""
        return self.world.database.holder() is None

    def take_environment(self) -> Steps[bool]:
        """Whose turn it is takes a free environment; whether there was anything to do."""
        now = self._turn()
        if not now.give_way and (now.next is None or not self.is_free()):
            return False
        yield 0.0
        work, now, database = Work(self.world), self._turn(), self.world.database
        for name, newer in now.give_way.items():
            work.apply(name, newer)
        if now.next is not None and self.is_free():
            former = {name: release.id for name, release in database.environment.record.releases.items()}
            work.apply(now.next, i.EnvironmentTaken(epoch=database.environment.epoch + 1, former=former))
        yield from self.committed(work)
        return True

    def _turn(self) -> Turn:
        database = self.world.database
        queued = [saga for name in database.wants if (saga := database.sagas[name]).wants is Want.ENVIRONMENT]
        return turn(queued, database.sagas.get(database.environment.deployment or ""))

    def _planned(self, saga: Saga) -> i.Input:
        database = self.world.database
        if saga.wants is Want.SOURCE:
            return self._credential(saga)
        if self.world.happens(self.world.profile.refusals):
            return i.Refused(Failure(code="catalogue", message="the catalogue says no"))
        if saga.wants is Want.BUILDS:
            return plan_builds(saga, Snapshot(), database.environment.record)
        goal = saga.origin.rollback_to
        return plan_deployment(saga, Snapshot(), database.environment.record, database.records[goal] if goal else None)

    def _credential(self, saga: Saga) -> i.Input:
        world = self.world
        if world.happens(world.profile.refusals):
            return i.SourceDenied(Failure(code="clone_unreachable", message="the forge is away", may_pass=True))
        assert saga.cloned_from is not None
        return i.SourceGiven(saga.cloned_from.model_copy(update={"valid_until": world.clock() + LIMITS.queue + CREDENTIAL}))
