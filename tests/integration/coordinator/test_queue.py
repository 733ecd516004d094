"""Commands that are taken off the queue, on a real server."""

import asyncio
import random
from contextlib import suppress

import nats
from nats.errors import Error
from nats.js import JetStreamContext

from services.coordinator.coordinator import take_off_the_queue
from tests.polling import eventually

DURABLE = "local-deployer-waits"
SUBJECT = "slipway.cmd.local.deployer.waits.{}-check.do"


async def test_what_is_taken_off_takes_no_other_with_it(nats_url: str) -> None:
    """Commands in flight are removed while workers give others back: each other command is worked at in the end."""
    client = await nats.connect(nats_url, user="admin", password="test")
    js, chance = client.jetstream(), random.Random(5)
    waiting, done, removed = set[str](), set[str](), set[str]()
    workers = [asyncio.create_task(_work(js, chance, done)) for _ in range(2)]
    for number in range(200):
        subject = SUBJECT.format(number)
        await js.publish(f"{subject}.1", b"")
        waiting.add(subject)
        if chance.random() < 0.3:
            removed.add(victim := chance.choice(sorted(waiting)))
            with suppress(Error):  # it was acknowledged in between
                await take_off_the_queue(js, f"{victim}.*")
        await asyncio.sleep(0.005)
    await eventually(lambda: _same(waiting - done - removed), within=15)
    for worker in workers:
        worker.cancel()
    await client.close()


async def _same(left: set[str]) -> bool:
    return not left


async def _work(js: JetStreamContext, chance: random.Random, done: set[str]) -> None:
    """Gives back every third command for a moment, and answers the others."""
    subscription = await js.pull_subscribe_bind(DURABLE, stream="COMMANDS")
    while True:
        with suppress(TimeoutError):
            for message in await subscription.fetch(3, timeout=0.5):
                if chance.random() < 0.35:
                    await message.nak(delay=0.3)
                else:
                    await asyncio.sleep(chance.random() * 0.02)
                    await message.ack()
                    done.add(message.subject.rpartition(".")[0])
