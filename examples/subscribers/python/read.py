"""Reads Slipway's events from NATS with the plain client: python read.py. What the environment holds is what `slipway subscribers add` said."""

import asyncio
import json
import os

import nats
from nats.aio.msg import Msg


async def read() -> None:
    """For ever; a connection that breaks is made again, and what was not acknowledged comes again."""
    client = await nats.connect(
        os.environ["NATS_URL"],
        user=os.environ["NATS_USER"],
        password=os.environ["NATS_PASSWORD"],
        inbox_prefix=os.environ["NATS_INBOX_PREFIX"],  # the only place where this user may hear answers
        max_reconnect_attempts=-1,
    )
    consumer = await client.jetstream().pull_subscribe_bind(os.environ["NATS_CONSUMER"], os.environ["NATS_STREAM"])
    while True:
        try:
            messages = await consumer.fetch(batch=10, timeout=30)
        except nats.errors.TimeoutError:
            continue  # nothing happened
        for message in messages:
            handle(message)
            await message.ack()  # only now is it done: a crash before this brings it again


def handle(message: Msg) -> None:
    """At least once: the same event may come twice, under the same ce-id."""
    headers = message.headers or {}
    print(json.dumps({"id": headers["ce-id"], "type": headers["ce-type"], "subject": message.subject}), flush=True)


if __name__ == "__main__":
    asyncio.run(read())
