"""`POST /hooks/<connection>`: verify the bytes, read them, store them, answer 202. Nothing is judged before it is stored."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256

import structlog
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram
from starlette.types import Receive, Scope, Send

from services.webhooks.batches import BatchWriter, CannotStore
from services.webhooks.catalogue import Away, Connection, origin_of
from services.webhooks.connections import Connections
from services.webhooks.domain import Arrival, Delivery
from services.webhooks.forges import FORGES
from services.webhooks.forges.document import Headers, Unreadable, is_object
from services.webhooks.forges.port import Forge, Reading
from services.webhooks.judging import Judging
from services.webhooks.reading import Reader, why_nothing
from services.webhooks.requests import SMALL, ClientLeft, Room, answer, busy, headers_of, read_body, size_of
from services.webhooks.store import Recorded, Store
from services.webhooks.texts import clean
from shared.contracts.changes import FoundBy
from shared.messages import new_id
from shared.postgres import UNAVAILABLE
from shared.problems import Problem
from shared.telemetry import span, traceparent

log = structlog.get_logger()

PATIENCE_S = 8.0
"""GitHub waits ten seconds for an answer."""
MANY = 16
"""Each answer is held back for 20 ms (`shared.exchange`): these are eight hundred deliveries a second."""
DELIVERIES = Counter("slipway_deliveries_total", "Webhook deliveries by what became of them", ["forge", "outcome"])
"""Forge `_`: refused before it was known whose delivery it is."""
DELIVERY_SECONDS = Histogram("slipway_delivery_seconds", "From a delivery's headers to its answer", ["forge"])


class Intake:
    """Takes deliveries. `run` writes what has arrived; it is a background task of the process."""

    def __init__(self, connections: Connections, store: Store, reader: Reader, room: Room, judging: Judging) -> None:
        self._connections = connections
        self._writer: BatchWriter[Delivery, str] = BatchWriter(store.keep, _size_of, PATIENCE_S)
        self._room = room
        self._reader = reader
        self._judging = judging

    @property
    def pressed(self) -> bool:
        """Whether many deliveries are under way."""
        return self._room.taken > MANY

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
            if self._judging.full:
                raise busy("More deliveries wait than are judged in a minute.")
            with self._room.opened(size_of(headers)) as place:
                connection, forge = await self._find(name)
                kind = connection.forge
                with _seconds(kind).time():
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
            _count(kind, outcome).inc()

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
            if self.pressed and len(body) <= SMALL and is_object(body):
                delivery = _delivery(connection, forge, headers, body, "")
                arrival = None
            else:
                reading = await self._read(connection, forge, headers, body)
                delivery = _delivery(connection, forge, headers, body, why_nothing(reading, origin_of(connection)))
                arrival = _arrival(delivery, reading)
            with self._judging.held.holding(delivery.id, arrival, len(body)) as held:
                kept = await self._keep(delivery)
                if kept != delivery.id:
                    return 200, {"status": "known", "delivery": kept, "reason": "this delivery was stored before"}
                if delivery.reason:
                    return 200, {"status": "ignored", "delivery": kept, "reason": delivery.reason}
                held.stored()
            return 202, _stored(kept, await self._judging.outcome(held))

    async def _read(self, connection: Connection, forge: Forge, headers: Headers, body: bytes) -> Reading:
        """One that cannot be read is stored all the same; then raises the problem 400."""
        try:
            return await self._reader.read(connection.forge, headers, body)
        except Unreadable as error:
            await self._keep(_unreadable(connection, forge, headers, body, error))
            raise Problem(400, "unreadable-delivery", clean(f"{error}.")) from None

    async def _keep(self, delivery: Delivery) -> str:
        try:
            return await self._writer.put(delivery)
        except CannotStore as error:
            log.warning("delivery not stored", connection=delivery.origin.connection, reason=str(error))
            raise busy("The delivery could not be stored.") from error


@cache
def _seconds(forge: str) -> Histogram:
    return DELIVERY_SECONDS.labels(forge)


@cache
def _count(forge: str, outcome: str) -> Counter:
    return DELIVERIES.labels(forge, outcome)


def _size_of(delivery: Delivery) -> int:
    return len(delivery.body)


async def _verify(forge: Forge, headers: Headers, body: bytes, secrets: Sequence[str]) -> bool:
    if len(body) <= SMALL:
        return forge.verify(headers, body, secrets)
    return await asyncio.to_thread(forge.verify, headers, body, secrets)


def _delivery(connection: Connection, forge: Forge, headers: Headers, body: bytes, reason: str) -> Delivery:
    """With texts that are fit for storage; of headers, those that are needed to read it again: no signatures, no tokens."""
    identity = forge.identify(headers)
    return Delivery(
        id=new_id(),
        origin=origin_of(connection),
        hook=clean(identity.hook)[:200],
        key=clean(identity.key)[:200] or f"sha256:{sha256(body).hexdigest()}",
        event=clean(identity.event)[:200],
        headers={name: clean(value)[:1000] for name, value in headers.items() if _is_kept(name)},
        body=body,
        trace=traceparent(),
        reason=clean(reason)[:2000],
    )


def _unreadable(connection: Connection, forge: Forge, headers: Headers, body: bytes, error: Unreadable) -> Delivery:
    """With a key of its own: the same delivery may come again once it can be read."""
    delivery = _delivery(connection, forge, headers, body, f"it could not be read: {error}")
    return replace(delivery, key=f"unreadable:{delivery.id}")


def _arrival(delivery: Delivery, reading: Reading) -> Arrival:
    """What it says, without its body."""
    return Arrival(delivery.origin, FoundBy.DELIVERY, reading.pushes, delivery.id, trace=delivery.trace, request=reading.request)


def _is_kept(name: str) -> bool:
    if name.startswith("x-"):
        return "signature" not in name and "token" not in name
    return name in {"content-type", "idempotency-key"}


def _stored(delivery: str, became: Recorded | None) -> dict[str, object]:
    """The answer, with what became of it where that is known."""
    content: dict[str, object] = {"status": "stored", "delivery": delivery}
    if became is None:
        return content
    content["changes"] = [change.id for change in became.changes]
    if became.known:
        content["reason"] = "; ".join(known.reason for known in became.known)
    return content
