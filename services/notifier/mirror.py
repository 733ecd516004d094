"""The mirror of channels: asked of api at every start and whenever the catalogue says that one changed."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from grpc import aio

from services.notifier.channels import Channel
from services.notifier.store import channels
from shared.postgres import UNAVAILABLE, Pool
from shared.proto import catalogue_pb2 as pb
from shared.proto.catalogue_pb2_grpc import CatalogueStub
from shared.rpc import CALL_S
from shared.sealing import Vault

if TYPE_CHECKING:
    from shared.proto.catalogue_pb2_grpc import CatalogueAsyncStub

log = structlog.get_logger()
POLL_S = 5.0
"""How late a replica notices what another one could not fetch."""
LONGEST_PAUSE_S = 2.0


class Mirror:
    """Keeps `channels` as the catalogue has them. That it is old is in the database, so no restart forgets it."""

    def __init__(self, pool: Pool, vault: Vault, channel: aio.Channel) -> None:
        self._pool = pool
        self._vault = vault
        self._catalogue: CatalogueAsyncStub = CatalogueStub(channel)
        self._old = asyncio.Event()
        self._there = asyncio.Event()

    def wake(self) -> None:
        """Something changed: `wanted` was raised."""
        self._old.set()

    async def first(self) -> None:
        """Returns once the channels were here at least once: before that nothing can be matched."""
        await self._there.wait()

    async def ready(self) -> None:
        """Raises while nothing can be told because the channels were never here."""
        if not self._there.is_set():
            raise RuntimeError("api has not said yet which channels there are")

    async def run(self) -> None:
        """Fetches whenever the mirror is old; tries again with longer pauses while api or database are away."""
        pause = 0.1
        fresh_start = True
        while True:
            self._old.clear()
            try:
                if fresh_start:
                    async with self._pool.acquire() as connection:
                        await channels.want(connection)
                    fresh_start = False
                await self._follow()
            except (*UNAVAILABLE, aio.AioRpcError) as error:
                log.warning("channels cannot be fetched", error=_short(error), seconds=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
                continue
            pause = 0.1
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._old.wait()

    async def _follow(self) -> None:
        wanted, done = await channels.wanted_and_done(self._pool)
        if done:
            self._there.set()
        if done >= wanted:
            return
        reply = await self._catalogue.Channels(pb.ChannelsRequest(), timeout=CALL_S, wait_for_ready=True)
        async with self._pool.acquire() as connection, connection.transaction():
            await channels.replace(connection, self._vault, [_channel(each) for each in reply.channels], wanted)
        self._there.set()


def _channel(said: pb.Channel) -> Channel:
    return Channel(
        organization=said.organization,
        name=said.name,
        project=said.project,
        kind=said.kind,
        forge=said.forge,
        api_url=said.api_url,
        repository=said.repository,
        events=tuple(said.events),
        version=said.version,
        url=said.url,
        secret=said.secret,
        former_secret=said.former_secret,
        format=said.format or "events",
    )


def _short(error: BaseException) -> str:
    return str(error.code()) if isinstance(error, aio.AioRpcError) else str(error) or type(error).__name__
