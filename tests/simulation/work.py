"""One transaction of the coordinator, as `UnitOfWork`: rows stay locked until its end, and nothing is seen of it before its commit.

With one replica a transaction is what a task does between two stops; with several, or where api is asked meanwhile, it stops as well,
and others come between.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from services.coordinator import engine
from services.coordinator import inputs as i
from services.coordinator.move import Output
from services.coordinator.saga import DeploymentState, Limits, Saga
from services.coordinator.snapshot import Record
from shared.contracts.commands import Direction, ProvisionDatabase
from shared.contracts.events import Event
from shared.outbox import Outgoing, Row, outgoing
from tests.simulation.outbox import Disconnected
from tests.simulation.tasks import Party, Steps

if TYPE_CHECKING:
    from tests.simulation.world import World

LIMITS = Limits()
COMMAND_S, LOOK_AGAIN_S, LOOK_AGAIN_AT_MOST_S = 30.0, 0.005, 5.0
ENVIRONMENT = "environment"

Moved = tuple[Saga, i.Input, Saga, Sequence[Output], datetime]


@dataclass(eq=False)
class Work:
    """Lives within one transaction. Ends without a word where its process dies or its connection is cut."""

    world: "World"
    party: Party
    messages: list[Outgoing] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    cancels: list[i.CancelWork] = field(default_factory=list)
    newer: list[Saga] = field(default_factory=list)
    cut: bool = False
    """The database has ended its connection."""
    _taken: list[str] = field(default_factory=list)
    _before: dict[str, Saga] = field(default_factory=dict)
    _now: dict[str, Saga] = field(default_factory=dict)
    _moved: list[Moved] = field(default_factory=list)
    _then: list[Callable[[], object]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.world.database.open[self] = None
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.world.database.release(self)

    # Rows

    def lock_rows(self, keys: Iterable[str]) -> Steps[None]:
        """Waits for rows that others have locked, in one order; raises `Disconnected` where that takes too long."""
        if not self.world.contended:
            return
        locks, since, wait = self.world.database.locks, self.world.now, LOOK_AGAIN_S
        for key in sorted(set(keys)):
            while locks.setdefault(key, self) is not self:
                if self.world.now - since > COMMAND_S:
                    raise Disconnected
                yield wait
                self._connected()
                wait = min(wait * 2, LOOK_AGAIN_AT_MOST_S)

    def take(self, ids: Sequence[str]) -> Steps[set[str]]:
        """Into the inbox; those that are new. One that another transaction is taking is waited for."""
        yield from self.lock_rows(f"inbox {name}" for name in ids)
        new = {name for name in ids if not self.world.database.knows(name)}
        self._taken += sorted(new)
        return new

    def lock(self, deployments: Iterable[str]) -> Steps[None]:
        """Locks and reads sagas."""
        names = set(deployments)
        yield from self.lock_rows(f"saga {name}" for name in names)
        for name in names:
            self.hold(name)

    def hold(self, deployment: str) -> None:
        """Reads a saga that this transaction has locked."""
        if (saga := self.world.database.sagas.get(deployment)) is not None:
            self._before[deployment] = self._now[deployment] = saga

    def lock_if_free(self, deployment: str) -> bool:
        """The same, unless another transaction has it."""
        if self.world.contended and self.world.database.locks.setdefault(f"saga {deployment}", self) is not self:
            return False
        self.hold(deployment)
        return True

    def saga(self, deployment: str) -> Saga | None:
        """A locked saga as it is now."""
        return self._now.get(deployment)

    # What it does

    def create(self, saga: Saga, cause: str) -> None:
        """A new deployment and its first move."""
        self.then(lambda: self.world.database.sagas.setdefault(saga.id, saga))
        self._before[saga.id] = self._now[saga.id] = saga
        self.apply(saga.id, i.Begin(cause=cause))

    def apply(self, deployment: str, message: i.Input) -> None:
        """Moves a locked saga; one that is not there is left alone."""
        world, saga = self.world, self._now.get(deployment)
        if saga is None:
            return
        if saga.state in {DeploymentState.AUTHORIZING, DeploymentState.WAITING}:
            saga = replace(saga, newest=world.database.environment.newest_commit)
        now = world.clock()
        after, outputs = engine.advance(saga, message, now, LIMITS)
        self._now[deployment] = after
        self._moved.append((saga, message, after, outputs, now))
        for output in outputs:
            if isinstance(output, i.CancelWork):
                self.cancels.append(output)
            elif isinstance(output, i.CloseCommands):
                self.closed += output.ids
            else:
                self.messages.append(outgoing(output))

    def publish(self, event: Event) -> None:
        """Another message with the same transaction."""
        self.messages.append(outgoing(event))

    def then(self, write: Callable[[], object]) -> None:
        """Another row, written with the rest."""
        self._then.append(write)

    # The commit

    def commit(self) -> Steps[list[Row]]:
        """Writes it all; the rows that the outbox took, for its relay."""
        world, database = self.world, self.world.database
        if any(_touches_environment(before, after) for before, _, after, *_ in self._moved):
            yield from self.lock_rows([ENVIRONMENT])
        if world.contended:
            yield 0.0
            self._connected()
        for write in self._then:
            write()
        for before, message, after, outputs, now in self._moved:
            if after is not before:
                self._save(before, after)
            world.invariants.moved(before, message, after, outputs, now)
            self._count(outputs)
        database.inbox.update(self._taken)
        closed = set(self.closed)
        rows = database.outbox.add([one for one in self.messages if one.message_id not in closed], world.now)
        database.outbox.close(self.closed)
        database.release(self)
        return rows

    def _count(self, outputs: Sequence[Output]) -> None:
        """What it came to."""
        counts = self.world.counts
        for output in outputs:
            if isinstance(output, ProvisionDatabase) and output.direction is Direction.UNDO:
                counts["a changed database is undone"] += output.former not in {None, output.database}
            elif isinstance(output, Event):
                failure = output.data.get("failure")
                counts[f"{output.name}: {failure['code']}" if isinstance(failure, dict) else output.name] += 1
                counts["SourceInspected: stale"] += output.data.get("stale") is True

    def _connected(self) -> None:
        if self.cut:
            raise Disconnected

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


def _touches_environment(before: Saga, after: Saga) -> bool:
    return after.epoch != before.epoch or after.authorised is not before.authorised or after.state is DeploymentState.SUCCEEDED
