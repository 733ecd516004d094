"""CDEvents as they came."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.api.store import archive
from services.api.store.archive import Scopes
from services.api.store.places import Reads
from shared.contracts.cdevents import CDEvent
from shared.postgres import Connection

_IN_ORDER = "SELECT pg_advisory_xact_lock(hashtextextended('slipway:api:cdevents', 0))"
_ADD = """
INSERT INTO cdevents (id, organization, project, environment, kind, body)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
ON CONFLICT (id) DO NOTHING
"""
_AFTER = archive.allowed_after("cdevents", "kind")
_NEWEST_POSITION = "SELECT coalesce(max(position), 0) FROM cdevents"
_PRUNE = "DELETE FROM cdevents WHERE stored_at < now() - make_interval(days => $1)"


@dataclass(frozen=True)
class Incoming:
    """A CDEvent, and its bytes."""

    event: CDEvent
    body: str


@dataclass(frozen=True)
class Stored:
    """A CDEvent as it came, with its position."""

    position: int
    body: str


async def add(connection: Connection, incoming: Sequence[Incoming]) -> None:
    """Stores those that are new. Positions are in the order of commit."""
    await connection.execute(_IN_ORDER)
    origins = [one.event.custom_data for one in incoming]
    columns: Sequence[Sequence[str | None]] = (
        [one.event.context.id for one in incoming],
        [origin.organization for origin in origins],
        [origin.project for origin in origins],
        [origin.environment for origin in origins],
        [one.event.kind for one in incoming],
        [one.body for one in incoming],
    )
    await connection.execute(_ADD, *columns)


async def find(
    reads: Reads,
    scopes: Scopes,
    after: int,
    limit: int,
    *,
    organization: str = "",
    project: str = "",
    environment: str = "",
    kinds: Sequence[str] | None = None,
) -> Sequence[Stored]:
    """CDEvents in the order in which they came, of what the scopes allow, filtered where not empty."""
    seen = (scopes.organizations, scopes.projects, scopes.environments)
    rows = await reads.fetch(_AFTER, *seen, after, organization, project, environment, kinds, limit)
    return [Stored(**row) for row in rows]


async def newest_position(reads: Reads) -> int:
    """Where they end now."""
    position = await reads.fetchval(_NEWEST_POSITION)
    assert isinstance(position, int)
    return position


async def prune(connection: Connection, days: int) -> None:
    """Forgets old ones."""
    await connection.execute(_PRUNE, days)
