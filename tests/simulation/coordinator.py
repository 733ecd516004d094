"""The coordinator's process: `results`, `changes`, `requests`, `driver` and `timers` around the real engine.

In some schedules there are two of them. What comes after a commit (hand-over, cancels, acknowledgements) comes after a stop.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from services.coordinator import inputs as i
from services.coordinator.plan import plan_builds, plan_deployment
from services.coordinator.saga import Saga, Want
from services.coordinator.snapshot import Record, Snapshot
from services.coordinator.turns import Turn, turn
from shared.contracts.answers import Answer, Failure
from shared.contracts.changes import ChangePushed, RequestChange
from shared.contracts.requests import Request
from tests.simulation import deliveries, previews, wishes
from tests.simulation.outbox import Disconnected, Relay
from tests.simulation.previews import CatalogueAway, CatalogueBehind
from tests.simulation.streams import Consumer, Delivery
from tests.simulation.tasks import IDLE, Nap, Party, Steps
from tests.simulation.work import ENVIRONMENT, LIMITS, Work

if TYPE_CHECKING:
    from tests.simulation.world import World

POLL_S, AWAY_S, SILENT_S = 1.0, 5.0, 2000.0
CREDENTIAL = timedelta(seconds=20)
"""How much longer a credential is good than a command may wait: so short that a second attempt needs another."""


@dataclass(eq=False)
class Coordinator(Party):
    """One process of it."""

    world: "World" = field(kw_only=True)
    connected_since: float = 0.0
    newer: list[Saga] = field(default_factory=list)
    asked: dict[str, float] = field(default_factory=dict)
    """Deployment → until when a forge that was asked for its credential is silent."""

    def start(self, now: float) -> None:
        """Reads what there is and drives what is wanted."""
        super().start(now)
        world = self.world
        self.connected_since, self.newer, self.asked = now, [], {}
        self._read("results", world.results, now)
        self._read("changes", world.changes, now)
        self._read("requests", world.requests, now)
        self.relay = Relay(world, world.database.outbox, self)
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

    @property
    def awake(self) -> bool:
        """Neither dead nor stopped."""
        return self.up and self.asleep_until <= self.world.now

    def look_again(self, after_s: float) -> None:
        """There may be something to drive, or a nearer timer: known at once here, and to other replicas at their next look."""
        self._driver.wake(self.world.now + after_s)
        self._timers.wake(self.world.now + after_s)

    def _fetch(self, name: str, consumer: Consumer) -> Steps[None]:
        world = self.world
        while True:
            found = consumer.fetch(world.now, 5) if world.bus.up else []
            if found and len(found) > 1 and world.happens(world.profile.reordered):
                world.counts["reordered"] += 1
                found.reverse()
            if found:
                yield 0.0
                yield from self._take(name, found)
            at = consumer.next_at(world.now)
            yield Nap(max(at - world.now, 0.0))

    def _take(self, name: str, found: list[Delivery]) -> Steps[None]:
        """Handles what was fetched, again where the database went away, and acknowledges it."""
        while True:
            try:
                yield from self._take_results(found) if name == "results" else self._take_each(found)
                break
            except Disconnected:
                yield POLL_S
            except CatalogueAway:
                yield AWAY_S
        for delivery in found:
            delivery.acknowledge()

    def _take_results(self, found: list[Delivery]) -> Steps[None]:
        """All in one transaction, each moving its saga; one that was taken before moves nothing."""
        answers = [said for delivery in found if isinstance(said := delivery.stored.body, Answer)]
        with Work(self.world, self) as work:
            new = yield from work.take([said.id for said in answers])
            answers = [said for said in answers if said.id in new]
            yield from work.lock(said.deployment for said in answers if said.deployment)
            for said in answers:
                self.world.tell(f"{self.name}: {said.step} {said.direction} {said.attempt} of {said.deployment}: {said.outcome}")
                work.apply(said.deployment or "", said)
            yield from self.committed(work)

    def _take_each(self, found: list[Delivery]) -> Steps[None]:
        """One transaction each."""
        for delivery in found:
            message = delivery.stored.body
            there = (yield from wishes.prepare(self.world, message)) if isinstance(message, Request) else True
            with Work(self.world, self) as work:
                match message:
                    case ChangePushed():
                        yield from deliveries.take(work, message)
                    case RequestChange():
                        yield from previews.take(work, message)
                    case Request():
                        yield from wishes.take(work, message, there)
                yield from self.committed(work)

    def committed(self, work: Work) -> Steps[None]:
        """The commit, and what comes after it: best effort."""
        rows = yield from work.commit()
        for other in self.world.coordinators:
            if other is not self and other.up:
                other.look_again(0.0 if self.world.happens(0.3) else POLL_S)
        yield from self.relay.hand_over(rows)
        self.newer += work.newer
        self.look_again(0.0)
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
                try:
                    yield from self._fire_one(name)
                except Disconnected:
                    yield POLL_S
            soonest = min(wake_at.values(), default=None)
            # One that is due still (a beat was heard since) is looked at again a moment later.
            yield IDLE if soonest is None else Nap(max((soonest - world.clock()).total_seconds(), 0.25))

    def _fire_one(self, name: str) -> Steps[None]:
        """Unless another replica is at it, or has been."""
        with Work(self.world, self) as work:
            if not work.lock_if_free(name):
                return
            at, saga = self.world.database.wake_at.get(name), work.saga(name)
            if at is not None and at <= self.world.clock() and saga is not None:
                work.apply(name, self.tick(saga))
                yield from self.committed(work)

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
        while True:
            try:
                while (yield from self._look()):
                    pass
            except Disconnected:
                yield POLL_S
            except CatalogueAway:
                yield AWAY_S
            except CatalogueBehind:
                yield POLL_S
            else:
                yield IDLE

    def _look(self) -> Steps[bool]:
        """Serves what is wanted; whether there was anything."""
        database = self.world.database
        while self.newer:
            yield from self._older_give_way(self.newer.pop())
        served = False
        for name in list(database.wants):
            saga = database.sagas[name]
            if saga.wants is Want.ENVIRONMENT:
                served |= yield from self.take_environment()
            elif saga.wants is not None and not (saga.wants is Want.SOURCE and self._waits_for_forge(name)):
                served = True
                yield 0.0
                planned = None if saga.wants is Want.SOURCE else (yield from self._planned(saga))
                with Work(self.world, self) as work:
                    yield from work.lock([name])
                    # A credential is good for longer than any wait for a row; here there is little to spare.
                    work.apply(name, planned or self._credential(saga))
                    yield from self.committed(work)
        return served or bool(self.newer)

    def _older_give_way(self, newer: Saga) -> Steps[None]:
        yield 0.0
        with Work(self.world, self) as work:
            older = [
                name
                for name, saga in self.world.database.sagas.items()
                if saga.origin.arrival < newer.origin.arrival and saga.epoch is None and not saga.state.final
            ]
            yield from work.lock(older)
            for name in older:
                work.apply(name, i.Superseded(by=newer.id, reason="a newer commit was pushed", by_hand=newer.origin.by_hand))
            yield from self.committed(work)

    def is_free(self) -> bool:
        """Nobody holds the environment."""
        return self.world.database.holder() is None

    def take_environment(self) -> Steps[bool]:
        """Whose turn it is takes a free environment; whether there was anything to do."""
        database = self.world.database
        now = self._turn(self._queued())
        if not now.give_way and (now.next is None or not self.is_free()):
            return False
        yield 0.0
        with Work(self.world, self) as work:
            queued = [saga.id for saga in self._queued()]
            yield from work.lock(queued)
            yield from work.lock_rows([ENVIRONMENT])
            now = self._turn([saga for name in queued if (saga := work.saga(name)) is not None and saga.wants is Want.ENVIRONMENT])
            for name, newer in now.give_way.items():
                work.apply(name, newer)
            if now.next is not None and self.is_free():
                former = {name: release.id for name, release in database.environment.record.releases.items()}
                work.apply(now.next, i.EnvironmentTaken(epoch=database.environment.epoch + 1, former=former))
            yield from self.committed(work)
        return True

    def _queued(self) -> list[Saga]:
        database = self.world.database
        return [saga for name in database.wants if (saga := database.sagas[name]).wants is Want.ENVIRONMENT]

    def _turn(self, queued: list[Saga]) -> Turn:
        database = self.world.database
        return turn(queued, database.sagas.get(database.environment.deployment or ""))

    def _planned(self, saga: Saga) -> Steps[i.Input]:
        database, runs = self.world.database, self.world.database.environment
        emptied_by = runs.deployment if saga.wants is Want.PLAN and runs.record == Record() else None
        if self.world.preview and (yield from previews.snapshot(self.world, emptied_by)) is None:
            return i.Refused(Failure(code="catalogue", message="there is no such environment"))
        if self.world.happens(self.world.profile.refusals):
            self.world.counts["the catalogue says no"] += 1
            return i.Refused(Failure(code="catalogue", message="the catalogue says no"))
        if saga.wants is Want.BUILDS:
            return plan_builds(saga, Snapshot(), database.environment.record)
        goal = database.records[saga.origin.rollback_to] if saga.origin.rollback_to else None
        self.world.counts["a roll-back to another database"] += goal is not None and goal.databases != runs.record.databases
        return plan_deployment(saga, Snapshot(), runs.record, goal)

    def _waits_for_forge(self, deployment: str) -> bool:
        """It was asked for a credential, and has not answered yet."""
        world, since = self.world, self.world.now
        if since >= self.asked.get(deployment, since) and world.happens(world.profile.silent_forge):
            world.counts["the forge is silent"] += 1
            self.asked[deployment] = since + SILENT_S
            world.later(SILENT_S, lambda: self.look_again(0.0))
        return since < self.asked.get(deployment, since)

    def _credential(self, saga: Saga) -> i.Input:
        world = self.world
        if world.happens(world.profile.refusals):
            world.counts["no credential"] += 1
            return i.SourceDenied(Failure(code="clone_unreachable", message="the forge is away", may_pass=True))
        assert saga.cloned_from is not None
        return i.SourceGiven(saga.cloned_from.model_copy(update={"valid_until": world.clock() + LIMITS.queue + CREDENTIAL}))
