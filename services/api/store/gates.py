"""Gates: what environments ask outside tools. Their passwords are nowhere, only what tells that one is right."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.api.store.places import Reads
from shared.contracts.gates import Verdict
from shared.postgres import Connection
from shared.subscribers import Subscriber, asked_on


@dataclass(frozen=True)
class StoredGate:
    """As stored. `fallback`: what counts where nobody answers in time."""

    organization: str
    name: str
    id: str
    project: str
    environment: str
    before: str
    deadline_s: float
    fallback: Verdict
    password_hash: str
    created_at: datetime

    @property
    def subject(self) -> str:
        """Who its tool is in requests and in the audit log."""
        return f"gate/{self.organization}/{self.name}"

    @property
    def resource(self) -> str:
        """Its environment in the table of permissions."""
        return f"environment/{self.organization}/{self.project}/{self.environment}"

    def on_the_bus(self) -> Subscriber:
        """Whom its tool is there."""
        return Subscriber(
            organization=self.organization,
            name=self.name,
            id=self.id,
            subjects=(asked_on(self.organization, self.name),),
            password_hash=self.password_hash,
            start=self.created_at,
            gate=True,
        )


_COLUMNS = "organization, name, id, project, environment, before, deadline_s, fallback, password_hash, created_at"
_PUT = f"""
INSERT INTO gates (organization, name, id, project, environment, before, deadline_s, fallback, password_hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (organization, name) DO NOTHING RETURNING {_COLUMNS}
"""  # noqa: S608 -- of constants
_GET = f"SELECT {_COLUMNS} FROM gates WHERE organization = $1 AND name = $2"  # noqa: S608
_LIST = f"""
SELECT {_COLUMNS} FROM gates
WHERE organization = $1 AND ($2 = '' OR project = $2) AND ($3 = '' OR environment = $3) AND name > $4 ORDER BY name LIMIT $5
"""  # noqa: S608
_OF_PROJECT = f"SELECT {_COLUMNS} FROM gates WHERE organization = $1 AND project = $2 ORDER BY name"  # noqa: S608
_LOCK = f"{_GET} FOR UPDATE"
_UPDATE = f"""
UPDATE gates SET before = $3, deadline_s = $4, fallback = $5, password_hash = $6 WHERE organization = $1 AND name = $2 RETURNING {_COLUMNS}
"""  # noqa: S608
_DELETE = "DELETE FROM gates WHERE organization = $1 AND name = $2 RETURNING name"
_NOW = "SELECT clock_timestamp()"


async def new(connection: Connection, gate: StoredGate) -> StoredGate | None:
    """None where the name is taken. Raises `ForeignKeyViolationError` where there is no such environment."""
    one = gate
    row = await connection.fetchrow(
        _PUT, one.organization, one.name, one.id, one.project, one.environment, one.before, one.deadline_s, one.fallback, one.password_hash
    )
    return None if row is None else StoredGate(**row)


async def get(reads: Reads, organization: str, name: str) -> StoredGate | None:
    """The gate, if there is one."""
    row = await reads.fetchrow(_GET, organization, name)
    return None if row is None else StoredGate(**row)


async def lock(connection: Connection, organization: str, name: str) -> StoredGate | None:
    """As `get`; nobody else changes it until the transaction ends."""
    row = await connection.fetchrow(_LOCK, organization, name)
    return None if row is None else StoredGate(**row)


async def update(connection: Connection, gate: StoredGate) -> StoredGate:
    """What is asked when, how long, what counts without an answer, and the password may change. The gate is locked by the caller."""
    one = gate
    row = await connection.fetchrow(_UPDATE, one.organization, one.name, one.before, one.deadline_s, one.fallback, one.password_hash)
    assert row is not None, "whoever locks it looks whether it is there"
    return StoredGate(**row)


async def find(reads: Reads, organization: str, project: str, environment: str, after: str, limit: int) -> Sequence[StoredGate]:
    """Gates by name; of a project and of an environment where these are named."""
    return [StoredGate(**row) for row in await reads.fetch(_LIST, organization, project, environment, after, limit)]


async def of_project(reads: Reads, organization: str, project: str) -> Sequence[StoredGate]:
    """What the environments of a project ask."""
    return [StoredGate(**row) for row in await reads.fetch(_OF_PROJECT, organization, project)]


async def delete(connection: Connection, organization: str, name: str) -> bool:
    """Whether there was one."""
    return await connection.fetchval(_DELETE, organization, name) is not None


async def now(connection: Connection) -> datetime:
    """When an answer came, by the database's clock, as deadlines are."""
    moment: datetime = await connection.fetchval(_NOW)
    return moment
