"""The gRPC service Catalogue: what coordinator, webhooks and notifier ask of the catalogue."""

# ruff: noqa: N802, D102 -- names and documentation are those of catalogue.proto

import base64
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import wraps
from typing import Any, Literal, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from services.api import catalogue_wire as wire
from services.api.forges.github_app import LEFT_S, App, AppTokens, NotNow, NoToken, Token, Use
from services.api.previews import made_known, open_request
from services.api.resources.credentials import opened_app, opened_deploy_key, opened_token, repository_of
from services.api.safe import Safe, organization_scope, project_scope
from services.api.settings import Settings
from services.api.store import archive, channels, connections, gates, places, previews, secrets, services, variables
from services.api.store.connections import StoredConnection
from services.api.store.places import Environment
from services.api.store.secrets import SealedVersion
from shared.clone_credentials import LIFETIME_S, USERNAME, mint
from shared.contracts.commands import OWN_CONNECTION
from shared.outbox import Outbox
from shared.postgres import UNAVAILABLE, Connection, Pool
from shared.proto import catalogue_pb2 as pb
from shared.proto.catalogue_pb2_grpc import CatalogueServicer, add_CatalogueServicer_to_server
from shared.sealing import seal

Context = aio.ServicerContext[Any, Any]
Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)


CLONE_LEFT_S = 2400.0
"""A token to clone with stands in a command that may wait for half an hour for a builder, which then takes minutes."""


class Missing(LookupError):
    """There is no such place, connection or target."""


class Behind(Exception):
    """What the caller knows of has not been archived yet."""


_Later = Callable[[], Awaitable[A]]
"""What is left of an answer to be asked of a forge: that takes its time, and no connection to the database."""
_Method = Callable[["Servicer", Q, Connection], Awaitable[A | _Later[A]]]
_Call = Callable[["Servicer", Q, Context], Coroutine[None, None, A]]


def _answering(method: _Method[Q, A]) -> _Call[Q, A]:
    """One snapshot of the database an answer; what is missing or away becomes the call's status."""
    return _in_transaction(method, isolation="repeatable_read", readonly=True)


def _changing(method: _Method[Q, A]) -> _Call[Q, A]:
    """What is written is there before the answer is given; it can be asked for again."""
    return _in_transaction(method, isolation="read_committed", readonly=False)


def _in_transaction(method: _Method[Q, A], *, isolation: Literal["repeatable_read", "read_committed"], readonly: bool) -> _Call[Q, A]:
    @wraps(method)
    async def call(servicer: "Servicer", request: Q, context: Context) -> A:
        try:
            async with servicer.pool.acquire() as connection, connection.transaction(isolation=isolation, readonly=readonly):
                answer = await method(servicer, request, connection)
            return await answer() if callable(answer) else answer
        except Missing as missing:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(missing))
        except Behind as behind:
            await context.abort(grpc.StatusCode.ABORTED, str(behind))
        except NoToken as refusal:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(refusal))
        except NotNow as not_now:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(not_now))
        except UNAVAILABLE as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"api's database is away: {type(error).__name__}")
        raise AssertionError("abort does not return")

    return call


class Servicer(CatalogueServicer):
    """Callers are services with a certificate of the control plane."""

    def __init__(self, pool: Pool, outbox: Outbox, safe: Safe, settings: Settings, clone_key: bytes, apps: AppTokens) -> None:
        self.pool = pool
        self._outbox = outbox
        self._safe = safe
        self._settings = settings
        self._clone_key = clone_key
        self._apps = apps

    def register(self, server: aio.Server) -> None:
        """Adds the service to a server."""
        add_CatalogueServicer_to_server(self, server)

    @_answering
    async def FollowersOf(self, request: pb.FollowersRequest, connection: Connection) -> pb.FollowersReply:
        entries = await places.environments(connection, request.organization, request.project)
        following = [entry for entry in entries if entry.follows_refs and entry.connection in (None, request.connection)]
        return pb.FollowersReply(environments=await _followers(connection, following, request.connection))

    @_answering
    async def EnvironmentOf(self, request: pb.Place, connection: Connection) -> pb.FollowersReply:
        entry = await places.environment(connection, request.organization, request.project, request.environment)
        return pb.FollowersReply(environments=await _followers(connection, [entry] if entry else []))

    @_changing
    async def OpenPreviews(self, request: pb.ChangeRequest, connection: Connection) -> pb.PreviewsReply:
        opened = await open_request(connection, wire.request_of(request))
        await self._outbox.add(connection, made_known(opened.made))
        return pb.PreviewsReply(environments=await _followers(connection, opened.environments, request.connection), refused=opened.refused)

    @_changing
    async def ClosePreviews(self, request: pb.ChangeRequest, connection: Connection) -> pb.FollowersReply:
        found = await previews.close(connection, wire.request_of(request))
        return pb.FollowersReply(environments=await _followers(connection, found, request.connection))

    @_answering
    async def SourceOf(self, request: pb.SourceRequest, connection: Connection) -> "pb.SourceReply | _Later[pb.SourceReply]":
        if await places.project(connection, request.organization, request.project) is None:
            raise Missing(f"project {request.organization}/{request.project}")
        public_key = await self._public_key(connection, request.target)
        if request.connection == OWN_CONNECTION:
            return self._own_source(request, public_key)
        stored = await connections.get(connection, request.organization, request.connection)
        if stored is None or stored.project != request.project:
            raise Missing(f"connection {request.connection} of {request.organization}/{request.project}")
        reply = pb.SourceReply(repository=stored.repository, clone_url=stored.clone_url, known_hosts=stored.known_hosts)
        if stored.clone_url.startswith("ssh://"):
            if key := await opened_deploy_key(self._safe, connection, stored):
                reply.sealed_password = seal(public_key, key.encode())
            return reply
        if (app := await opened_app(self._safe, connection, stored)) is None:
            token = await opened_token(self._safe, connection, stored)
            return wire.with_token(reply, stored, public_key, Token(token, 0)) if token else reply
        if not request.made:
            reply.valid_until = int(time.time())
            return reply

        async def made() -> pb.SourceReply:
            return wire.with_token(reply, stored, public_key, await self._made(stored, app, Use.CLONE, CLONE_LEFT_S))

        return made

    def _own_source(self, request: pb.SourceRequest, public_key: bytes) -> pb.SourceReply:
        now = time.time()
        password = mint(self._clone_key, request.organization, request.project, now)
        return pb.SourceReply(
            repository=wire.own_repository(request.organization, request.project),
            clone_url=f"{self._settings.clone_url.rstrip('/')}/{request.organization}/{request.project}.git",
            username=USERNAME,
            sealed_password=seal(public_key, password.encode()),
            valid_until=int(now) + LIFETIME_S,
        )

    @_answering
    async def TokenOf(self, request: pb.TokenRequest, connection: Connection) -> "pb.TokenReply | _Later[pb.TokenReply]":
        stored = await _asked_for(connection, request)
        if (app := await opened_app(self._safe, connection, stored)) is None:
            return pb.TokenReply(token=await opened_token(self._safe, connection, stored), api_url=stored.api_url)

        async def made() -> pb.TokenReply:
            token = await self._made(stored, app, Use[pb.Use.Name(request.use)])
            return pb.TokenReply(token=token.value, api_url=stored.api_url)

        return made

    async def _made(self, stored: StoredConnection, app: App, use: Use, left_s: float = LEFT_S) -> Token:
        return await self._apps.token(app, repository_of(stored), use, left_s)

    @_answering
    async def Snapshot(self, request: pb.SnapshotRequest, connection: Connection) -> pb.SnapshotReply:
        place = (request.place.organization, request.place.project, request.place.environment)
        if request.after and not await archive.has_succeeded(connection, request.after):
            raise Behind(f"the end of deployment {request.after} is not archived yet")
        entry = await places.environment(connection, *place)
        if entry is None:
            raise Missing(f"environment {'/'.join(place)}")
        reply = pb.SnapshotReply(
            place=request.place,
            kind=entry.kind,
            target=entry.target,
            version=entry.version,
            https_port=self._settings.https_port,
        )
        # What a preview is like counts where nothing is said of itself.
        said_by = [slug for slug in (entry.preview_of, entry.slug) if slug]
        for slug in said_by:
            await _add_settings(reply, connection, (entry.organization, entry.project, slug))
        newest = await secrets.effective(connection, entry.organization, entry.project, said_by)
        if entry.fork:
            reply.withheld.extend(secret.name for secret in newest)
            return reply
        reply.secrets.extend(pb.SecretRef(name=secret.name, version=secret.version) for secret in newest)
        refs = [(ref.name, ref.version) for ref in request.pinned]
        pinned = await secrets.pinned(connection, entry.organization, entry.project, said_by, refs)
        wanted = {(secret.name, secret.version): secret for secret in (*newest, *pinned)}
        reply.sealed.extend(await self._sealed(connection, entry, list(wanted.values())))
        return reply

    async def _sealed(self, connection: Connection, entry: Environment, found: Sequence[SealedVersion]) -> list[pb.SealedSecret]:
        """Opened from rest and sealed to the target: no value leaves this process in another form."""
        if not found:
            return []
        public_key = await self._public_key(connection, entry.target)
        scope = project_scope(entry.organization, entry.project)
        sealed = []
        for secret in found:
            place = secrets.belongs_to(entry.organization, entry.project, secret.environment, secret.name, secret.version)
            value = await self._safe.open(connection, scope, place, secret.sealed)
            sealed.append(pb.SealedSecret(name=secret.name, version=secret.version, sealed=seal(public_key, value.encode())))
        return sealed

    @_answering
    async def Connections(self, request: pb.ConnectionsRequest, connection: Connection) -> pb.ConnectionsReply:
        found = await connections.everywhere(connection, request.organization, request.name)
        return pb.ConnectionsReply(connections=[await self._connection(connection, stored) for stored in found])

    async def _connection(self, connection: Connection, stored: StoredConnection) -> pb.Connection:
        scope, place = project_scope(stored.organization, stored.project), connections.secret_of(stored.name)
        return pb.Connection(
            organization=stored.organization,
            project=stored.project,
            name=stored.name,
            forge=stored.forge,
            secrets=[await self._safe.open(connection, scope, place, sealed) for sealed in stored.sealed_secrets],
            repository=stored.repository,
            clone_url=stored.clone_url,
            token=await opened_token(self._safe, connection, stored),
            api_url=stored.api_url,
            version=stored.version,
            has_app=bool(stored.app_id),
            deploy_key=await opened_deploy_key(self._safe, connection, stored),
            known_hosts=stored.known_hosts,
        )

    @_answering
    async def Channels(self, request: pb.ChannelsRequest, connection: Connection) -> pb.ChannelsReply:
        reply = pb.ChannelsReply()
        for stored in await channels.everywhere(connection, request.organization):
            scope, name = organization_scope(stored.organization), (stored.organization, stored.name)
            former = stored.sealed_former_secret
            reply.channels.add(
                organization=stored.organization,
                project=stored.project,
                name=stored.name,
                kind=stored.kind,
                url=await self._safe.open(connection, scope, channels.url_of(*name), stored.sealed_url),
                secret=await self._safe.open(connection, scope, channels.secret_of(*name), stored.sealed_secret),
                former_secret=await self._safe.open(connection, scope, channels.secret_of(*name), former) if former is not None else "",
                events=stored.events,
                api_url=stored.api_url,
                repository=stored.repository,
                forge=stored.forge,
                version=stored.version,
                format=stored.format,
            )
        return reply

    @_answering
    async def Project(self, request: pb.ProjectRequest, connection: Connection) -> pb.ProjectReply:
        found = await places.project(connection, request.organization, request.project)
        if found is None:
            return pb.ProjectReply(exists=False)
        entries = await places.environments(connection, request.organization, request.project)
        if request.connection:
            entries = [entry for entry in entries if entry.connection in (None, request.connection)]
        refs = sorted({entry.ref for entry in entries if entry.follows_refs})
        return pb.ProjectReply(
            exists=True, name=found.name, refs=refs, targets=sorted({entry.ref for entry in entries if entry.is_template})
        )

    async def _public_key(self, connection: Connection, name: str) -> bytes:
        target = await places.target(connection, name)
        if target is None:
            raise Missing(f"target {name}")
        return base64.b64decode(target.public_key)


async def _asked_for(connection: Connection, request: pb.TokenRequest) -> StoredConnection:
    if request.connection:
        found, what = await connections.get(connection, request.organization, request.connection), request.connection
    else:
        found = await connections.with_app(connection, request.organization, request.forge, request.repository)
        what = f"to {request.repository}"
    if found is None:
        raise Missing(f"no connection {what} of {request.organization}: give one a GitHub App, or the channel a token")
    return found


async def _followers(connection: Connection, entries: Sequence[Environment], asked: str = "") -> list[pb.Follower]:
    """Environments of one project, asked for by a connection or none."""
    if not entries:
        return []
    project = entries[0].organization, entries[0].project
    of_project, asking = await connections.of_project(connection, *project), await gates.of_project(connection, *project)
    return [wire.follower(entry, asked, of_project, asking) for entry in entries]


async def _add_settings(reply: pb.SnapshotReply, connection: Connection, place: tuple[str, str, str]) -> None:
    for settings in await services.find(connection, *place):
        found = reply.services[settings.service]
        found.domains.extend(settings.domains)
        found.memory_bytes, found.cpu = settings.memory_bytes, settings.cpu
        found.build_args.update(settings.build_args)
    for variable in await variables.find(connection, *place):
        if variable.service:
            reply.services[variable.service].variables[variable.name] = variable.value
        else:
            reply.variables[variable.name].CopyFrom(pb.Variable(value=variable.value, version=variable.version))
