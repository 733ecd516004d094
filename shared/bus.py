"""The connection to NATS: JetStream for what must not be lost, core NATS for beats and cancels, where a loss is harmless."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js import JetStreamContext
from nats.js.api import PubAck
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from shared.messages import Message
from shared.publishing import Publication, Publisher, Word
from shared.settings import ServiceSettings
from shared.telemetry import trace_headers
from shared.topology import inbox_of

log = structlog.get_logger()

ALREADY_THERE = 10077
"""JetStream's error for a second message on a subject of a one-message-a-subject stream: this very message is there."""

UNAVAILABLE = (OSError, TimeoutError, asyncio.TimeoutError, NatsError)
"""Errors that say the bus is away."""


class TooLarge(ValueError):
    """The message is larger than the bus takes (`max_payload`, by default 1 MiB): sending it again does not help."""


class ConnectionLost(RuntimeError):
    """A connection is away. Where it was closed for good, the process ends and is started again."""


class Gone(RuntimeError):
    """A stream that the process reads, or its durable there, does not exist any more: nothing arrives until it is made again."""


async def open_client(client: Client, *servers: str, **options: Any) -> None:
    """Connects. Where that does not come about, however it ends, the socket is closed: nats-py leaves it to the collector."""
    try:
        await client.connect(list(servers), **options)
    except BaseException:
        with suppress(*UNAVAILABLE):
            await client.close()
        raise


class _Client(Client):
    """nats-py's, which stops reading, and does not say so, when a pong comes that `flush` does not wait for any more."""

    async def _process_pong(self) -> None:
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.Future()
        await super()._process_pong()


class Bus:
    """One service's connection. Reconnects without limit; `closed` is set when nats-py gave up all the same."""

    def __init__(self, client: Client, user: str, secret: bytes = b"") -> None:
        self.nc = client
        self.js: JetStreamContext = client.jetstream(timeout=5)
        self.user = user
        self.secret = secret
        """Known to this service alone, and the same in all its replicas."""
        self.closed = asyncio.Event()
        self.disconnected_at: float | None = None
        self.reading: set[tuple[str, str]] = set()
        """Streams that the process reads, and its durable in each: it is ready as long as they are there."""
        self.beside: set[Client] = set()
        """Connections of their own that workers get their commands on: the process is ready as long as these are up, too."""
        self._gone: set[tuple[str, str]] = set()
        self._publisher = Publisher(client)
        self._closing = False
        self._on_reconnect: list[Callable[[], Awaitable[None]]] = []

    @classmethod
    async def connect(cls, settings: ServiceSettings, user: str) -> "Bus":
        """Connects as the service's user; raises `OSError` or `nats.errors.Error` where the server is away or says no."""
        client = _Client()
        bus = cls(client, user, hashlib.sha256(b"slipway " + settings.nats_password.get_secret_value().encode()).digest())
        await open_client(
            client,
            settings.nats_url,
            name=f"slipway-{user}",
            user=settings.nats_user or None,
            password=settings.nats_password.get_secret_value() or None,
            inbox_prefix=inbox_of(user),
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            connect_timeout=10,
            ping_interval=20,
            disconnected_cb=bus._disconnected,
            reconnected_cb=bus._reconnected,
            closed_cb=bus._closed,
            error_cb=bus._error,
            pending_size=8 * 1024 * 1024,
        )
        return bus

    @property
    def connected(self) -> bool:
        """Whether the socket is up right now."""
        return self.nc.is_connected

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Calls back after every reconnect."""
        self._on_reconnect.append(callback)

    async def ready(self) -> None:
        """A JetStream round trip; raises where there is none, or workers have no connection, and `Gone` where what the process reads is not there."""
        await self.nc.request("$JS.API.INFO", b"", timeout=2)
        if not all(client.is_connected for client in self.beside):
            raise ConnectionLost("the connection that brings commands is away")
        await self.look()

    async def look(self) -> None:
        """Looks whether what the process reads is there; raises `Gone`, and says it in the log, once. Or one of `UNAVAILABLE`."""
        for stream, durable in sorted(self.reading):
            try:
                await self.js.consumer_info(stream, durable, timeout=2)
            except NotFoundError:
                message = f"the stream {stream} or its consumer {durable} is gone: nothing arrives until it is made again"
                if (stream, durable) not in self._gone:
                    self._gone.add((stream, durable))
                    log.error("stream gone", stream=stream, durable=durable, user=self.user)
                raise Gone(message) from None
            if (stream, durable) in self._gone:
                self._gone.discard((stream, durable))
                log.info("stream there again", stream=stream, durable=durable, user=self.user)

    async def waiting_since(self, stream: str) -> datetime | None:
        """When the oldest message in a stream came; None where there is none. Raises one of `UNAVAILABLE`."""
        state = (await self._info(stream))["state"]
        return datetime.fromisoformat(state["first_ts"]) if state["messages"] else None

    async def clock(self, stream: str) -> datetime:
        """The time by which the messages of a stream are stored: our own clock may differ. Raises one of `UNAVAILABLE`."""
        return datetime.fromisoformat((await self._info(stream))["ts"])

    async def _info(self, stream: str) -> dict[str, Any]:
        """With the times, which nats-py's own `stream_info` leaves out."""
        answer = await self.nc.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=5)
        said: dict[str, Any] = json.loads(answer.data)
        if "error" in said:
            APIError.from_error(said["error"])  # raises the class that fits
        return said

    async def publish(self, subject: str, message: Message, *, message_id: str | None = None) -> PubAck | None:
        """Publishes durably and waits for JetStream's word. None: the message was there already."""
        headers = message.headers(self.user, message_id=message_id) | trace_headers()
        return await self.publish_raw(subject, message.encode(), headers)

    async def publish_raw(self, subject: str, body: bytes, headers: dict[str, str]) -> PubAck | None:
        """As `publish`, for a message that is encoded already. Raises `TooLarge`, or one of `UNAVAILABLE`."""
        (word,) = await self.publish_many([(subject, body, headers)])
        if isinstance(word, Exception):
            raise word
        return word

    async def publish_many(self, messages: Sequence[Publication]) -> list[PubAck | Exception | None]:
        """The same for many at once: what became of each, in their order, with the errors that `publish_raw` raises."""
        return [_told(word, len(body)) for word, (_, body, _) in zip(await self._publisher.publish(messages), messages, strict=True)]

    async def close(self) -> None:
        """Sends what is still buffered, and closes. No drain: it waits for fetches that nobody waits for any more."""
        self._closing = True
        with suppress(NatsError, asyncio.TimeoutError, TimeoutError):
            await self.nc.flush(timeout=2)
        with suppress(NatsError):
            await self.nc.close()

    async def _disconnected(self) -> None:
        self.disconnected_at = self.disconnected_at or asyncio.get_running_loop().time()
        if not self._closing:
            log.warning("bus disconnected", user=self.user)

    async def _reconnected(self) -> None:
        log.info("bus reconnected", user=self.user)
        for callback in self._on_reconnect:
            await callback()
        self.disconnected_at = None

    async def _closed(self) -> None:
        self.closed.set()

    async def _error(self, error: Exception) -> None:
        say = log.error if self.connected else log.warning  # while it is away, every try to reconnect is one
        say("bus error", user=self.user, error=str(error) or type(error).__name__)


def _told(word: Word, size: int) -> PubAck | Exception | None:
    if isinstance(word, MaxPayloadError):
        return TooLarge(f"a message of {size} bytes is larger than the bus takes")
    if isinstance(word, ServiceUnavailableError) and word.err_code == ALREADY_THERE:
        return None
    return word
