"""Following a stream for a while, without leaving anything behind: one message after the other is asked for (JetStream's
direct get), and core NATS says when to ask. No consumer is made: who may make one may also change and delete those of others.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from nats.aio.msg import Msg

from shared.bus import UNAVAILABLE, Bus

POLL_S = 1.0
"""How long news may be missed: core NATS does not say what it lost."""
SOONEST_S = 0.01
"""After news: the message is on its way into the stream."""
GET_S = 5.0
_MARGIN = timedelta(seconds=10)


@dataclass(frozen=True)
class _Read:
    """The last message that was read: its number, and when it was stored."""

    sequence: int
    stored: str


async def follow(bus: Bus, stream: str, subject: str, began: float) -> AsyncIterator[Msg]:
    """The stream's messages on a subject, in order, from shortly before a moment of `time.monotonic` on; then those to come.

    Where the stream does not have the last one any more, it begins anew: the stream is another one, or a power cut took its end,
    and what is sent again has numbers that were read already. Readers know by each message what they have.
    """
    news, pause, connections = asyncio.Event(), SOONEST_S, bus.nc.stats["reconnects"]
    last: _Read | None = None
    since: datetime | None = None

    async def hear(_message: Msg) -> None:
        news.set()

    subscription = await bus.nc.subscribe(subject, cb=hear)
    try:
        while True:
            news.clear()
            found = None
            with suppress(*UNAVAILABLE):
                now = bus.nc.stats["reconnects"]
                if last and (now != connections or pause == POLL_S):
                    last = last if await _has(bus, stream, last) else None
                connections = now
                since = since or await bus.clock("EVENTS") - timedelta(seconds=time.monotonic() - began) - _MARGIN
                found = await _get(bus, stream, _after(last, subject, since))
            if found is not None and bus.nc.stats["reconnects"] == connections:  # else it may be an answer of another stream
                last, pause = _read(found), SOONEST_S
                yield found
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await news.wait()
            pause = SOONEST_S if news.is_set() else min(2 * pause, POLL_S)
    finally:
        with suppress(*UNAVAILABLE):
            await subscription.unsubscribe()


def _after(last: _Read | None, subject: str, since: datetime) -> dict[str, str | int]:
    return {"next_by_subj": subject, **({"seq": last.sequence + 1} if last else {"start_time": since.isoformat()})}


async def _has(bus: Bus, stream: str, last: _Read) -> bool:
    found = await _get(bus, stream, {"seq": last.sequence})
    return found is not None and _read(found) == last


async def _get(bus: Bus, stream: str, asked: Mapping[str, str | int]) -> Msg | None:
    """A message of the stream; None where there is none (yet). Raises `UNAVAILABLE`."""
    found = await bus.nc.request(f"$JS.API.DIRECT.GET.{stream}", json.dumps(asked).encode(), timeout=GET_S)
    return found if "Nats-Sequence" in (found.headers or {}) else None


def _read(found: Msg) -> _Read:
    headers = found.headers or {}
    return _Read(int(headers["Nats-Sequence"]), headers["Nats-Time-Stamp"])
