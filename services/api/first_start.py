"""What the catalogue holds from the start: the local target and the first organization."""

import base64

from services.api.store import places
from shared.contracts.events import CatalogueChanged, Event
from shared.outbox import Outbox
from shared.postgres import Pool


async def prepare(pool: Pool, outbox: Outbox, organization: str, target: str, public_key: bytes) -> None:
    """Makes the target and, where there is no organization at all, the first one. Safe to repeat, from several replicas at once."""
    encoded = base64.b64encode(public_key).decode()
    async with pool.acquire() as connection, connection.transaction():
        await places.new_target(connection, target, encoded)
        if not await places.any_organization(connection):
            made = await places.new_organization(connection, organization, organization)
            if made is not None:
                fact = CatalogueChanged(kind="organization", name=organization, action="created")
                await outbox.add(connection, [Event.of(fact, organization)])
    outbox.wake()
