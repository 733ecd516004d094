"""What stands beside webhooks: api and auth behind real gRPC, and a coordinator on the real bus."""

from dataclasses import dataclass, field
from typing import Any, cast

import grpc
from grpc import aio
from nats.js.errors import FetchTimeoutError

from shared.bus import Bus
from shared.contracts.changes import Change, ChangePushed, RequestChange, decode_change
from shared.contracts.events import ChangeIgnored, ChangeTaken, Event
from shared.contracts.facts import Fact
from shared.contracts.logs import LogLines
from shared.messages import type_of
from shared.proto import auth_pb2, auth_pb2_grpc, catalogue_pb2, catalogue_pb2_grpc
from shared.settings import ServiceSettings

TOKEN = "slw_good"
READER = "slw_reader"
MADE = "ghs_canary"
"""The token that an app makes."""


@dataclass
class Api(catalogue_pb2_grpc.CatalogueServicer):
    """The catalogue, as far as webhooks asks for it."""

    away: bool = False
    connections: dict[str, catalogue_pb2.Connection] = field(default_factory=dict)
    refs: tuple[str, ...] = ("refs/heads/main",)
    targets: tuple[str, ...] = ()
    """The branches into which change requests get environments."""
    asked: int = 0
    made: list[int] = field(default_factory=list)
    """The uses of the tokens that it has made."""

    def connect(self, name: str = "gh", *, secrets: tuple[str, ...] = ("geheim",), **more: object) -> catalogue_pb2.Connection:
        """Adds or changes a connection of main/todo."""
        fields: dict[str, Any] = {"organization": "main", "project": "todo", "forge": "github", "secrets": secrets} | more
        self.connections[name] = catalogue_pb2.Connection(name=name, **fields)
        return self.connections[name]

    async def Connections(self, request: catalogue_pb2.ConnectionsRequest, context: object) -> catalogue_pb2.ConnectionsReply:  # noqa: N802 -- the name in the .proto
        """All, or one by name."""
        self.asked += 1
        if self.away:
            await cast("aio.ServicerContext[Any, Any]", context).abort(grpc.StatusCode.UNAVAILABLE, "away")
        found = [one for one in self.connections.values() if request.name in ("", one.name)]
        return catalogue_pb2.ConnectionsReply(connections=found)

    async def TokenOf(self, request: catalogue_pb2.TokenRequest, context: object) -> catalogue_pb2.TokenReply:  # noqa: N802 -- the name in the .proto
        """One for each use, of connections with an app; none where the app's name says so."""
        self.made.append(request.use)
        if request.connection == "refused":
            await cast("aio.ServicerContext[Any, Any]", context).abort(grpc.StatusCode.FAILED_PRECONDITION, "the app is not installed")
        return catalogue_pb2.TokenReply(token=MADE)

    async def Project(self, request: catalogue_pb2.ProjectRequest, _context: object) -> catalogue_pb2.ProjectReply:  # noqa: N802 -- the name in the .proto
        """There is one: main/todo."""
        exists = (request.organization, request.project) == ("main", "todo")
        return catalogue_pb2.ProjectReply(exists=exists, name="To do", refs=self.refs, targets=self.targets)

    def register(self, server: aio.Server) -> None:
        """Adds the service to a server."""
        catalogue_pb2_grpc.add_CatalogueServicer_to_server(self, server)


class Auth(auth_pb2_grpc.AuthServicer):
    """Two people: one may all, one may read."""

    async def Authenticate(self, request: auth_pb2.AuthenticateRequest, context: object) -> auth_pb2.Subject:  # noqa: N802 -- the name in the .proto
        """Tokens and whose they are."""
        if request.token not in (TOKEN, READER):
            await cast("aio.ServicerContext[Any, Any]", context).abort(grpc.StatusCode.UNAUTHENTICATED, "unknown token")
        person = "p-ada" if request.token == TOKEN else "p-bob"
        return auth_pb2.Subject(id=person, name="Ada Lovelace ⚙" if request.token == TOKEN else "Bob")

    async def Check(self, request: auth_pb2.CheckRequest, _context: object) -> auth_pb2.Decision:  # noqa: N802 -- the name in the .proto
        """Bob reads."""
        allowed = request.subject == "p-ada" or request.action == "repository.read"
        return auth_pb2.Decision(allowed=allowed, rule="deployer on project/main/todo" if allowed else "viewers do not push")

    def register(self, server: aio.Server) -> None:
        """Adds the service to a server."""
        auth_pb2_grpc.add_AuthServicer_to_server(self, server)


class Coordinator:
    """Takes changes from the bus and says what became of them; connected as api, what became of the catalogue."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.message_ids: list[str] = []

    @classmethod
    async def on(cls, settings: ServiceSettings) -> "Coordinator":
        """Connects with the rights of the user in the settings."""
        return cls(await Bus.connect(settings, settings.nats_user))

    async def take(self, within: float = 10) -> ChangePushed:
        """The next change on the bus, which is a push, acknowledged."""
        change = await self._next(within)
        assert isinstance(change, ChangePushed)
        return change

    async def take_request(self, within: float = 10) -> RequestChange:
        """The next change on the bus, which is of a change request, acknowledged."""
        change = await self._next(within)
        assert isinstance(change, RequestChange)
        return change

    async def _next(self, within: float) -> Change:
        subscription = await self.bus.js.pull_subscribe_bind("coordinator-changes", "CHANGES")
        try:
            message = (await subscription.fetch(1, timeout=within))[0]
        finally:
            await subscription.unsubscribe()
        await message.ack()
        await self.bus.nc.flush()
        self.message_ids.append((message.headers or {})["Nats-Msg-Id"])
        return decode_change(type_of(message.headers), message.data)

    async def nothing(self, within: float = 0.5) -> bool:
        """Whether no change comes."""
        try:
            await self.take(within)
        except (FetchTimeoutError, TimeoutError):
            return True
        return False

    async def took(self, change: Change, *deployments: str) -> None:
        """Says that a change led to deployments."""
        fact = ChangeTaken(change=change.id, deployments=deployments, ref=change.ref, commit=change.commit)
        await self.say(fact, deployment=None)

    async def ignored(self, change: Change, reason: str) -> None:
        """Says that a change led to nothing."""
        await self.say(ChangeIgnored(change=change.id, reason=reason, ref=change.ref, commit=change.commit), deployment=None)

    async def say(self, fact: Fact, *, deployment: str | None, **more: object) -> None:
        """Publishes an event of main/todo."""
        environment = "production" if deployment else None
        event = Event.of(fact, "main", "todo", environment, deployment=deployment, **more)  # type: ignore[arg-type]
        await self.bus.publish(event.subject, event)

    async def log(self, deployment: str, step: str, *lines: str, first: int = 1) -> None:
        """Publishes log lines, with the rights of the builder's own bus user that the caller gave."""
        message = LogLines(deployment=deployment, step=step, attempt=1, first=first, lines=lines)
        await self.bus.publish(f"slipway.log.local.{deployment}.{step}", message)
