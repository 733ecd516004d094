"""Between catalogue.proto's messages and the catalogue's entries."""

from collections.abc import Sequence

from services.api.forges.github_app import Token
from services.api.store import previews
from services.api.store.connections import StoredConnection
from services.api.store.gates import StoredGate
from services.api.store.places import Environment
from shared.contracts.commands import OWN_CONNECTION
from shared.forges import CLONE_USERS
from shared.proto import catalogue_pb2 as pb
from shared.sealing import seal


def own_repository(organization: str, project: str) -> str:
    """The identity of a project's repository on the own git remote."""
    return f"slipway/{organization}/{project}"


def follower(entry: Environment, asked: str, of_project: Sequence[StoredConnection], asking: Sequence[StoredGate]) -> pb.Follower:
    """An environment, asked for by a connection or none; with the connections and gates of its project."""
    name = entry.connection or asked or (of_project[0].name if len(of_project) == 1 else OWN_CONNECTION)
    known = {stored.name: stored.repository for stored in of_project}
    return pb.Follower(
        place=pb.Place(organization=entry.organization, project=entry.project, environment=entry.slug),
        kind=entry.kind,
        target=entry.target,
        ref=entry.ref,
        connection=name,
        repository=known.get(name, own_repository(entry.organization, entry.project)),
        needs_approval=entry.needs_approval,
        preview=_preview(entry) if entry.preview_of else None,
        template=entry.is_template,
        # A preview asks what the environment asks that it is like.
        gates=[_gate(gate) for gate in asking if gate.environment in (entry.slug, entry.preview_of)],
    )


def _preview(entry: Environment) -> pb.Preview:
    removing = entry.removing_at is not None
    return pb.Preview(fork=entry.fork, repository=entry.repository or "", number=entry.number or "", removing=removing)


def _gate(gate: StoredGate) -> pb.Gate:
    return pb.Gate(name=gate.name, id=gate.id, before=gate.before, deadline_s=gate.deadline_s, default=gate.fallback)


def request_of(asked: pb.ChangeRequest) -> previews.Request:
    """A change request as the catalogue keeps it."""
    return previews.Request(
        organization=asked.organization,
        project=asked.project,
        connection=asked.connection,
        repository=asked.repository,
        number=asked.number,
        ref=asked.ref,
        target=asked.target,
        title=asked.title,
        web_url=asked.web_url,
        fork=asked.fork,
    )


def with_token(reply: pb.SourceReply, stored: StoredConnection, public_key: bytes, token: Token) -> pb.SourceReply:
    """A source that is cloned with a token, sealed to the target's key."""
    reply.username = CLONE_USERS.get(stored.forge, "")
    reply.sealed_password = seal(public_key, token.value.encode())
    reply.valid_until = int(token.until)
    return reply
