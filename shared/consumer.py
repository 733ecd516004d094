"""Reading a stream in batches with nats-py, for services that keep state: one transaction a batch is what is fast.

Failing infrastructure pauses fetching and never counts against a message. A message that fails on
its own merits is tried a few times with delay, then published to DEADLETTERS with its error, then terminated.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import shuffle
from time import monotonic
from typing import Generic, TypeVar

import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from shared import bus as bus_module
from shared import postgres
from shared.bus import Bus, Gone
from shared.letters import Delivered, as_it_came, bury, delivered
from shared.messages import UnknownType
from shared.telemetry import HANDLED, HANDLING_SECONDS, REDELIVERED

log = structlog.get_logger()
T = TypeVar("T")

UNAVAILABLE = (*postgres.UNAVAILABLE, *bus_module.UNAVAILABLE)
TRIES = 5
DELAY_S = 2.0
UNKNOWN_TRIES = 10
"""Deliveries of a message of an unknown type, or about something that only a newer version can read: while replicas are exchanged, the next may come to one that knows it."""
UNKNOWN_DELAY_S = 3.0
SUSPECT, DEADLY = 3, 16
"""Deliveries after which a message is handled alone, and after which it is given up unhandled: whoever has handled it has died."""
FETCH_S = 5.0
"""A fetch in flight when the server restarts ends only at its own timeout."""
BEHIND_S = 0.1
"""How long messages that wait at the server may take."""
ACKNOWLEDGED_S = 5
"""How long the server may take to say that it has the acknowledgements; one that restarts meanwhile never says it."""


class KillsItsReader(ValueError):
    """The message was delivered often, and was neither acknowledged nor given back: its readers die of it."""


@dataclass(frozen=True)
class Received(Generic[T]):
    """A decoded message with what it came in."""

    message: T
    headers: dict[str, str]
    subject: str
    tries: int


async def consume(
    bus: Bus,
    stream: str,
    durable: str,
    decode: Callable[[str, dict[str, str], bytes], T],
    handle: Callable[[Sequence[Received[T]]], Awaitable[None]],
    *,
    batch: int = 100,
) -> None:
    """Fetches for ever; `handle` gets what has queued up, at most `batch`, and its messages are acknowledged when it returns.

    `decode` gets subject, headers and body, and raises `ValueError` for what no version understands: that is dead-lettered at once;
    `UnknownType` for what a newer one may: that is left to other replicas for a while. So is what `handle` raises it for.
    """
    subscription = await bus.js.pull_subscribe_bind(durable, stream)
    bus.reading.add((stream, durable))
    reader = _Reader(bus, durable, decode, handle)
    pause = 0.1
    while True:
        _stop_if_cancelled()
        began = monotonic()
        try:
            messages = await _fetch(subscription, batch)
        except bus_module.UNAVAILABLE as error:
            await asyncio.sleep(0)  # a fetch on a closed connection fails without yielding
            if bus.closed.is_set():
                raise bus_module.ConnectionLost(durable) from error
            if monotonic() - began < FETCH_S / 2:  # no time without messages: nobody answers for the consumer, or it moves
                with suppress(Gone, *bus_module.UNAVAILABLE):
                    await bus.look()  # says by itself what is gone
                await asyncio.sleep(0.25)
            continue
        reader.note(messages)
        while True:
            try:
                await reader.take(messages)
                pause = 0.1
                break
            except UNAVAILABLE as error:
                log.warning("fetching paused", durable=durable, error=str(error) or type(error).__name__, seconds=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)


def _stop_if_cancelled() -> None:
    """nats-py waits with `asyncio.wait_for`, which in Python 3.11 forgets a cancellation that comes together with its answer."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _fetch(subscription: JetStreamContext.PullSubscription, batch: int) -> list[Msg]:
    """What there is, as soon as there is something; raises one of `UNAVAILABLE`. Ends at once when it is cancelled.

    nats-py waits with `asyncio.wait_for`, which in Python 3.11 forgets a cancellation that arrives together with a
    message: the process would then stop only after its limit. What was fetched comes again after its ack wait.
    """
    fetching = asyncio.ensure_future(_what_there_is(subscription, batch))
    fetching.add_done_callback(lambda done: None if done.cancelled() else done.exception())
    try:
        await asyncio.wait({fetching})
        return fetching.result()
    finally:
        fetching.cancel()


async def _what_there_is(subscription: JetStreamContext.PullSubscription, batch: int) -> list[Msg]:
    """The first message says how many are behind it, and no more than those are asked for.

    `fetch(batch)` by itself may leave a request at the server that takes the next message, while the one after it waits for a whole
    batch until its timeout: an answer was then handled seconds late.
    """
    messages = await subscription.fetch(1, timeout=FETCH_S)
    if behind := min(messages[0].metadata.num_pending, batch - 1):
        with suppress(*bus_module.UNAVAILABLE):  # a replica was faster; of an outage the next fetch says more
            messages += await subscription.fetch(behind, timeout=BEHIND_S)
    return messages


class _Reader(Generic[T]):
    def __init__(
        self,
        bus: Bus,
        durable: str,
        decode: Callable[[str, dict[str, str], bytes], T],
        handle: Callable[[Sequence[Received[T]]], Awaitable[None]],
    ) -> None:
        self._bus = bus
        self._durable = durable
        self._decode = decode
        self._handle = handle

    def note(self, messages: Sequence[Msg]) -> None:
        """Counts and tells of what comes again; once a delivery, however long an outage keeps it waiting."""
        for message in messages:
            if (tries := message.metadata.num_delivered) > 1:
                REDELIVERED.labels(self._durable).inc()
                log.info("message came again", durable=self._durable, subject=message.subject, tries=tries)

    async def take(self, messages: Sequence[Msg]) -> None:
        """Handles what was fetched: together, and one by one where one of them is bad, or has been in a batch that nobody finished.

        Called again after an outage, it leaves alone what it has acknowledged: an acknowledgement that was lost on
        the way brings the message again, and acknowledging twice is an error of its own.
        """
        waiting = [message for message in messages if not message.is_acked]
        received = [(message, item) for message in waiting if (item := await self._read(message)) is not None]
        await self._take_together([(message, item) for message, item in received if item.tries <= SUSPECT])
        suspects = [(message, item) for message, item in received if item.tries > SUSPECT]
        shuffle(suspects)  # the one of which readers die keeps those behind it from being handled: each time others
        for message, item in suspects:
            await self._take_one(message, item)

    async def _take_together(self, received: Sequence[tuple[Msg, Received[T]]]) -> None:
        if not received:
            return
        try:
            with HANDLING_SECONDS.labels(self._durable).time():
                await self._handle([item for _, item in received])
        except Exception as error:  # the process edge: every message of the batch is tried on its own below
            if is_outage(error):
                raise
            log.warning("batch failed, trying one by one", durable=self._durable, error=repr(error))
            for message, item in received:
                await self._take_one(message, item)
            return
        await self._acknowledge([message for message, _ in received])

    async def _take_one(self, message: Msg, item: Received[T]) -> None:
        try:
            await self._handle([item])
        except Exception as error:
            if is_outage(error):
                raise
            if isinstance(error, UnknownType):
                await self._leave(message, delivered(self._bus, self._durable, message), error)
            elif item.tries >= TRIES:
                log.exception("message given up", durable=self._durable, subject=item.subject)
                await self._bury(message, delivered(self._bus, self._durable, message), error)
            else:
                log.exception("message failed", durable=self._durable, subject=item.subject, tries=item.tries)
                HANDLED.labels(self._durable, "failed").inc()
                await message.nak(delay=DELAY_S * item.tries)
            return
        await self._acknowledge([message])

    async def _acknowledge(self, messages: Sequence[Msg]) -> None:
        for message in messages:
            await message.ack()
        await self._bus.nc.flush(timeout=ACKNOWLEDGED_S)
        HANDLED.labels(self._durable, "done").inc(len(messages))

    async def _read(self, message: Msg) -> Received[T] | None:
        tries = message.metadata.num_delivered
        came = as_it_came(self._durable, message)
        try:
            if tries > DEADLY:
                raise KillsItsReader(f"it was delivered {tries} times, and nobody lived to answer")
            came = delivered(self._bus, self._durable, message)
            return Received(self._decode(came.subject, dict(came.headers), message.data), dict(came.headers), came.subject, tries)
        except UnknownType as error:
            await self._leave(message, came, error)
        except ValueError as error:
            await self._bury(message, came, error)
        return None

    async def _leave(self, message: Msg, came: Delivered, error: UnknownType) -> None:
        tries = message.metadata.num_delivered
        if tries >= UNKNOWN_TRIES:
            await self._bury(message, came, error)
            return
        log.warning("left to a newer replica", durable=self._durable, subject=came.subject, error=str(error), tries=tries)
        await message.nak(delay=UNKNOWN_DELAY_S)

    async def _bury(self, message: Msg, came: Delivered, error: Exception) -> None:
        await bury(self._bus, came, error)
        await message.term()


def is_outage(error: Exception) -> bool:
    """Whether it says that infrastructure is away. A `ValueError` never does: it is the message's own fault, whatever else it is by class."""
    return isinstance(error, UNAVAILABLE) and not isinstance(error, ValueError)
