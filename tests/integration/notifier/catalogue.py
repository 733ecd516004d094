"""api's gRPC service Catalogue, as far as notifier asks it: it says which channels there are, behind mutual TLS."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from grpc import StatusCode, aio

from shared.proto import catalogue_pb2 as pb
from shared.proto.catalogue_pb2_grpc import CatalogueServicer, add_CatalogueServicer_to_server
from shared.rpc import server

Context = aio.ServicerContext[Any, Any]


class Catalogue(CatalogueServicer):
    """The channels are set by the test."""

    def __init__(self) -> None:
        self.channels: list[pb.Channel] = []
        self.app: pb.TokenReply | None = None
        """What the app of a connection makes."""
        self.asked: list[pb.TokenRequest] = []

    async def Channels(self, request: pb.ChannelsRequest, context: Context) -> pb.ChannelsReply:  # noqa: N802
        """All of them."""
        return pb.ChannelsReply(channels=self.channels)

    async def FollowersOf(self, request: pb.FollowersRequest, context: Context) -> pb.FollowersReply:  # noqa: N802
        """Not asked by notifier."""
        raise AssertionError(request)

    async def EnvironmentOf(self, request: pb.Place, context: Context) -> pb.FollowersReply:  # noqa: N802
        """Not asked by notifier."""
        raise AssertionError(request)

    async def OpenPreviews(self, request: pb.ChangeRequest, context: Context) -> pb.PreviewsReply:  # noqa: N802
        """Not asked by notifier."""
        raise AssertionError(request)

    async def ClosePreviews(self, request: pb.ChangeRequest, context: Context) -> pb.FollowersReply:  # noqa: N802
        """Not asked by notifier."""
        raise AssertionError(request)

    async def SourceOf(self, request: pb.SourceRequest, context: Context) -> pb.SourceReply:  # noqa: N802
        """Not asked by notifier."""
        raise AssertionError(request)

    async def TokenOf(self, request: pb.TokenRequest, context: Context) -> pb.TokenReply:  # noqa: N802
        """The app's token, if it is installed."""
        self.asked.append(request)
        if self.app is None:
            await context.abort(StatusCode.FAILED_PRECONDITION, "the app is not installed")
        assert self.app is not None
        return self.app

    async def Snapshot(self, request: pb.SnapshotRequest, context: Context) -> pb.SnapshotReply:  # noqa: N802
        """Not asked by notifier."""
        raise AssertionError(request)

    async def Connections(self, request: pb.ConnectionsRequest, context: Context) -> pb.ConnectionsReply:  # noqa: N802
        """Not asked by notifier."""
        raise AssertionError(request)

    async def Project(self, request: pb.ProjectRequest, context: Context) -> pb.ProjectReply:  # noqa: N802
        """Not asked by notifier."""
        raise AssertionError(request)


@asynccontextmanager
async def catalogue_server(tls: Path, port: int = 0) -> AsyncIterator[tuple[Catalogue, str]]:
    """Serves on a port; yields the catalogue and the address."""
    catalogue = Catalogue()

    def register(running: aio.Server) -> None:
        add_CatalogueServicer_to_server(catalogue, running)

    async with server(f"127.0.0.1:{port}", tls, "api", register) as bound:
        yield catalogue, f"127.0.0.1:{bound}"
