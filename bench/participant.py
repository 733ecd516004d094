"""A participant that does nothing: answers `done` to every command, many at a time. A process of its own.

Like the real ones it sends no `accepted` for a step that ends at once.
"""

import asyncio
import sys

import nats

from shared.contracts.answers import Outcome, answer
from shared.contracts.commands import ConnectContainer
from shared.contracts.facts import ContainerConnected


async def main(url: str) -> None:
    """Answers for ever."""
    client = await nats.connect(url, user="admin", password="test")
    js = client.jetstream()
    subscription = await js.pull_subscribe_bind("local-deployer-effects", "COMMANDS")
    while True:
        try:
            messages = await subscription.fetch(100, timeout=5)
        except TimeoutError:
            continue
        said = []
        for message in messages:
            command = ConnectContainer.decode(message.data)
            done = ContainerConnected(service=command.release.service, address="10.0.0.2")
            reply = answer(command, "deployer", Outcome.DONE, fact=done)
            subject = f"slipway.res.local.deployer.{command.step_key}"
            said.append(js.publish(subject, reply.encode(), headers=reply.headers("deployer")))
        await asyncio.gather(*said)
        for message in messages:
            await message.ack()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(sys.argv[1]))
