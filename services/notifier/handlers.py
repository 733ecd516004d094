"""Takes events from the stream: what is to be told is stored, and nothing is sent here. A receiver that is away blocks nobody."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

from services.notifier.cdevents.publishing import Publisher, Told
from services.notifier.comments.noting import note
from services.notifier.deployments import Deployment
from services.notifier.matching import Listener, hears, hears_outside
from services.notifier.providers.forges.states import FORGE_STATES
from services.notifier.store import channels, deployments, notifications
from services.notifier.store.again import tell_again
from services.notifier.store.notifications import New
from shared import inbox
from shared.consumer import Received
from shared.contracts.events import CatalogueChanged, DeploymentCreated, Event, MessageRequestedAgain
from shared.messages import decode_as, utc_now
from shared.postgres import Connection, Pool

_MIRRORED = ("organization", "project", "channel", "connection")
"""Kinds of catalogue entries whose change may change a channel."""
_OWN = "NotificationAttempted"


def decode(_subject: str, headers: dict[str, str], body: bytes) -> Event:
    """An event; raises `pydantic.ValidationError`, or `UnknownType` for one of another version."""
    return decode_as(Event, headers, body)


class Intake:
    """Handles a batch in one transaction. Events that are older than anything is tried for are not told."""

    def __init__(
        self, pool: Pool, too_old: timedelta, outside: Publisher, wake_sender: Callable[[], None], wake_mirror: Callable[[], None]
    ) -> None:
        self._pool = pool
        self._too_old = too_old
        self._outside = outside
        self._wake_sender = wake_sender
        self._wake_mirror = wake_mirror

    async def handle(self, batch: Sequence[Received[Event]]) -> None:
        """Stores what each channel is to hear of, and what outside tools are told."""
        batch = [item for item in batch if item.message.name != _OWN]
        if not batch:
            return
        async with self._pool.acquire() as connection, connection.transaction():
            new = await inbox.take(connection, [item.message.id for item in batch])
            fresh = list({item.message.id: item for item in batch if item.message.id in new}.values())
            changed = any(_changes_channels(item.message) for item in fresh)
            if changed:
                await channels.want(connection)
            await _remember_deployments(connection, [item.message for item in fresh])
            listening = await channels.listeners(connection)
            recent = [item for item in fresh if item.message.time > utc_now() - self._too_old]
            outside = await self._outside.told(connection, fresh)
            told = [*_to_tell(listening, recent), *_to_tell_outside(listening, outside, recent), *await note(connection, listening, recent)]
            await notifications.add(connection, told)
            await self._outside.add(connection, outside)
            again = [await tell_again(connection, item.message) for item in fresh if item.message.name == MessageRequestedAgain.__name__]
        self._outside.wake()
        if changed:
            self._wake_mirror()
        if told or any(again):
            self._wake_sender()


def _changes_channels(event: Event) -> bool:
    return event.name == CatalogueChanged.__name__ and event.data.get("kind") in _MIRRORED


async def _remember_deployments(connection: Connection, events: Iterable[Event]) -> None:
    for event in events:
        if event.name == DeploymentCreated.__name__ and event.deployment:
            fact = DeploymentCreated.model_validate(event.data)
            await deployments.add(
                connection,
                Deployment(
                    id=event.deployment,
                    organization=event.organization,
                    project=event.project or "",
                    environment=event.environment or "",
                    environment_kind=fact.environment_kind,
                    repository=fact.repository or (fact.change_request.repository if fact.change_request else ""),
                    ref=_text(fact.ref),
                    commit=fact.commit or "",
                    title=_text(fact.title),
                    pusher=_text(fact.pusher),
                    created_at=event.time,
                    change_request=fact.change_request.number if fact.change_request else "",
                ),
            )


def _to_tell(listeners: Sequence[Listener], recent: Sequence[Received[Event]]) -> list[New]:
    return [
        _new(listener, item)
        for item in recent
        for listener in listeners
        if hears(listener, item.message.organization, item.message.project, item.message.name, tuple(FORGE_STATES))
    ]


def _to_tell_outside(listeners: Sequence[Listener], told: Sequence[Told], recent: Sequence[Received[Event]]) -> list[New]:
    known = {item.message.id for item in recent}
    return [
        New.of(each.item, listener, outside=each.event)
        for each in told
        if each.item.message.id in known
        for listener in listeners
        if hears_outside(listener, each.item.message.organization, each.item.message.project, each.event.kind)
    ]


def _new(listener: Listener, item: Received[Event]) -> New:
    event = item.message
    if listener.kind != "forge" or event.deployment is None or event.sequence is None:
        return New.of(item, listener)
    return New.of(item, listener, lane=f"{listener.organization}/{listener.name}/{event.deployment}", sequence=event.sequence)


def _text(value: str | None) -> str:
    """PostgreSQL has no NUL in text."""
    return (value or "").replace("\0", "\ufffd")
