"""With which token a channel speaks to its forge: its own, or one that is made for the use, where a connection has a GitHub App."""

from typing import TYPE_CHECKING

from grpc import StatusCode, aio

from services.notifier.channels import Channel
from services.notifier.providers.contract import Outcome, Verdict
from services.notifier.providers.forges.api import Unwilling
from shared.forge_api import ForgeRepository
from shared.proto import catalogue_pb2 as pb
from shared.proto.catalogue_pb2_grpc import CatalogueStub
from shared.rpc import FORGE_CALL_S

if TYPE_CHECKING:
    from shared.proto.catalogue_pb2_grpc import CatalogueAsyncStub

_NEVER = (StatusCode.FAILED_PRECONDITION, StatusCode.NOT_FOUND)


class Tokens:
    """Asks api, which keeps them as long as they are good."""

    def __init__(self, channel: aio.Channel) -> None:
        self._catalogue: CatalogueAsyncStub = CatalogueStub(channel)

    async def repository(self, channel: Channel, use: "pb.Use.ValueType") -> ForgeRepository:
        """The channel's repository, with a token for this use. Raises `Unwilling`."""
        if channel.secret:
            return ForgeRepository(channel.forge, channel.repository, channel.api_url, channel.secret)
        made = await self._made(channel, use)
        return ForgeRepository(channel.forge, channel.repository, made.api_url, made.token)

    async def _made(self, channel: Channel, use: "pb.Use.ValueType") -> pb.TokenReply:
        asked = pb.TokenRequest(organization=channel.organization, forge=channel.forge, repository=channel.repository, use=use)
        try:
            return await self._catalogue.TokenOf(asked, timeout=FORGE_CALL_S)
        except aio.AioRpcError as error:
            outcome = Outcome.REFUSED if error.code() in _NEVER else Outcome.RETRY
            raise Unwilling(Verdict(outcome, error=error.details() or error.code().name)) from error
