"""What comes from the streams into the archive, in batches: one transaction a batch."""

from collections.abc import Sequence

from pydantic import ValidationError

from services.api.concealing import in_addresses
from services.api.live import Wakeups
from services.api.projection import fold
from services.api.store import archive, cdevents, forgotten, letters, logs, places, requests
from services.api.store.cdevents import Incoming
from shared.consumer import Received
from shared.contracts.cdevents import TYPE_VERSION, CDEvent
from shared.contracts.events import (
    CatalogueChanged,
    CompensationStarted,
    DeploymentCancelled,
    DeploymentCreated,
    DeploymentSucceeded,
    DeploymentUnstuck,
    Event,
    GateFailed,
    GatePassed,
    MessageGivenUp,
    RequestRefused,
    fact_name_parts,
)
from shared.contracts.facts import DeploymentApproved, DeploymentDenied, UnknownFact
from shared.contracts.logs import LogLines
from shared.contracts.releases import ReleaseKind
from shared.messages import UnknownType, decode_as, type_of
from shared.outbox import Outbox
from shared.postgres import Connection, Pool

_CONFIRMING = frozenset(
    fact.__name__
    for fact in (CompensationStarted, DeploymentCancelled, DeploymentApproved, DeploymentDenied, DeploymentUnstuck, GatePassed, GateFailed)
)
"""Where such an event was caused by a person's wish, that wish was done."""
_TELLING_OF_REMOVALS = frozenset((DeploymentCreated.__name__, DeploymentSucceeded.__name__))


def decode_event(_subject: str, headers: dict[str, str], body: bytes) -> Event:
    """Any event of this version, of a known fact or not: the archive keeps them all."""
    return decode_as(Event, headers, body)


def decode_cdevent(_subject: str, headers: dict[str, str], body: bytes) -> Incoming:
    """A CDEvent of notifier's, of any version that says what it is here: its bytes are kept. One of another that does not is a newer replica's."""
    try:
        return Incoming(CDEvent.model_validate_json(body), body.decode())
    except ValidationError:
        name = type_of(headers)
        if name is None or name.endswith(f".{TYPE_VERSION}"):
            raise
        raise UnknownType(f"unknown CDEvent {name}") from None


def decode_lines(_subject: str, headers: dict[str, str], body: bytes) -> LogLines:
    """A batch of log lines."""
    return decode_as(LogLines, headers, body)


def decode_letter(_subject: str, _headers: dict[str, str], body: bytes) -> str:
    """A dead letter is kept whatever it holds."""
    return body.decode("utf-8", "replace").replace("\x00", "\ufffd")


class Archive:
    """Stores what comes; idempotent: an event, a CDEvent, a line or a letter that is there already changes nothing."""

    def __init__(self, pool: Pool, outbox: Outbox, wakeups: Wakeups, organization: str) -> None:
        self._pool = pool
        self._outbox = outbox
        self._organization = organization
        self._wakeups = wakeups

    async def take_events(self, received: Sequence[Received[Event]]) -> None:
        """Archives events, makes the pages of their deployments anew, and does what follows from the new ones."""
        events = [item.message for item in received]
        traces = [item.headers.get("traceparent") for item in received]
        async with self._pool.acquire() as connection, connection.transaction():
            new = await archive.add(connection, events, traces)
            fresh = [event for event in events if event.id in new]
            # What is told about a deployment from outside it, such as attempts to tell of it, has no number and changes no page.
            await make_pages(connection, sorted({event.deployment for event in fresh if event.deployment and event.sequence is not None}))
            await answer_requests(connection, fresh)
            await self._forget_removed(connection, fresh)
        self._outbox.wake()
        self._wakeups.wake()

    async def take_cdevents(self, received: Sequence[Received[Incoming]]) -> None:
        """Keeps CDEvents."""
        async with self._pool.acquire() as connection, connection.transaction():
            await cdevents.add(connection, [item.message for item in received])
        self._wakeups.wake()

    async def take_lines(self, received: Sequence[Received[LogLines]]) -> None:
        """Keeps log lines."""
        async with self._pool.acquire() as connection, connection.transaction():
            await logs.add(connection, [item.message for item in received])
        self._wakeups.wake()

    async def take_letters(self, received: Sequence[Received[str]]) -> None:
        """Keeps dead letters, and tells the first organization of them."""
        async with self._pool.acquire() as connection, connection.transaction():
            told = [event for item in received if (event := await self._keep_letter(connection, item)) is not None]
            await self._outbox.add(connection, told)
        self._outbox.wake()

    async def _keep_letter(self, connection: Connection, item: Received[str]) -> Event | None:
        service = item.subject.rpartition(".")[2]
        kept = await letters.add(connection, service, item.headers, item.message)
        if kept is None or kept.state != "dead":
            return None
        letter = await letters.get(connection, kept.position)
        assert letter is not None
        # An event about one that was an event about a letter would be the next one, without end.
        if letter.subject.endswith(f".{fact_name_parts(MessageGivenUp.__name__)}"):
            return None
        if not await letters.to_be_told(connection, letter.position, letter.durable):
            return None
        fact = MessageGivenUp(
            letter=letter.position, service=service, reader=letter.durable, subject=letter.subject, reason=in_addresses(letter.reason)
        )
        return Event.of(fact, self._organization)

    async def _forget_removed(self, connection: Connection, fresh: Sequence[Event]) -> None:
        """The catalogue's entry of an environment goes when its removal has succeeded: with the later of the two events that say so."""
        for event in fresh:
            if event.name not in _TELLING_OF_REMOVALS or event.deployment is None:
                continue
            page = await archive.deployment(connection, event.deployment)
            if page is None or page.kind != ReleaseKind.REMOVE or page.state != "succeeded":
                continue
            place = (page.organization, page.project, page.environment)
            if await places.delete_environment(connection, *place, page.created_at):
                await forgotten.add(connection, f"environment/{'/'.join(place)}", f"deployment/{page.id}")
                gone = CatalogueChanged(kind="environment", name=page.environment, action="deleted", by="")
                await self._outbox.add(connection, [Event.of(gone, *place, cause=event.id)])


async def make_pages(connection: Connection, deployments: Sequence[str]) -> None:
    """Makes the pages of these deployments from all their archived events with a number, so that order and duplicates do not matter."""
    for found in (await archive.of_deployments(connection, deployments)).values():
        pages = fold(event for event, _ in found)
        if pages is not None:
            await archive.put(connection, pages, next((trace for _, trace in found if trace), None))


async def answer_requests(connection: Connection, events: Sequence[Event]) -> None:
    """Tells people's requests what became of them."""
    taken: list[tuple[str, str]] = []
    refused: list[tuple[str, str]] = []
    done = [event.cause for event in events if event.cause and event.name in _CONFIRMING]
    for event in events:
        if event.name not in (DeploymentCreated.__name__, RequestRefused.__name__):
            continue
        try:
            fact = event.fact()
        except UnknownFact:
            continue
        if isinstance(fact, DeploymentCreated) and fact.request and event.deployment:
            taken.append((fact.request, event.deployment))
        elif isinstance(fact, RequestRefused):
            refused.append((fact.request, fact.reason))
    await requests.taken(connection, taken)
    await requests.done(connection, done)
    await requests.refused(connection, refused)
