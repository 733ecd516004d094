"""Outside tools that read events, and gates as such. Their passwords are nowhere, only what tells that one is right."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.api.store.places import Reads
from shared.postgres import Connection
from shared.subscribers import Subscriber


@dataclass(frozen=True)
class StoredSubscriber:
    """As stored. `read_until`: when the last event that it acknowledged was stored, as far as that was noted."""

    organization: str
    name: str
    id: str
    stream: str
    subjects: tuple[str, ...]
    password_hash: str
    starts_at: datetime | None
    read_until: datetime | None
    created_at: datetime
    gate: bool = False

    def on_the_bus(self) -> Subscriber:
        """As it is let in. Where its consumer was lost it goes on from where it was; what came at that moment comes again."""
        return Subscriber(
            organization=self.organization,
            name=self.name,
            id=self.id,
            subjects=self.subjects,
            password_hash=self.password_hash,
            start=self.read_until or self.starts_at,
            gate=self.gate,
        )


_PUT = """
INSERT INTO subscribers (organization, name, id, stream, subjects, password_hash, starts_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING *
"""
_GET = "SELECT * FROM subscribers WHERE organization = $1 AND name = $2"
_LIST = "SELECT * FROM subscribers WHERE organization = $1 AND name > $2 ORDER BY name LIMIT $3"
_ALL = """
SELECT organization, name, id, stream, subjects, password_hash, starts_at, read_until, created_at, false AS gate FROM subscribers
UNION ALL
SELECT organization, name, id, 'EVENTS', ARRAY['slipway.evt.' || organization || '.*.*.gate.requested.' || name], password_hash,
    created_at, read_until, created_at, true FROM gates
ORDER BY organization, gate, name
"""
_DELETE = "DELETE FROM subscribers WHERE organization = $1 AND name = $2 RETURNING name"
_NOTE = "UPDATE {} SET read_until = $2 WHERE id = $1 AND (read_until IS NULL OR read_until < $2)"


def _stored(row: object) -> StoredSubscriber:
    fields = dict(row)  # type: ignore[call-overload]
    return StoredSubscriber(**fields | {"subjects": tuple(fields["subjects"])})


async def new(connection: Connection, subscriber: Subscriber) -> StoredSubscriber | None:
    """None where the name is taken. Raises `ForeignKeyViolationError` where there is no such organization."""
    one = subscriber
    row = await connection.fetchrow(_PUT, one.organization, one.name, one.id, one.stream, list(one.subjects), one.password_hash, one.start)
    return None if row is None else _stored(row)


async def get(reads: Reads, organization: str, name: str) -> StoredSubscriber | None:
    """The subscriber, if there is one."""
    row = await reads.fetchrow(_GET, organization, name)
    return None if row is None else _stored(row)


async def find(reads: Reads, organization: str, after: str, limit: int) -> Sequence[StoredSubscriber]:
    """An organization's subscribers, by name."""
    return [_stored(row) for row in await reads.fetch(_LIST, organization, after, limit)]


async def everywhere(reads: Reads) -> Sequence[StoredSubscriber]:
    """All there are, gates too."""
    return [_stored(row) for row in await reads.fetch(_ALL)]


async def note(connection: Connection, subscriber: StoredSubscriber, read_until: datetime) -> None:
    """It has acknowledged what was stored until then; never back in time."""
    await connection.execute(_NOTE.format("gates" if subscriber.gate else "subscribers"), subscriber.id, read_until)


async def delete(connection: Connection, organization: str, name: str) -> bool:
    """Whether there was one."""
    return await connection.fetchval(_DELETE, organization, name) is not None
