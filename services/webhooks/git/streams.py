"""Following a stream for a while, without leaving anything behind: an ephemeral consumer, made again where it was lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import FetchTimeoutError

from shared.bus import UNAVAILABLE, Bus

FORGOTTEN_S = 60.0
"""The server drops a consumer that nobody has asked for so long."""
FETCH_S = 20.0


async def follow(bus: Bus, stream: str, subject: str, since: datetime | None) -> AsyncIterator[Msg]:
    """The stream's messages on a subject, in order, each once, from a time on (None: from the first); then those to come."""
    last = 0
    while True:
        try:
            reader = await bus.js.pull_subscribe(subject, stream=stream, config=_from(last, since))
        except UNAVAILABLE:
            await asyncio.sleep(0.5)
            continue
        try:
            async for message in _messages(reader):
                sequence = message.metadata.sequence.stream
                if sequence > last:
                    last = sequence
                    yield message
        finally:
            with suppress(*UNAVAILABLE):
                await reader.unsubscribe()


async def _messages(reader: JetStreamContext.PullSubscription) -> AsyncIterator[Msg]:
    """Until the bus fails: then the consumer may be gone, and a new one goes on after the last message."""
    while True:
        try:
            messages = await reader.fetch(1, timeout=FETCH_S)
        except (FetchTimeoutError, TimeoutError):
            try:
                await reader.consumer_info()
            except UNAVAILABLE:
                return
            continue
        except UNAVAILABLE:
            await asyncio.sleep(0.2)
            return
        for message in messages:
            yield message


def _from(last: int, since: datetime | None) -> ConsumerConfig:
    config = ConsumerConfig(ack_policy=AckPolicy.NONE, inactive_threshold=FORGOTTEN_S, mem_storage=True)
    if last:
        return config.evolve(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=last + 1)
    if since:
        return config.evolve(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=since)
    return config
