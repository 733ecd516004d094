"""Secrets of projects and environments: sealed values by version. What was unset stays sealed for releases that pinned it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.api.store.places import Reads
from shared.postgres import Connection


@dataclass(frozen=True)
class Secret:
    """A version of a secret, without its value. `environment` is empty where it is the whole project's."""

    name: str
    version: int
    environment: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True)
class SealedVersion:
    """A version with its value, sealed at rest."""

    name: str
    version: int
    environment: str
    sealed: bytes


_LOCK = "SELECT slug FROM projects WHERE organization = $1 AND slug = $2 FOR UPDATE"
_NEXT = "SELECT coalesce(max(version), 0) + 1 FROM secrets WHERE organization = $1 AND project = $2 AND name = $3"
_ADD = """
INSERT INTO secrets (organization, project, name, version, environment, sealed, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING name, version, environment, created_by, created_at
"""
_NEWEST = """
SELECT DISTINCT ON (environment, name) name, version, environment, sealed, created_by, created_at FROM secrets
WHERE organization = $1 AND project = $2 AND environment = ANY($3) ORDER BY environment, name, version DESC
"""
_LIST = f"""
SELECT name, version, environment, created_by, created_at FROM ({_NEWEST}) newest
WHERE sealed IS NOT NULL AND name > $4 ORDER BY name LIMIT $5
"""  # noqa: S608 -- of constants
_EFFECTIVE = f"""
SELECT DISTINCT ON (name) name, version, environment, sealed FROM ({_NEWEST}) newest
WHERE sealed IS NOT NULL ORDER BY name, array_position($3, environment) DESC
"""  # noqa: S608 -- of constants
_PINNED = """
SELECT s.name, s.version, s.environment, s.sealed FROM secrets s
JOIN unnest($4::text[], $5::bigint[]) AS pinned (name, version) ON s.name = pinned.name AND s.version = pinned.version
WHERE organization = $1 AND project = $2 AND environment = ANY($3) AND sealed IS NOT NULL
"""


def belongs_to(organization: str, project: str, environment: str, name: str, version: int) -> str:
    """What a sealed value is bound to."""
    return f"secret/{organization}/{project}/{environment}/{name}/{version}"


async def next_version(connection: Connection, organization: str, project: str, name: str) -> int:
    """The version that a new value gets; no other transaction gets it."""
    await connection.execute(_LOCK, organization, project)
    version = await connection.fetchval(_NEXT, organization, project, name)
    assert isinstance(version, int)
    return version


async def add(
    connection: Connection,
    organization: str,
    project: str,
    environment: str,
    name: str,
    version: int,
    sealed: bytes | None,
    by: str,
) -> Secret:
    """A new version; None unsets the secret in its scope."""
    row = await connection.fetchrow(_ADD, organization, project, name, version, environment, sealed, by)
    assert row is not None
    return Secret(**row)


async def find(reads: Reads, organization: str, project: str, environment: str, after: str = "", limit: int = 10_000) -> Sequence[Secret]:
    """The newest versions of one scope (`""`: the project's), by name."""
    return [Secret(**row) for row in await reads.fetch(_LIST, organization, project, [environment], after, limit)]


async def effective(reads: Reads, organization: str, project: str, environments: Sequence[str]) -> Sequence[SealedVersion]:
    """What releases get: the project's secrets, and above them those of the environments, of which a later one comes first."""
    rows = await reads.fetch(_EFFECTIVE, organization, project, ["", *environments])
    return [SealedVersion(**row) for row in rows]


async def pinned(
    reads: Reads, organization: str, project: str, environments: Sequence[str], refs: Sequence[tuple[str, int]]
) -> Sequence[SealedVersion]:
    """The given versions, of those of the project and of these environments."""
    names, versions = [name for name, _ in refs], [version for _, version in refs]
    rows = await reads.fetch(_PINNED, organization, project, ["", *environments], names, versions)
    return [SealedVersion(**row) for row in rows]
