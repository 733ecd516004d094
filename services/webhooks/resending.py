"""Changes that nobody has settled are sent again: a coordinator took them off the bus and died, or the bus lost them."""

import asyncio

import structlog

from services.webhooks.store import Store
from shared import bus as bus_module
from shared import postgres
from shared.bus import Bus

log = structlog.get_logger()

EVERY_S = 5.0


class Resending:
    """Sends again what has left its stream: of what still waits there, more would only keep all of it longer."""

    def __init__(self, bus: Bus, store: Store) -> None:
        self._bus = bus
        self._store = store

    async def run(self) -> None:
        """For ever; waits while the database or the bus is away."""
        while True:
            try:
                await self.once()
            except (*postgres.UNAVAILABLE, *bus_module.UNAVAILABLE) as error:
                log.warning("changes not sent again", reason=str(error) or type(error).__name__)
            await asyncio.sleep(EVERY_S)

    async def once(self) -> int:
        """Those whose time has come; answers how many."""
        return await self._store.send_again(await self._bus.waiting_since("CHANGES"))
