"""Whom to tell what."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.api.store.places import Reads
from shared.postgres import Connection


@dataclass(frozen=True)
class StoredChannel:
    """As stored: address and secret sealed."""

    organization: str
    name: str
    project: str
    kind: str
    sealed_url: bytes
    sealed_secret: bytes
    events: tuple[str, ...]
    forge: str
    api_url: str
    repository: str
    version: int
    created_at: datetime
    sealed_former_secret: bytes | None = None
    """Of a webhook during a rotation: it signs beside the other one."""
    format: str = "events"
    """What a webhook is told in: events, cdevents."""


_PUT = """
INSERT INTO channels (organization, name, project, kind, sealed_url, sealed_secret, events, forge, api_url, repository, format)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING RETURNING *
"""
_GET = "SELECT * FROM channels WHERE organization = $1 AND name = $2"
_LOCK = f"{_GET} FOR UPDATE"
_LIST = "SELECT * FROM channels WHERE organization = $1 AND name > $2 ORDER BY name LIMIT $3"
_ALL = "SELECT * FROM channels WHERE $1 = '' OR organization = $1 ORDER BY organization, name"
_UPDATE = """
UPDATE channels SET sealed_url = $3, sealed_secret = $4, events = $5, project = $6, sealed_former_secret = $7, repository = $8, api_url = $9,
    version = version + 1
WHERE organization = $1 AND name = $2 RETURNING *
"""
_DELETE = "DELETE FROM channels WHERE organization = $1 AND name = $2 RETURNING name"


def url_of(organization: str, name: str) -> str:
    """What a channel's address is bound to."""
    return f"channel/{organization}/{name}/url"


def secret_of(organization: str, name: str) -> str:
    """What a channel's secret is bound to."""
    return f"channel/{organization}/{name}/secret"


def _stored(row: object) -> StoredChannel:
    fields = dict(row)  # type: ignore[call-overload]
    return StoredChannel(**fields | {"events": tuple(fields["events"])})


async def new(connection: Connection, wanted: StoredChannel) -> StoredChannel | None:
    """None where the name is taken. Raises `ForeignKeyViolationError` where there is no such organization."""
    row = await connection.fetchrow(
        _PUT,
        wanted.organization,
        wanted.name,
        wanted.project,
        wanted.kind,
        wanted.sealed_url,
        wanted.sealed_secret,
        list(wanted.events),
        wanted.forge,
        wanted.api_url,
        wanted.repository,
        wanted.format,
    )
    return None if row is None else _stored(row)


async def get(reads: Reads, organization: str, name: str) -> StoredChannel | None:
    """The channel, if there is one."""
    row = await reads.fetchrow(_GET, organization, name)
    return None if row is None else _stored(row)


async def lock(connection: Connection, organization: str, name: str) -> StoredChannel | None:
    """As `get`; nobody else changes it until the transaction ends."""
    row = await connection.fetchrow(_LOCK, organization, name)
    return None if row is None else _stored(row)


async def find(reads: Reads, organization: str, after: str, limit: int) -> Sequence[StoredChannel]:
    """An organization's channels, by name."""
    return [_stored(row) for row in await reads.fetch(_LIST, organization, after, limit)]


async def everywhere(reads: Reads, organization: str = "") -> Sequence[StoredChannel]:
    """All channels, or an organization's."""
    return [_stored(row) for row in await reads.fetch(_ALL, organization)]


async def update(connection: Connection, wanted: StoredChannel) -> StoredChannel | None:
    """Addresses, secrets, events and project may change. None where there is none."""
    row = await connection.fetchrow(
        _UPDATE,
        wanted.organization,
        wanted.name,
        wanted.sealed_url,
        wanted.sealed_secret,
        list(wanted.events),
        wanted.project,
        wanted.sealed_former_secret,
        wanted.repository,
        wanted.api_url,
    )
    return None if row is None else _stored(row)


async def delete(connection: Connection, organization: str, name: str) -> bool:
    """Whether there was one."""
    return await connection.fetchval(_DELETE, organization, name) is not None
