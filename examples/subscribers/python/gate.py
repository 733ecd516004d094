"""A gate with the plain NATS client: python gate.py. No release while a freeze is on: as long as the file `FREEZE_FILE` is there.

What else the environment holds is what `slipway gates add` said.
"""

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

FREEZE = Path(os.environ.get("FREEZE_FILE", "freeze.txt"))


async def answer_questions() -> None:
    """For ever; a connection that breaks is made again, and what was not acknowledged comes again."""
    client = await nats.connect(
        os.environ["NATS_URL"],
        user=os.environ["NATS_USER"],
        password=os.environ["NATS_PASSWORD"],
        inbox_prefix=os.environ["NATS_INBOX_PREFIX"],  # the only place where this user may hear replies
        max_reconnect_attempts=-1,
    )
    questions = await client.jetstream().pull_subscribe_bind(os.environ["NATS_CONSUMER"], os.environ["NATS_STREAM"])
    while True:
        try:
            messages = await questions.fetch(batch=10, timeout=30)
        except nats.errors.TimeoutError:
            continue  # nobody asked
        for message in messages:
            await handle(client, message)


async def handle(client: Client, message: Msg) -> None:
    """Acknowledged once the answer is kept. So a crash before that brings the question again; a second answer changes nothing."""
    event = json.loads(message.data)
    if datetime.fromisoformat(event["data"]["deadline"]) < datetime.now(UTC):
        await message.ack()  # the gate's default counted
        return
    answer = {"deployment": event["deployment"], **decide(event["data"])}
    try:
        reply = await client.request(os.environ["GATE_SUBJECT"], json.dumps(answer).encode(), timeout=5)
    except (nats.errors.TimeoutError, nats.errors.NoRespondersError):
        kept: dict[str, Any] = {"again": True}
    else:
        kept = json.loads(reply.data)
    print(json.dumps({"asked": event["id"], **answer, **kept}), flush=True)
    if kept.get("again"):
        await message.nak(delay=1)
    else:
        await message.ack()


def decide(question: dict[str, Any]) -> dict[str, str]:
    """The question has commit, services, images by digest, and more: docs/gates.md."""
    if FREEZE.exists():
        return {"result": "fail", "reason": FREEZE.read_text().strip() or "a freeze is on"}
    return {"result": "pass", "reason": f"no freeze is on for {question['environment_kind']}"}


if __name__ == "__main__":
    asyncio.run(answer_questions())
