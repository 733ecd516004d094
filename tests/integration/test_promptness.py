"""A message is handled when it arrives, whatever came before it."""

import asyncio
import json

from shared import consumer
from shared.bus import Bus
from shared.settings import ServiceSettings
from tests.stack import service_settings

DURABLE, SUBJECT = "coordinator-results", "slipway.res.local.builder.d1-inspect"


async def test_none_waits_for_others(coordinator: Bus, nats_url: str) -> None:
    """Also where a request of an earlier fetch is at the server still, which takes the message: it came, and the fetch went on waiting."""
    builder = await Bus.connect(service_settings(ServiceSettings, "builder", nats_url), "builder")
    subscription = await coordinator.js.pull_subscribe_bind(DURABLE, "RESULTS")
    left_behind = json.dumps({"batch": 100, "expires": int(60e9)}).encode()
    try:
        inbox = subscription._deliver
        await coordinator.nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.RESULTS.{DURABLE}", left_behind, reply=inbox)
        for word in (b"first", b"second"):
            fetching = asyncio.ensure_future(consumer._fetch(subscription, 100))
            await asyncio.sleep(0)
            await builder.js.publish(SUBJECT, word)
            (message,) = await asyncio.wait_for(fetching, consumer.FETCH_S / 2)
            assert message.data == word
            await message.ack()
    finally:
        await builder.close()
