"""The connection of a participant's workers: FastStream's broker, but for what it does when a connection breaks."""

import asyncio
from typing import Any

from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError
from nats.js import JetStreamContext

from shared.bus import open_client

CLOSED_S = 1.0
"""Between two fetches on a connection that is closed."""


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

    async def _connect(self) -> Client:
        client = _Client()
        options = dict(self._connection_kwargs)
        servers = options.pop("servers")
        await open_client(client, *([servers] if isinstance(servers, str) else servers), **options)
        self.config.connect(client)
        return client


def _let_others_run(subscription: JetStreamContext.PullSubscription) -> None:
    """A fetch on a connection that is closed fails without yielding, and FastStream fetches again at once: nothing else would run."""
    fetch = subscription.fetch

    async def fetched(batch: int = 1, timeout: float | None = 5) -> list[Msg]:
        try:
            return await fetch(batch, timeout)
        except ConnectionClosedError:
            await asyncio.sleep(CLOSED_S)
            raise

    subscription.fetch = fetched  # type: ignore[method-assign, assignment]
