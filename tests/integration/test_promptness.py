"""A message is handled when it arrives, whatever came before it."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from shared import consumer
from shared.bus import Bus
from shared.consumer import Received, consume
from shared.settings import ServiceSettings
from tests.polling import eventually
from tests.stack import service_settings

FETCH_S = 0.5
PAUSES_S = (0.0, 0.02, 0.3, 0.02, 1.01 * FETCH_S, 0.03, 1.99 * FETCH_S, 0.0, 0.02, 1.02 * FETCH_S, 0.7, 0.02)


async def test_none_waits_for_others(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone and two at a time, after pauses around the time of a fetch. Some waited until the end of the fetch."""
    monkeypatch.setattr(consumer, "FETCH_S", FETCH_S)
    coordinator = await Bus.connect(service_settings(ServiceSettings, "coordinator", nats_url), "coordinator")
    builder = await Bus.connect(service_settings(ServiceSettings, "builder", nats_url), "builder")
    waited: list[float] = []

    async def handle(batch: Sequence[Received[float]]) -> None:
        waited.extend(time.monotonic() - item.message for item in batch)
        await asyncio.sleep(0.005)

    reading = asyncio.ensure_future(
        consume(coordinator, "RESULTS", "coordinator-results", lambda _subject, _headers, body: float(body), handle)
    )
    crowds = (1, 1, 2, 1)
    try:
        for crowd in crowds:
            for pause in PAUSES_S:
                for _ in range(crowd):
                    await builder.js.publish("slipway.res.local.builder.d1-inspect", str(time.monotonic()).encode())
                await asyncio.sleep(pause)

        async def all_there() -> bool:
            return len(waited) == sum(crowds) * len(PAUSES_S)

        await eventually(all_there)
    finally:
        reading.cancel()
        await asyncio.wait({reading})
        await builder.close()
        await coordinator.close()
    assert max(waited) < FETCH_S / 4, sorted(waited)[-10:]
