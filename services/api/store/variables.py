"""Variables of environments and services. Each change is a version; former ones stay as history."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.api.store.places import Reads
from shared.postgres import Connection


@dataclass(frozen=True)
class Variable:
    """The newest version. `service` is empty where it is the whole environment's."""

    service: str
    name: str
    value: str
    version: int
    created_by: str
    created_at: datetime


_LIST = """
SELECT service, name, value, version, created_by, created_at FROM (
    SELECT DISTINCT ON (service, name) * FROM variables
    WHERE organization = $1 AND project = $2 AND environment = $3 AND ($4::text IS NULL OR service = $4)
    ORDER BY service, name, version DESC
) newest
WHERE value IS NOT NULL AND (service || '/' || name) > $5 ORDER BY service || '/' || name LIMIT $6
"""
_SET = """
WITH wanted AS (SELECT * FROM unnest($5::text[], $6::text[]) AS w (name, value)),
newest AS (
    SELECT DISTINCT ON (name) name, version, value FROM variables
    WHERE organization = $1 AND project = $2 AND environment = $3 AND service = $4
    ORDER BY name, version DESC
)
INSERT INTO variables (organization, project, environment, service, name, value, version, created_by)
SELECT $1, $2, $3, $4, wanted.name, wanted.value, coalesce(newest.version, 0) + 1, $7
FROM wanted LEFT JOIN newest USING (name)
WHERE wanted.value IS DISTINCT FROM newest.value
RETURNING name
"""


def key(variable: Variable) -> str:
    """What a page of variables goes on after."""
    return f"{variable.service}/{variable.name}"


async def find(
    reads: Reads,
    organization: str,
    project: str,
    environment: str,
    service: str | None = None,
    after: str = "",
    limit: int = 10_000,
) -> Sequence[Variable]:
    """The newest versions; of one service, of the environment itself (`""`), or of all (None)."""
    rows = await reads.fetch(_LIST, organization, project, environment, service, after, limit)
    return [Variable(**row) for row in rows]


async def change(
    connection: Connection,
    organization: str,
    project: str,
    environment: str,
    service: str,
    values: dict[str, str | None],
    by: str,
) -> Sequence[str]:
    """Sets values, unsets those that are None, and answers the names that changed. The caller holds the environment's row."""
    rows = await connection.fetch(_SET, organization, project, environment, service, list(values), list(values.values()), by)
    return sorted(row["name"] for row in rows)
