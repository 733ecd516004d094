"""The catalogue over gRPC: which environments follow a ref, where the source is, and what a plan needs to know."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from grpc import StatusCode, aio

from services.coordinator.snapshot import ServiceSettings, Snapshot
from shared.contracts.changes import RequestChange
from shared.contracts.commands import Source
from shared.contracts.gates import Gate
from shared.contracts.places import ChangeRequest, EnvironmentKind, Place
from shared.contracts.releases import SecretRef
from shared.proto import catalogue_pb2 as pb
from shared.proto.catalogue_pb2_grpc import CatalogueStub
from shared.rpc import CALL_S, FORGE_CALL_S


class CatalogueAway(OSError):
    """Api does not answer now; whoever asked pauses and asks again."""


class CatalogueBroken(Exception):
    """Api has failed at the question itself. Asked again it may fail again: whoever asked does not keep others waiting for it."""


class Unknown(LookupError):
    """The catalogue has no such thing (any more), or cannot make sense of what is asked."""


class CatalogueBehind(Exception):
    """It has not heard yet of something that the answer has to know; asked again it will."""


class ForgeAway(Exception):
    """A forge that makes credentials gives none now; another time it may."""


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except aio.AioRpcError as error:
        if error.code() in {StatusCode.NOT_FOUND, StatusCode.INVALID_ARGUMENT, StatusCode.FAILED_PRECONDITION}:
            raise Unknown(error.details()) from error
        if error.code() is StatusCode.ABORTED:
            raise CatalogueBehind(error.details()) from error
        if error.code() is StatusCode.RESOURCE_EXHAUSTED:
            raise ForgeAway(error.details()) from error
        if error.code() is StatusCode.UNKNOWN:
            raise CatalogueBroken(f"catalogue: {error.details()}") from error
        raise CatalogueAway(f"catalogue: {error.code().name}: {error.details()}") from error


@dataclass(frozen=True)
class Follower:
    """An environment that deployments may lead to."""

    place: Place
    kind: EnvironmentKind
    target: str
    ref: str
    connection: str
    needs_approval: bool = False
    """Deployments wait there for somebody who may approve."""
    preview: bool = False
    """A change request's own: it has addresses of its own only, and goes with the change request."""
    change_request: ChangeRequest | None = None
    """… namely of this one."""
    fork: bool = False
    """… whose source is another repository: somebody has to approve each commit, and none sees secrets."""
    removing: bool = False
    """… whose removal was asked for, and which nobody has updated since."""
    gates: tuple[Gate, ...] = ()
    """Outside tools that deployments have to ask there."""
    template: bool = False
    """It follows change requests: nothing runs in it, each of them gets one like it."""


@dataclass(frozen=True)
class Previews:
    """The environments of a change request. `refused`: why one that follows it was not made."""

    environments: tuple[Follower, ...] = ()
    refused: tuple[str, ...] = ()


class Catalogue:
    """Asks api. Every call raises `CatalogueAway` where api is away, and `Unknown` for what it does not have."""

    def __init__(self, channel: aio.Channel) -> None:
        self._stub = CatalogueStub(channel)

    async def followers(self, organization: str, project: str, connection: str) -> tuple[Follower, ...]:
        """The environments that follow refs of a connection; the ref of each is a pattern."""
        request = pb.FollowersRequest(organization=organization, project=project, connection=connection)
        with _said():
            reply = await self._stub.FollowersOf(request, timeout=CALL_S)
        return _followers(reply.environments)

    async def environment(self, place: Place) -> Follower | None:
        """One environment by its name."""
        with _said():
            reply = await self._stub.EnvironmentOf(_place(place), timeout=CALL_S)
        return next(iter(_followers(reply.environments)), None)

    async def open_previews(self, change: RequestChange) -> Previews:
        """Makes the environments that a change request shall have, and answers those that it has. Asked again, it makes no more."""
        with _said():
            reply = await self._stub.OpenPreviews(_request(change), timeout=CALL_S)
        return Previews(_followers(reply.environments), tuple(reply.refused))

    async def close_previews(self, change: RequestChange) -> Previews:
        """The environments that a change request still has; the catalogue has them removed, should that not be done."""
        with _said():
            reply = await self._stub.ClosePreviews(_request(change), timeout=CALL_S)
        return Previews(_followers(reply.environments))

    async def source(
        self, organization: str, project: str, connection: str, target: str, ref: str, commit: str, *, made: bool = False
    ) -> Source:
        """Where the builder clones from, with a credential sealed to the target.

        One that a forge has to be asked for is there only if it shall be `made`; then `ForgeAway` is raised where that cannot be now.
        """
        request = pb.SourceRequest(organization=organization, project=project, connection=connection, target=target, made=made)
        with _said():
            reply = await self._stub.SourceOf(request, timeout=FORGE_CALL_S if made else CALL_S)
        return Source(
            connection=connection,
            repository=reply.repository,
            clone_url=reply.clone_url,
            ref=ref,
            commit=commit,
            username=reply.username or None,
            password=reply.sealed_password or None,
            known_hosts=reply.known_hosts or None,
            valid_until=datetime.fromtimestamp(reply.valid_until, UTC) if reply.valid_until else None,
        )

    async def snapshot(self, place: Place, pinned: tuple[SecretRef, ...] = (), after: str | None = None) -> Snapshot:
        """Everything that a plan needs to know, as it is now; raises `CatalogueBehind` where the end of `after` is not known yet."""
        request = pb.SnapshotRequest(
            place=_place(place),
            pinned=[pb.SecretRef(name=ref.name, version=ref.version) for ref in pinned],
            after=after or "",
        )
        with _said():
            reply = await self._stub.Snapshot(request, timeout=CALL_S)
        return Snapshot(
            variables={name: variable.value for name, variable in reply.variables.items()},
            services={
                name: ServiceSettings(
                    variables=dict(one.variables),
                    domains=tuple(one.domains),
                    memory_bytes=one.memory_bytes or None,
                    cpu=one.cpu or None,
                    build_args=dict(one.build_args),
                )
                for name, one in reply.services.items()
            },
            secrets=tuple(SecretRef(name=ref.name, version=ref.version) for ref in reply.secrets),
            sealed={(one.name, one.version): one.sealed for one in reply.sealed},
            https_port=reply.https_port or 443,
            withheld=tuple(reply.withheld),
        )


def _place(place: Place) -> pb.Place:
    return pb.Place(organization=place.organization, project=place.project, environment=place.environment)


def _followers(found: Iterable[pb.Follower]) -> tuple[Follower, ...]:
    return tuple(
        Follower(
            place=Place(organization=one.place.organization, project=one.place.project, environment=one.place.environment),
            kind=EnvironmentKind(one.kind),
            target=one.target,
            ref=one.ref,
            connection=one.connection,
            needs_approval=one.needs_approval,
            preview=one.HasField("preview"),
            change_request=_change_request(one.preview),
            fork=one.preview.fork,
            removing=one.preview.removing,
            gates=tuple(_gate(gate) for gate in one.gates),
            template=one.template,
        )
        for one in found
    )


def _change_request(preview: pb.Preview) -> ChangeRequest | None:
    return ChangeRequest(repository=preview.repository, number=preview.number) if preview.number else None


def _gate(gate: pb.Gate) -> Gate:
    said = {"name": gate.name, "id": gate.id, "before": gate.before, "deadline_s": gate.deadline_s, "default": gate.default}
    return Gate.model_validate(said)


def _request(change: RequestChange) -> pb.ChangeRequest:
    return pb.ChangeRequest(
        organization=change.organization,
        project=change.project,
        connection=change.connection,
        repository=change.repository,
        number=change.number,
        ref=change.ref,
        target=change.target,
        title=change.title,
        web_url=change.web_url or "",
        fork=change.fork,
    )
