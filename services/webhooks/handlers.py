"""Events that webhooks reads: what became of its changes."""

from collections.abc import Sequence

from services.webhooks.domain import State
from services.webhooks.store import Settlement, Store
from shared import inbox
from shared.consumer import Received
from shared.contracts.events import ChangeIgnored, ChangeTaken, Event
from shared.contracts.facts import Fact, UnknownFact
from shared.messages import decode_as


def decode(_subject: str, headers: dict[str, str], body: bytes) -> Event:
    """An event; raises `ValueError` for what is none, `UnknownType` for one of another version."""
    return decode_as(Event, headers, body)


class Settled:
    """Marks changes as the coordinator settled them. Told twice is told once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, batch: Sequence[Received[Event]]) -> None:
        """Handles a batch in one transaction."""
        facts = [(received.message.id, fact) for received in batch if (fact := _fact(received.message)) is not None]
        settled = [(id_, said) for id_, fact in facts if (said := _settlement(fact)) is not None]
        if settled:
            async with self._store.pool.acquire() as connection, connection.transaction():
                new = await inbox.take(connection, [id_ for id_, _ in settled])
                await self._store.settle(connection, _one_of_each([said for id_, said in settled if id_ in new]))


def _fact(event: Event) -> Fact | None:
    try:
        return event.fact()
    except UnknownFact:
        return None  # of a newer version, and no answer to a change


def _settlement(fact: Fact) -> Settlement | None:
    match fact:
        case ChangeTaken():
            return Settlement(fact.change, State.TAKEN, deployments=fact.deployments)
        case ChangeIgnored():
            return Settlement(fact.change, State.IGNORED, reason=fact.reason)
        case _:
            return None


def _one_of_each(settlements: Sequence[Settlement]) -> list[Settlement]:
    """One for each change: that it was taken stands against that it was ignored, else the first."""
    stands: dict[str, Settlement] = {}
    for said in sorted(settlements, key=lambda said: said.state is not State.TAKEN):
        stands.setdefault(said.change, said)
    return list(stands.values())
