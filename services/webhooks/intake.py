"""`POST /hooks/<connection>`: verify the bytes, read them, store them, answer 202. Nothing is acted upon before it is stored."""

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

import structlog
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram
from starlette.types import Receive, Scope, Send

from services.webhooks.batches import BatchWriter, CannotStore
from services.webhooks.catalogue import Away, Connection
from services.webhooks.connections import Connections
from services.webhooks.domain import Arrival, Delivery, Origin
from services.webhooks.forges import FORGES
from services.webhooks.forges.document import Headers, Unreadable
from services.webhooks.forges.port import Forge, Identity, Reading
from services.webhooks.reading import Reader
from services.webhooks.request_rules import why_ignored
from services.webhooks.requests import SMALL, ClientLeft, Room, answer, busy, headers_of, read_body, size_of
from services.webhooks.store import Recorded, Store
from services.webhooks.texts import clean
from shared.contracts.changes import FoundBy
from shared.forges import server_of
from shared.messages import new_id
from shared.postgres import UNAVAILABLE
from shared.problems import Problem
from shared.telemetry import span, traceparent

log = structlog.get_logger()

PATIENCE_S = 8.0
"""GitHub waits ten seconds for an answer."""
DELIVERIES = Counter("slipway_deliveries_total", "Webhook deliveries by what became of them", ["forge", "outcome"])
"""Forge `_`: refused before it was known whose delivery it is."""
DELIVERY_SECONDS = Histogram("slipway_delivery_seconds", "From a delivery's headers to its answer", ["forge"])


class Intake:
    """Takes deliveries. `run` writes what has arrived; it is a background task of the process."""

    def __init__(self, connections: Connections, store: Store, reader: Reader, room: Room) -> None:
        self._connections = connections
        self._writer: BatchWriter[Arrival, Recorded] = BatchWriter(store.record, _size_of, PATIENCE_S)
        self._room = room
        self._reader = reader

    async def run(self) -> None:
        """Stores what arrives, for ever."""
        await self._writer.run()

    async def __call__(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; raises `Problem`, and before it has read all of it where there is no room for it."""
        if scope["method"] != "POST":
            raise Problem(405, "method-not-allowed", "Deliveries are sent with POST.", headers={"Allow": "POST"})
        headers = headers_of(scope)
        kind, outcome = "_", "failed"
        try:
            with self._room.opened(size_of(headers)) as place:
                connection, forge = await self._find(name)
                kind = connection.forge
                with DELIVERY_SECONDS.labels(kind).time():
                    body = await read_body(receive, place)
                    connection = await self._verified(connection, forge, headers, body)
                    status, content = await self._take(connection, forge, headers, body)
                    outcome = str(content["status"])
                    await answer(send, status, content)
        except ClientLeft:
            outcome = "left"
        except Problem as problem:
            outcome = problem.type.replace("-", "_")
            raise
        finally:
            DELIVERIES.labels(kind, outcome).inc()

    async def _find(self, name: str) -> tuple[Connection, Forge]:
        try:
            connection = await self._connections.find(name)
        except (Away, *UNAVAILABLE) as error:
            raise busy("The connection could not be looked up.") from error
        if connection is None or connection.forge not in FORGES:
            raise Problem(404, "unknown-connection", "No connection of this name takes deliveries. Look at the hook's address.")
        return connection, FORGES[connection.forge]()

    async def _verified(self, connection: Connection, forge: Forge, headers: Headers, body: bytes) -> Connection:
        """The connection, whose secrets may just have been rotated: a signature that does not fit is tried with what api says now."""
        if await _verify(forge, headers, body, connection.secrets):
            return connection
        now = await self._connections.ask(connection.name)
        if now is not None and now.secrets != connection.secrets and await _verify(forge, headers, body, now.secrets):
            return now
        raise Problem(401, "bad-signature", "The signature does not fit the body and this connection's secret. Compare the secrets.")

    async def _take(self, connection: Connection, forge: Forge, headers: Headers, body: bytes) -> tuple[int, dict[str, object]]:
        with span("take delivery", kind=SpanKind.SERVER) as taking:
            taking.set_attributes({"slipway.connection": connection.name, "vcs.provider.name": connection.forge})
            try:
                reading = await self._reader.read(connection.forge, headers, body)
            except Unreadable as error:
                await self._record(_unreadable(connection, forge, headers, body, error))
                raise Problem(400, "unreadable-delivery", clean(f"{error}.")) from None
            arrival = _arrival(connection, forge, headers, body, reading)
            return _say(await self._record(arrival), arrival.ignored)

    async def _record(self, arrival: Arrival) -> Recorded:
        try:
            return await self._writer.put(arrival)
        except CannotStore as error:
            log.warning("delivery not stored", connection=arrival.origin.connection, reason=str(error))
            raise busy("The delivery could not be stored.") from error


def _size_of(arrival: Arrival) -> int:
    return len(arrival.delivery.body) if arrival.delivery else 0


async def _verify(forge: Forge, headers: Headers, body: bytes, secrets: Sequence[str]) -> bool:
    if len(body) <= SMALL:
        return forge.verify(headers, body, secrets)
    return await asyncio.to_thread(forge.verify, headers, body, secrets)


def _arrival(connection: Connection, forge: Forge, headers: Headers, body: bytes, reading: Reading) -> Arrival:
    identity, origin = forge.identify(headers), origin_of(connection)
    delivery = _delivery(new_id(), identity, identity.key or f"sha256:{sha256(body).hexdigest()}", headers, body)
    ignored = reading.ignored or (why_ignored(reading.request, origin) if reading.request else "")
    request = None if ignored else reading.request
    return Arrival(origin, FoundBy.DELIVERY, reading.pushes, delivery, trace=traceparent(), ignored=ignored, request=request)


def _unreadable(connection: Connection, forge: Forge, headers: Headers, body: bytes, error: Unreadable) -> Arrival:
    """With a key of its own: the same delivery may come again once it can be read."""
    id_ = new_id()
    delivery = _delivery(id_, forge.identify(headers), f"unreadable:{id_}", headers, body)
    return Arrival(origin_of(connection), FoundBy.DELIVERY, (), delivery, trace=traceparent(), ignored=f"it could not be read: {error}")


def _delivery(id_: str, identity: Identity, key: str, headers: Headers, body: bytes) -> Delivery:
    """With texts that are fit for storage; of headers, those that are needed to read it again: no signatures, no tokens."""
    kept = {name: clean(value)[:1000] for name, value in headers.items() if _is_kept(name)}
    return Delivery(id_, clean(identity.hook)[:200], clean(key)[:200], clean(identity.event)[:200], kept, body)


def _is_kept(name: str) -> bool:
    if name.startswith("x-"):
        return "signature" not in name and "token" not in name
    return name in {"content-type", "idempotency-key"}


@lru_cache(maxsize=1024)
def origin_of(connection: Connection) -> Origin:
    """Where a connection's deliveries come from."""
    return Origin(
        organization=connection.organization,
        project=connection.project,
        connection=connection.name,
        forge=server_of(connection.forge, connection.clone_url),
        repository=connection.repository,
        clone_url=connection.clone_url,
    )


def _say(recorded: Recorded, ignored: str) -> tuple[int, dict[str, object]]:
    if recorded.redelivered:
        return 200, {"status": "known", "delivery": recorded.delivery, "reason": "this delivery was stored before"}
    if ignored:
        return 200, {"status": "ignored", "delivery": recorded.delivery, "reason": clean(ignored)}
    changes = [change.id for change in recorded.changes]
    content: dict[str, object] = {"status": "stored", "delivery": recorded.delivery, "changes": changes}
    if recorded.known:
        content["reason"] = "; ".join(known.reason for known in recorded.known)
    return 202, content
