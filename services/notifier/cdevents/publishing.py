"""Writes CDEvents into the outbox, in the transaction that takes the events which they are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.notifier.cdevents.mapping import cdevents_of
from services.notifier.cdevents.telling import Telling
from services.notifier.store import deployments
from shared.consumer import Received
from shared.contracts.cdevents import OutsideEvent
from shared.contracts.events import Event
from shared.outbox import Outbox, Outgoing
from shared.postgres import Connection


@dataclass(frozen=True)
class Told:
    """A CDEvent, and the event that it is made of."""

    event: OutsideEvent
    item: Received[Event]


class Publisher:
    """Tells outside tools of deployments. The same event twice is one CDEvent: its id is in the outbox already."""

    def __init__(self, outbox: Outbox, public_url: str) -> None:
        self._outbox = outbox
        self._public_url = public_url

    async def told(self, connection: Connection, batch: Sequence[Received[Event]]) -> list[Told]:
        """What these events are to outside tools."""
        commits = await deployments.commits(connection, {item.message.deployment for item in batch if item.message.deployment})
        return [Told(told, item) for item in batch for told in self._of(item.message, commits)]

    async def add(self, connection: Connection, told: Sequence[Told]) -> None:
        """Puts it into the stream of CDEvents. Call `wake` once the transaction has committed."""
        await self._outbox.add(connection, [_outgoing(each) for each in told])

    def wake(self) -> None:
        """Something was committed."""
        self._outbox.wake()

    def _of(self, event: Event, commits: dict[str, str]) -> list[OutsideEvent]:
        return cdevents_of(Telling(event, commits.get(event.deployment or "", ""), self._public_url))


def _outgoing(told: Told) -> Outgoing:
    event = told.event
    return Outgoing("CDEVENTS", event.bus_subject, event, event.id, traceparent=told.item.headers.get("traceparent"))
