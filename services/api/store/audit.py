"""Audit entries on their way to auth, which keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.api.store.places import Reads
from shared.postgres import Connection

_ADD = "INSERT INTO audit_pending (id, subject, action, resource, details) VALUES ($1, $2, $3, $4, $5)"
_OLDEST = "SELECT position, id, time, subject, action, resource, details FROM audit_pending ORDER BY position LIMIT 100"
_DELIVERED = "DELETE FROM audit_pending WHERE position = $1"


@dataclass(frozen=True)
class Entry:
    """One change that was made."""

    position: int
    id: str
    time: datetime
    subject: str
    action: str
    resource: str
    details: str


async def add(connection: Connection, entry_id: str, subject: str, action: str, resource: str, details: str) -> None:
    """Writes an entry in the transaction of what it tells of."""
    await connection.execute(_ADD, entry_id, subject, action, resource, details)


async def oldest(reads: Reads) -> Sequence[Entry]:
    """What auth does not have yet, in order."""
    return [Entry(**row) for row in await reads.fetch(_OLDEST)]


async def delivered(reads: Reads, position: int) -> None:
    """Auth has it."""
    await reads.execute(_DELIVERED, position)
