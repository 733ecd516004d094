"""The connection of a participant's workers: FastStream's broker, but for what it does when a connection breaks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from faststream.nats.subscriber.usecases.stream_pull_subscriber import PullStreamSubscriber
from faststream.security import SASLPlaintext
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NoMessages
from nats.js import JetStreamContext

from shared.bus import open_client
from shared.settings import ServiceSettings

CLOSED_S = 1.0
"""After a fetch that failed, as on a connection that is closed."""


class _Client(Client):
    """nats-py's, whose pull subscriptions let others run from the first fetch on."""

    def jetstream(self, **options: Any) -> JetStreamContext:
        """As nats-py's own."""
        stream = super().jetstream(**options)
        bind = stream.pull_subscribe_bind

        async def bound(*arguments: Any, **more: Any) -> JetStreamContext.PullSubscription:
            subscription = await bind(*arguments, **more)
            _let_others_run(subscription)
            return subscription

        stream.pull_subscribe_bind = bound  # type: ignore[method-assign]
        return stream


class WorkersBroker(NatsBroker):
    """FastStream's, but for the connect: one that is broken off closes its socket."""

    @classmethod
    def of(cls, settings: ServiceSettings, name: str, inbox: str) -> "WorkersBroker":
        """As the service's user, with a connection of that name, which listens below that inbox."""
        security = None
        if settings.nats_user:
            security = SASLPlaintext(username=settings.nats_user, password=settings.nats_password.get_secret_value())
        return cls(
            settings.nats_url,
            name=name,
            security=security,
            inbox_prefix=inbox,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            ping_interval=20,
            apply_types=False,
            logger=None,
        )

    def take_commands(self, subject: str, durable: str, workers: int, inbox: str, take: Callable[[Msg], Awaitable[None]]) -> None:
        """Hands each command of the durable to `take`, so many at a time; who takes it acknowledges it."""

        async def handed(_body: bytes) -> None:
            message: NatsMessage = self.context.get_local("message")
            if isinstance(message.raw_message, Msg):
                await take(message.raw_message)

        async def as_it_is(message: NatsMessage) -> bytes:
            return message.body

        self.subscriber(
            subject,
            durable=durable,
            stream=JStream("COMMANDS", declare=False),
            pull_sub=PullSub(batch_size=1, timeout=5),
            max_workers=workers,
            ack_policy=AckPolicy.MANUAL,
            inbox_prefix=f"{inbox}.".encode(),
            decoder=as_it_is,
        )(handed)

    async def end(self, client: Client) -> None:
        """Ends what was subscribed, and the connection. Not `stop`: it drains, which raises while reconnecting."""
        for subscriber in self.subscribers:
            if client.is_closed and isinstance(subscriber, PullStreamSubscriber):
                subscriber.subscription = None  # it cannot be given up any more; what else the subscriber has is closed
            await subscriber.stop()
        await client.close()

    async def _connect(self) -> Client:
        client = _Client()
        options = dict(self._connection_kwargs)
        servers = options.pop("servers")
        await open_client(client, *([servers] if isinstance(servers, str) else servers), **options)
        self.config.connect(client)
        return client


def _let_others_run(subscription: JetStreamContext.PullSubscription) -> None:
    """A fetch that fails is not begun again at once, as FastStream would: on a connection that is closed it fails without yielding, and nothing
    else would run; where the stream or its consumer is gone, the server says so at once, every time."""
    fetch = subscription.fetch

    async def fetched(batch: int = 1, timeout: float | None = 5) -> list[Msg]:
        try:
            return await fetch(batch, timeout)
        except NoMessages:
            raise
        except NatsError:
            await asyncio.sleep(CLOSED_S)
            raise

    subscription.fetch = fetched  # type: ignore[method-assign, assignment]
