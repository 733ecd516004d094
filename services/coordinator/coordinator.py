"""The ports that the coordinator's handlers need, and the transaction that they all work in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from services.coordinator.catalogue import Catalogue
from services.coordinator.inputs import CancelWork
from services.coordinator.saga import Limits, Saga
from services.coordinator.work import UnitOfWork
from shared.bus import UNAVAILABLE, Bus
from shared.contracts.commands import Direction
from shared.contracts.logs import Cancel
from shared.outbox import Outbox
from shared.postgres import Pool


@dataclass
class Coordinator:
    """Made once by `app`."""

    pool: Pool
    bus: Bus
    outbox: Outbox
    catalogue: Catalogue
    limits: Limits
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a deployment wants something of the driver."""
    newer: list[Saga] = field(default_factory=list)
    """Deployments that were just authorised: the driver makes older ones give way."""

    @asynccontextmanager
    async def work(self) -> AsyncIterator[UnitOfWork]:
        """One transaction; after its commit the relay, the driver and cancelled workers are told."""
        async with self.pool.acquire() as connection, connection.transaction():
            work = UnitOfWork(connection, self.outbox, self.limits)
            yield work
            await work.finish()
        self.outbox.wake(work.rows)
        work.observe()
        self.newer += work.newer
        if work.wants or work.newer:
            self.wanted.set()
        for cancel in work.cancels:
            await self._cancel(cancel)

    async def _cancel(self, cancel: CancelWork) -> None:
        """Best effort: where it is lost, the step's own time ends it."""
        with suppress(*UNAVAILABLE, NatsError):
            await take_off_the_queue(self.bus.js, cancel.subject)
        with suppress(*UNAVAILABLE, NatsError):
            message = Cancel(direction=Direction(cancel.direction), reason=cancel.reason)
            await self.bus.nc.publish(f"slipway.cancel.{cancel.target}.{cancel.step_key}", message.encode())


async def take_off_the_queue(js: JetStreamContext, attempts: str) -> None:
    """Removes commands by their subject, one message after the other by its number.

    Not by a purge: while a message is in flight, a purge of its subject moves the consumer's acknowledgement floor past others
    that were given back, which are then never delivered again (nats-server 2.15.1; its issue 5727).
    """
    while True:
        try:
            found = await js.get_last_msg("COMMANDS", attempts)
        except NotFoundError:
            return
        if found.seq is None:
            return
        await js.delete_msg("COMMANDS", found.seq)
