"""Following a stream for a while, without leaving anything behind: one message after the other is asked for (JetStream's
direct get), and core NATS says when to ask. No consumer is made: who may make one may also change and delete those of others.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime

from nats.aio.msg import Msg

from shared.bus import UNAVAILABLE, Bus

POLL_S = 1.0
"""How long news may be missed: core NATS does not say what it lost."""
SOONEST_S = 0.01
"""After news: the message is on its way into the stream."""
GET_S = 5.0


async def follow(bus: Bus, stream: str, subject: str, since: datetime) -> AsyncIterator[Msg]:
    """The stream's messages on a subject, in order, each once, from a time on; then those to come."""
    news, last, pause = asyncio.Event(), 0, SOONEST_S

    async def hear(_message: Msg) -> None:
        news.set()

    subscription = await bus.nc.subscribe(subject, cb=hear)
    try:
        while True:
            news.clear()
            found = await _next(bus, stream, subject, last, since)
            if found is not None:
                last, pause = int((found.headers or {})["Nats-Sequence"]), SOONEST_S
                yield found
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await news.wait()
            pause = SOONEST_S if news.is_set() else min(2 * pause, POLL_S)
    finally:
        with suppress(*UNAVAILABLE):
            await subscription.unsubscribe()


async def _next(bus: Bus, stream: str, subject: str, last: int, since: datetime) -> Msg | None:
    """The first after `last`; None where there is none (yet), or the bus is away."""
    asked = {"next_by_subj": subject, **({"seq": last + 1} if last else {"start_time": since.isoformat()})}
    try:
        found = await bus.nc.request(f"$JS.API.DIRECT.GET.{stream}", json.dumps(asked).encode(), timeout=GET_S)
    except UNAVAILABLE:
        return None
    return found if "Nats-Sequence" in (found.headers or {}) else None
