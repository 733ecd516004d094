"""Writes CDEvents into the outbox, in the transaction that takes the events which they are made of."""

from collections.abc import Sequence

from services.notifier.cdevents.mapping import cdevents_of
from services.notifier.cdevents.telling import Telling
from services.notifier.store import deployments
from shared.consumer import Received
from shared.contracts.cdevents import OutsideEvent
from shared.contracts.events import Event
from shared.outbox import Outbox, Outgoing
from shared.postgres import Connection


class Publisher:
    """Tells outside tools of deployments. The same event twice is one CDEvent: its id is in the outbox already."""

    def __init__(self, outbox: Outbox, public_url: str) -> None:
        self._outbox = outbox
        self._public_url = public_url

    async def add(self, connection: Connection, batch: Sequence[Received[Event]]) -> None:
        """What these events are to outside tools. Call `wake` once the transaction has committed."""
        commits = await deployments.commits(connection, {item.message.deployment for item in batch if item.message.deployment})
        await self._outbox.add(connection, [_outgoing(told, item) for item in batch for told in self._told(item.message, commits)])

    def wake(self) -> None:
        """Something was committed."""
        self._outbox.wake()

    def _told(self, event: Event, commits: dict[str, str]) -> list[OutsideEvent]:
        return cdevents_of(Telling(event, commits.get(event.deployment or "", ""), self._public_url))


def _outgoing(told: OutsideEvent, item: Received[Event]) -> Outgoing:
    return Outgoing("CDEVENTS", told.bus_subject, told, told.id, traceparent=item.headers.get("traceparent"))
