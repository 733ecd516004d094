"""Notes what previews' deployments came to, in the transaction that takes the events, and has their comments say so."""

from collections.abc import Sequence

from services.notifier.comments.runs import MILESTONES
from services.notifier.matching import Listener, covers
from services.notifier.store import comments
from services.notifier.store.comments import ChangeRequest
from services.notifier.store.notifications import New
from shared.consumer import Received
from shared.contracts.events import Event
from shared.postgres import Connection

PROVIDER = "comment"


async def note(connection: Connection, listeners: Sequence[Listener], batch: Sequence[Received[Event]]) -> list[New]:
    """One notification for each change request that there is something new of, on one lane: comments are written one after the other.

    It says that the comment is old, not what is to be said: that is looked up when it is written, so a comment never goes back in time.
    """
    noted = [item for item in batch if item.message.name in MILESTONES and item.message.deployment and item.message.sequence]
    await comments.note(connection, [item.message for item in noted])
    known = await comments.change_requests(connection, {item.message.deployment or "" for item in noted})
    news = {known[item.message.deployment or ""]: item for item in noted if item.message.deployment in known}
    return [
        _new(listener, request, news[request], await comments.outdate(connection, request))
        for request in sorted(news)  # always in the same order: each is locked until the transaction ends
        if (listener := _listener(listeners, request, news[request].message)) is not None
    ]


def _listener(listeners: Sequence[Listener], request: ChangeRequest, event: Event) -> Listener | None:
    """The first channel to the repository: one comment, however many channels lead there."""
    for listener in listeners:
        leads_there = listener.kind == "forge" and listener.repository.casefold() == request.repository.casefold()
        if leads_there and covers(listener, event.organization, event.project):
            return listener
    return None


def _new(listener: Listener, request: ChangeRequest, item: Received[Event], version: int) -> New:
    lane = f"{request.organization}/comment/{request.repository}/{request.number}"
    return New.of(item, listener, lane=lane, sequence=version, provider=PROVIDER)
