"""Publishing many messages at once: one subscription hears JetStream's word on all of them, at half of what a request for each costs."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from itertools import count

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import PubAck
from nats.js.errors import APIError, NoStreamResponseError

ANSWER_S = 5.0

Publication = tuple[str, bytes, dict[str, str]]
"""Subject, body, headers."""
Word = PubAck | NatsError | OSError
"""What became of one: it is stored, or why nobody knows that it is."""


class Publisher:
    """Of one connection. Several may publish at the same time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = ""
        self._numbers = count()
        self._awaited: dict[str, asyncio.Future[Word]] = {}

    async def publish(self, messages: Sequence[Publication]) -> list[Word]:
        """Publishes all and answers what became of each, in their order, within five seconds. No message waits for another's word."""
        if not self._inbox:
            inbox = self._client.new_inbox()
            await self._client.subscribe(f"{inbox}.*", cb=self._hear)
            self._inbox = inbox  # only now: a subscription that did not come about is made by the next
        awaited = {str(next(self._numbers)): asyncio.get_running_loop().create_future() for _ in messages}
        self._awaited |= awaited
        try:
            for (number, word), message in zip(awaited.items(), messages, strict=True):
                await self._send(number, word, *message)
            await asyncio.wait(awaited.values(), timeout=ANSWER_S)
        finally:
            for number in awaited:
                self._awaited.pop(number, None)
        return [word.result() if word.done() else NatsTimeout() for word in awaited.values()]

    async def _send(self, number: str, word: asyncio.Future[Word], subject: str, body: bytes, headers: dict[str, str]) -> None:
        # nats-py looks at the body alone, and a server that gets more than it takes closes the connection.
        if _size_of(headers) + len(body) > self._client.max_payload:
            word.set_result(MaxPayloadError())
            return
        try:
            await self._client.publish(subject, body, reply=f"{self._inbox}.{number}", headers=headers)
        except (NatsError, OSError) as error:
            word.set_result(error)

    async def _hear(self, message: Msg) -> None:
        word = self._awaited.pop(message.subject.rpartition(".")[2], None)
        if word is not None and not word.done():
            word.set_result(_said(message))


def _size_of(headers: Mapping[str, str]) -> int:
    """Bytes of the headers as they are sent: NATS/1.0 and an empty line around them."""
    return len("NATS/1.0\r\n\r\n") + sum(len(f"{name}: {value}\r\n".encode()) for name, value in headers.items())


def _said(message: Msg) -> Word:
    if not message.data:  # a status 503: nothing listens on the subject
        return NoStreamResponseError()
    said = json.loads(message.data)
    if "error" in said:
        try:
            APIError.from_error(said["error"])  # raises the class that fits
        except APIError as error:
            return error
    return PubAck(stream=said["stream"], seq=said["seq"], duplicate=said.get("duplicate"))
