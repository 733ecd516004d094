"""Answers what people ask of deliveries, on core NATS; and reads one again where they say so."""

from dataclasses import replace

import structlog
from opentelemetry.trace import SpanKind

from services.webhooks.catalogue import Away, origin_of
from services.webhooks.connections import Connections
from services.webhooks.deliveries import Deliveries, Stored
from services.webhooks.domain import Arrival, Push
from services.webhooks.forges import FORGES
from services.webhooks.forges.document import Unreadable
from services.webhooks.reading import Reader, why_nothing
from services.webhooks.store import Store
from shared.bus import Bus
from shared.contracts.changes import FoundBy
from shared.contracts.deliveries import ASK_SUBJECT, DeliveryQuestion, Told, Verb, told_subject
from shared.postgres import UNAVAILABLE
from shared.problems import Problem
from shared.questions import answer_questions
from shared.telemetry import span, traceparent

log = structlog.get_logger()

SHOWN = 128 * 1024
"""How much of a body goes into an answer, in bytes."""
_GROUP = "webhooks"
"""One replica answers."""


class Questions:
    """Hears questions of api and answers them."""

    def __init__(self, bus: Bus, store: Store, connections: Connections, reader: Reader) -> None:
        self._bus = bus
        self._store = store
        self._connections = connections
        self._deliveries = Deliveries(store.pool)
        self._reader = reader

    async def run(self) -> None:
        """Answers for ever."""
        await answer_questions(self._bus, ASK_SUBJECT, _GROUP, DeliveryQuestion, self._answer)

    async def _answer(self, question: DeliveryQuestion) -> None:
        try:
            parts = await self._parts(question)
        except (Away, Problem, *UNAVAILABLE) as error:
            parts = [Told(error=str(error) or type(error).__name__)]
        except Exception as error:  # the process edge: the one who asks is told, and the log says more
            log.exception("question not answered", question=question.id)
            parts = [Told(error=f"{type(error).__name__}: the log of webhooks says more")]
        for number, part in enumerate(parts, start=1):
            told = part.model_copy(update={"last": number == len(parts)})
            await self._bus.nc.publish(told_subject(question.id), told.encode())

    async def _parts(self, question: DeliveryQuestion) -> list[Told]:
        if question.verb is Verb.LIST:
            found = await self._deliveries.newest(question.organization, question.connection, question.delivery, question.limit)
            return [Told(delivery=page) for page in found] or [Told()]
        stored = await self._deliveries.get(question.organization, question.delivery)
        if stored is None:
            return [Told(missing=True)]
        if question.verb is Verb.REDELIVER:
            return [await self._read_again(question, stored)]
        body = (stored.body or b"")[:SHOWN].decode("utf-8", "replace")
        return [Told(delivery=stored.page, sent_headers=stored.headers, body=body)]

    async def _read_again(self, question: DeliveryQuestion, stored: Stored) -> Told:
        """New changes from what was stored: the person who asks is the one who pushes."""
        connection = await self._connections.find(stored.page.connection)
        if connection is None or connection.forge not in FORGES:
            return Told(missing=True)
        if stored.body is None:
            return Told(error="its body is forgotten: bodies are kept for two weeks")
        try:
            reading = await self._reader.read(connection.forge, stored.headers, stored.body)
        except Unreadable as error:
            return Told(error=f"it cannot be read: {error}")
        origin, request = origin_of(connection), reading.request
        reason = why_nothing(reading, origin)
        if reason or not (reading.pushes or request):
            return Told(delivery=stored.page, reason=reason or stored.page.reason or "it tells of no push")
        pushes = tuple(_pushed_by(question.person, push) for push in reading.pushes)
        if request is not None:
            request = replace(request, by=request.by.model_copy(update={"person": question.person}))
        with span("read delivery again", kind=SpanKind.SERVER):
            arrival = Arrival(origin, FoundBy.REDELIVERY, pushes, stored.page.id, trace=traceparent(), request=request)
            recorded = (await self._store.record([arrival]))[0]
            changes = tuple(change.id for change in recorded.changes)
            log.info("delivery read again", connection=connection.name, delivery=stored.page.id, person=question.person, changes=changes)
        return Told(delivery=stored.page, changes=changes, reason="; ".join(known.reason for known in recorded.known))


def _pushed_by(person: str | None, push: Push) -> Push:
    return replace(push, pusher=push.pusher.model_copy(update={"person": person}))
