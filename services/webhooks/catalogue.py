"""What webhooks asks of api and auth, by gRPC."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import grpc
from grpc import aio

from services.webhooks.domain import Origin
from shared.forges import server_of
from shared.proto import auth_pb2, auth_pb2_grpc, catalogue_pb2, catalogue_pb2_grpc
from shared.rpc import CALL_S, FORGE_CALL_S


class Away(Exception):
    """The other service does not answer."""


class NoSuchToken(Exception):
    """The token is unknown, expired or revoked."""


class NotLetIn(Exception):
    """The forge makes no token for the connection; the message says why."""


@dataclass(frozen=True)
class Connection:
    """One connection of the catalogue, with what intake and sweep need of it."""

    name: str
    organization: str
    project: str
    forge: str
    repository: str
    clone_url: str
    api_url: str
    version: int
    secrets: tuple[str, ...]
    token: str
    has_app: bool = False
    """A GitHub App, in the place of a token."""
    deploy_key: str = ""
    """Private, to clone over SSH."""
    known_hosts: str = ""


@lru_cache(maxsize=1024)
def origin_of(connection: Connection) -> Origin:
    """Where a connection's deliveries come from."""
    return Origin(
        organization=connection.organization,
        project=connection.project,
        connection=connection.name,
        forge=server_of(connection.forge, connection.clone_url),
        repository=connection.repository,
        clone_url=connection.clone_url,
    )


@dataclass(frozen=True)
class Project:
    """A project, the refs that its environments follow, and the branches into which change requests get environments: patterns, too."""

    name: str
    refs: tuple[str, ...]
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Person:
    """Whose token it is."""

    id: str
    name: str


class Catalogue:
    """Served by api."""

    def __init__(self, channel: aio.Channel) -> None:
        self._stub = catalogue_pb2_grpc.CatalogueStub(channel)

    async def connections(self, organization: str = "", name: str = "") -> Sequence[Connection]:
        """Those of that name, or all; raises `Away`."""
        request = catalogue_pb2.ConnectionsRequest(organization=organization, name=name)
        try:
            reply = await self._stub.Connections(request, timeout=CALL_S)
        except aio.AioRpcError as error:
            raise Away(f"api: {error.details()}") from error
        return [_connection(found) for found in reply.connections]

    async def let_in(self, connection: Connection, use: "catalogue_pb2.Use.ValueType") -> Connection:
        """The connection with a token for this use, which is made where it has an app. Raises `NotLetIn` or `Away`."""
        if not connection.has_app:
            return connection
        request = catalogue_pb2.TokenRequest(organization=connection.organization, connection=connection.name, use=use)
        try:
            reply = await self._stub.TokenOf(request, timeout=FORGE_CALL_S)
        except aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.NOT_FOUND):
                raise NotLetIn(error.details()) from error
            raise Away(f"api: {error.details()}") from error
        return replace(connection, token=reply.token)

    async def project(self, organization: str, name: str, connection: str = "") -> Project | None:
        """The project, if it exists, and what of a connection is followed, or of any; raises `Away`."""
        request = catalogue_pb2.ProjectRequest(organization=organization, project=name, connection=connection)
        try:
            reply = await self._stub.Project(request, timeout=CALL_S)
        except aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise Away(f"api: {error.details()}") from error
        return Project(reply.name, tuple(reply.refs), tuple(reply.targets)) if reply.exists else None


class Authority:
    """Served by auth."""

    def __init__(self, channel: aio.Channel) -> None:
        self._stub = auth_pb2_grpc.AuthStub(channel)

    async def authenticate(self, token: str) -> Person:
        """Whose token it is; raises `NoSuchToken` or `Away`."""
        try:
            subject = await self._stub.Authenticate(auth_pb2.AuthenticateRequest(token=token), timeout=CALL_S)
        except aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                raise NoSuchToken("the token is unknown, expired or revoked") from error
            raise Away(f"auth: {error.details()}") from error
        return Person(subject.id, subject.name)

    async def allows(self, person: str, action: str, resource: str) -> tuple[bool, str]:
        """Whether the person may, and the rule that decided; raises `Away`."""
        request = auth_pb2.CheckRequest(subject=person, action=action, resource=resource)
        try:
            decision = await self._stub.Check(request, timeout=CALL_S)
        except aio.AioRpcError as error:
            raise Away(f"auth: {error.details()}") from error
        return decision.allowed, decision.rule


def _connection(found: catalogue_pb2.Connection) -> Connection:
    return Connection(
        name=found.name,
        organization=found.organization,
        project=found.project,
        forge=found.forge,
        repository=found.repository,
        clone_url=found.clone_url,
        api_url=found.api_url,
        version=found.version,
        secrets=tuple(found.secrets),
        token=found.token,
        has_app=found.has_app,
        deploy_key=found.deploy_key,
        known_hosts=found.known_hosts,
    )
