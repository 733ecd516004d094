"""One transaction of the coordinator: lock sagas, move them, write state and messages together; then tell who must know."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import time_ns

from services.coordinator.engine import advance
from services.coordinator.inputs import CancelWork, CloseCommands, Input
from services.coordinator.saga import DeploymentState, Limits, Saga, Want
from services.coordinator.snapshot import Record
from services.coordinator.spans import Moved, span_of
from services.coordinator.store import environments, sagas
from services.coordinator.telling import observe
from shared.messages import Message
from shared.outbox import Outbox, Outgoing, Row, outgoing
from shared.postgres import Connection
from shared.telemetry import trace_headers


@dataclass
class UnitOfWork:
    """Lives within one transaction. What is in `cancels`, `newer` and `wants` is for after the commit, and losing it is harmless."""

    connection: Connection
    outbox: Outbox
    limits: Limits
    cancels: list[CancelWork] = field(default_factory=list)
    newer: list[Saga] = field(default_factory=list)
    wants: set[Want] = field(default_factory=set)
    _before: dict[str, Saga] = field(default_factory=dict)
    _now: dict[str, Saga] = field(default_factory=dict)
    _clock: datetime | None = None
    _messages: list[Outgoing] = field(default_factory=list)
    _closed: list[CloseCommands] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    """What the outbox took, for its relay once it is committed."""
    _moved: list[Moved] = field(default_factory=list)

    async def lock(self, ids: Iterable[str]) -> None:
        """Locks and reads deployments."""
        for loaded in (await sagas.lock(self.connection, ids)).values():
            self.hold(loaded)

    async def lock_readable(self, ids: Iterable[str]) -> None:
        """As `lock`, without those that cannot be read: one of them must not keep the others of its environment from moving."""
        for loaded in await sagas.lock_readable(self.connection, ids):
            self.hold(loaded)

    def hold(self, loaded: sagas.Loaded) -> None:
        """Takes in a saga that this transaction has locked already."""
        self._clock = loaded.clock
        self._before[loaded.saga.id] = self._now[loaded.saga.id] = loaded.saga

    async def create(self, saga: Saga, cause: Input) -> None:
        """A new deployment and its first move."""
        self._clock = saga.created_at
        await sagas.insert(self.connection, saga)
        self._before[saga.id] = self._now[saga.id] = saga
        await self.apply(saga.id, cause)

    def saga(self, deployment: str) -> Saga | None:
        """A locked saga as it is now."""
        return self._now.get(deployment)

    async def apply(self, deployment: str, message: Input, came_with: str | None = None) -> None:
        """Moves a locked saga; one that is not there is left alone. `came_with` is the span of the message, where it has one."""
        saga = self._now.get(deployment)
        if saga is None:
            return
        assert self._clock is not None
        if saga.state in {DeploymentState.AUTHORIZING, DeploymentState.WAITING}:
            saga.newest = await environments.newest_commit(self.connection, saga.origin.place)
        begin = time_ns()
        after, outputs = advance(saga, message, self._clock, self.limits)
        self._now[deployment] = after
        self._moved.append(Moved(saga, after, outputs, self._clock, begin, came_with))
        for output in outputs:
            if isinstance(output, CancelWork):
                self.cancels.append(output)
            elif isinstance(output, CloseCommands):
                self._closed.append(output)
            else:
                self._messages.append(replace(outgoing(output), traceparent=span_of(after, output)))

    def publish(self, message: Message) -> None:
        """Another message with the same transaction, of the span that is current now."""
        self._messages.append(outgoing(message, trace_headers().get("traceparent")))

    async def finish(self) -> None:
        """Writes it all; the caller commits."""
        moved = [(self._before[name], saga) for name, saga in self._now.items() if saga is not self._before[name]]
        if moved:
            await sagas.save(self.connection, moved, self.limits.silence)
        # After the deployments, and in one order: two transactions that lock both never wait for each other.
        for before, saga in sorted(moved, key=lambda pair: str(pair[1].origin.place)):
            await self._consequences(before, saga)
        closed = {name for one in self._closed for name in one.ids}
        # What this transaction has itself taken back is not even written: the relay might publish it after the queue was cleared.
        self.rows = await self.outbox.add(self.connection, [one for one in self._messages if one.message_id not in closed])
        await sagas.close_commands(self.connection, self._closed)

    def observe(self) -> None:
        """Tells metrics and traces what has happened: after the commit."""
        for moved in self._moved:
            observe(moved)

    async def _consequences(self, before: Saga, saga: Saga) -> None:
        place, origin = saga.origin.place, saga.origin
        if saga.epoch is not None and saga.epoch != before.epoch:
            await environments.set_epoch(self.connection, place, saga.epoch)
        if saga.authorised and not before.authorised:
            await environments.set_newest(self.connection, place, origin.arrival, origin.source.commit if origin.source else None)
            self.newer.append(saga)
        if saga.wants is not None and saga.wants is not before.wants:
            self.wants.add(saga.wants)
        if before.holds and not saga.holds:
            self.wants.add(Want.ENVIRONMENT)
        if saga.state is DeploymentState.SUCCEEDED and saga.plan is not None:
            await environments.set_record(self.connection, saga, Record(releases=saga.plan.releases, databases=saga.plan.databases))
