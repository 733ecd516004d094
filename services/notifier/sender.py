"""Sends what is due: claims it, tells it, and writes what became of it. Runs in every replica; a notification is one replica's at a time."""

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from opentelemetry.trace import SpanKind
from prometheus_client import Counter

from services.notifier.channels import Channel
from services.notifier.comments.noting import PROVIDER as COMMENT
from services.notifier.providers.contract import Notification, Outcome, Provider, Verdict
from services.notifier.schedule import next_attempt, wait_after
from services.notifier.store import channels, deployments, notifications
from services.notifier.store.notifications import AT_ONCE, Attempt, Claimed
from shared.contracts.events import Event, NotificationAttempted
from shared.messages import utc_now
from shared.outbox import Outbox
from shared.postgres import UNAVAILABLE, Connection, Pool
from shared.sealing import Unopenable, Vault
from shared.telemetry import span

log = structlog.get_logger()

ATTEMPTS = Counter("slipway_notification_attempts_total", "Attempts to tell somebody", ["kind", "outcome"])
POLL_S = 2.0
"""How late a replica notices what another one stored or gave up."""
REFUSED_FOR = timedelta(hours=1)
"""How long a channel rests whose receiver does not take its token; a changed channel is tried at once."""
_STATES = {
    Outcome.DELIVERED: "delivered",
    Outcome.SKIPPED: "skipped",
    Outcome.GONE: "gone",
    Outcome.HOPELESS: "dead",
    Outcome.RETRY: "dead",
    Outcome.REFUSED: "dead",
}
"""The state that something ends in when it is not tried again."""


class Sender:
    """`providers` are by a channel's kind. At least once: a crash after sending sends again."""

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        outbox: Outbox,
        providers: Mapping[str, Provider],
        *,
        retry_first_s: float,
        dead_after: timedelta,
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._outbox = outbox
        self._providers = providers
        self._retry_first_s = retry_first_s
        self._dead_after = dead_after
        self._due = asyncio.Event()
        self._working: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Something is due."""
        self._due.set()

    async def run(self) -> None:
        """Sends for ever; pauses while the database is away. Whatever is being sent at the end is sent again by another."""
        try:
            while True:
                self._due.clear()
                try:
                    wait = await self._begin()
                except UNAVAILABLE as error:
                    log.warning("sending paused", error=str(error) or type(error).__name__)
                    wait = POLL_S
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._due.wait()
        finally:
            for task in self._working:
                task.cancel()
            await asyncio.gather(*self._working, return_exceptions=True)

    async def _begin(self) -> float:
        """Begins to send what is due, and answers how long nothing else will be."""
        slots = AT_ONCE - len(self._working)
        if slots:
            for claimed in await notifications.claim(self._pool, slots):
                task = asyncio.create_task(self._send(claimed))
                self._working.add(task)
                task.add_done_callback(self._ended)
        until = await notifications.seconds_until_next(self._pool)
        return POLL_S if until is None else min(max(until, 0.05), POLL_S)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._due.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The lease runs out, and it is sent again: by then the database may be back.
            log.error("the outcome of an attempt could not be written", exc_info=error)

    async def _send(self, claimed: Claimed) -> None:
        event = Event.decode(claimed.event)
        channel = await self._channel(claimed)
        if channel is None:
            return
        trace = {"traceparent": claimed.traceparent}
        with span(f"notify {channel.kind}", trace, SpanKind.CLIENT, deployment=event.deployment or "", channel=channel.name):
            started = time.monotonic()
            verdict = await self._deliver(claimed, event, channel)
            ATTEMPTS.labels(claimed.provider or channel.kind, verdict.outcome).inc()
            await self._write(claimed, event, channel, verdict, time.monotonic() - started)

    async def _channel(self, claimed: Claimed) -> Channel | None:
        """None where it was removed, or its secrets cannot be read until api is asked again."""
        try:
            return await channels.get(self._pool, self._vault, claimed.organization, claimed.channel)
        except Unopenable:
            log.error("a channel's secrets cannot be opened with this master key", channel=claimed.channel)
            return None

    async def _deliver(self, claimed: Claimed, event: Event, channel: Channel) -> Verdict:
        provider = self._providers.get(claimed.provider or channel.kind)
        if provider is None:
            return Verdict(Outcome.HOPELESS, error=f"Nothing is known of channels of the kind {channel.kind}.")
        if event.deployment and _goes_forward(claimed):
            told = await deployments.told_until(self._pool, channel, event.deployment)
            if told >= claimed.sequence:
                return Verdict(Outcome.SKIPPED)
        about = await deployments.get(self._pool, event.deployment) if event.deployment else None
        try:
            return await provider.deliver(Notification(claimed.id, event, claimed.source, about, claimed.outside), channel)
        except Exception as error:
            # A defect in one provider must not keep the others from telling, and an OSError of its own is no outage of the
            # database: where that is away, the attempt cannot be written either, and the notification is sent again.
            log.exception("a provider failed unexpectedly", channel=channel.name, kind=channel.kind)
            return Verdict(Outcome.RETRY, error=f"internal error: {type(error).__name__}")

    async def _write(self, claimed: Claimed, event: Event, channel: Channel, verdict: Verdict, seconds: float) -> None:
        """The attempt, what follows from it, and the event that tells of it, in one transaction."""
        number = claimed.attempts + 1
        next_at = self._next(claimed, number, verdict) if verdict.outcome in (Outcome.RETRY, Outcome.REFUSED) else None
        attempt = Attempt(number, seconds, verdict.outcome is Outcome.DELIVERED, verdict.status, _text(verdict.error), next_at)
        async with self._pool.acquire() as connection, connection.transaction():
            if verdict.outcome is Outcome.REFUSED and not await self._rest(connection, claimed, channel) and next_at is not None:
                # Another one said it, and the channel rests; or it was changed meanwhile, and this is tried at once.
                await notifications.later(connection, claimed, claimed.attempts, utc_now())
                return
            if verdict.outcome is not Outcome.SKIPPED:
                await notifications.record(connection, claimed, attempt)
                await self._outbox.add(connection, [_told(event, claimed, channel, attempt)])
            if next_at is not None:
                await notifications.later(connection, claimed, number, next_at)
            else:
                await notifications.end(connection, claimed, _STATES[verdict.outcome], number)
            if verdict.hold and verdict.wait is not None:
                await channels.hold(connection, channel, verdict.wait)
            if verdict.outcome is Outcome.GONE:
                await channels.gone(connection, channel)
            if verdict.outcome in (Outcome.DELIVERED, Outcome.SKIPPED) and claimed.lane != claimed.id:
                if event.deployment and _goes_forward(claimed):
                    await deployments.told(connection, channel, event.deployment, claimed.sequence)
                await notifications.skip_older(connection, claimed.lane, claimed.sequence)
        self._outbox.wake()

    async def _rest(self, connection: Connection, claimed: Claimed, channel: Channel) -> bool:
        """Where the token may not comment, statuses go on."""
        return await channels.rest(connection, channel, REFUSED_FOR, comments=claimed.provider == COMMENT)

    def _next(self, claimed: Claimed, number: int, verdict: Verdict) -> datetime | None:
        wait = wait_after(number, self._retry_first_s, random.random())  # noqa: S311 -- spreads load, keeps no secret
        asked_for = REFUSED_FOR if verdict.outcome is Outcome.REFUSED else verdict.wait
        return next_attempt(utc_now(), claimed.created_at, wait, asked_for, self._dead_after)


def _goes_forward(claimed: Claimed) -> bool:
    """It says what its event says, so that it must not come after a newer one. A comment says all that is known."""
    return bool(claimed.sequence) and claimed.lane != claimed.id and claimed.provider != COMMENT


def _told(event: Event, claimed: Claimed, channel: Channel, attempt: Attempt) -> Event:
    fact = NotificationAttempted(
        channel=channel.name,
        kind=claimed.provider or channel.kind,
        about=claimed.event_id,
        attempt=attempt.number,
        delivered=attempt.delivered,
        status=attempt.status,
        error=attempt.error,
        next_attempt_at=attempt.next_at.isoformat() if attempt.next_at else None,
    )
    return Event.of(fact, event.organization, event.project, event.environment, cause=event.id, deployment=event.deployment)


def _text(error: str) -> str:
    """As the database takes it: without NUL and halves of surrogate pairs."""
    return error.encode("utf-8", "replace").decode().replace("\0", "\ufffd")[:1000]
