"""What was deleted, until auth has taken the roles on it away."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.api.store.places import Reads
from shared.postgres import Connection

_ADD = "INSERT INTO forgotten (resource, by) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_OLDEST = "SELECT resource, by FROM forgotten ORDER BY forgotten_at LIMIT 100"
_WAITS = "SELECT EXISTS (SELECT FROM forgotten WHERE resource = $1)"
_DONE = "DELETE FROM forgotten WHERE resource = $1"


@dataclass(frozen=True)
class Gone:
    """An organization, a project or an environment that was deleted, and by whom."""

    resource: str
    by: str


async def add(connection: Connection, resource: str, by: str) -> None:
    """Writes it in the transaction that deletes the resource."""
    await connection.execute(_ADD, resource, by)


async def oldest(reads: Reads) -> Sequence[Gone]:
    """What auth has not heard of yet."""
    return [Gone(**row) for row in await reads.fetch(_OLDEST)]


async def waits(reads: Reads, resource: str) -> bool:
    """Whether roles on a former resource of that name may still be there."""
    found: bool = await reads.fetchval(_WAITS, resource)
    return found


async def done(reads: Reads, resource: str) -> None:
    """Nobody has a role on it any more."""
    await reads.execute(_DONE, resource)
