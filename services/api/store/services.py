"""What the catalogue says of a service where the manifest says nothing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.api.store.places import Reads
from shared.postgres import Connection


@dataclass(frozen=True)
class ServiceSettings:
    """Domains, limits (0: not said) and build arguments of one service."""

    service: str
    domains: tuple[str, ...]
    memory_bytes: int
    cpu: float
    build_args: dict[str, str]
    updated_at: datetime


@dataclass(frozen=True)
class Claim:
    """Whose a domain is."""

    host: str
    organization: str
    project: str
    environment: str
    service: str


_GET = """
SELECT service, domains, memory_bytes, cpu, build_args, updated_at FROM service_settings
WHERE organization = $1 AND project = $2 AND environment = $3 AND service = $4
"""
_LIST = """
SELECT service, domains, memory_bytes, cpu, build_args, updated_at FROM service_settings
WHERE organization = $1 AND project = $2 AND environment = $3 AND service > $4 ORDER BY service LIMIT $5
"""
_PUT = """
INSERT INTO service_settings (organization, project, environment, service, domains, memory_bytes, cpu, build_args)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (organization, project, environment, service) DO UPDATE SET
    domains = excluded.domains, memory_bytes = excluded.memory_bytes, cpu = excluded.cpu,
    build_args = excluded.build_args, updated_at = now()
RETURNING service, domains, memory_bytes, cpu, build_args, updated_at
"""
_DELETE = """
DELETE FROM service_settings WHERE organization = $1 AND project = $2 AND environment = $3 AND service = $4 RETURNING service
"""
_UNCLAIM = "DELETE FROM domains WHERE organization = $1 AND project = $2 AND environment = $3 AND service = $4"
_CLAIM = """
INSERT INTO domains (host, organization, project, environment, service)
SELECT unnest($5::text[]), $1, $2, $3, $4 ON CONFLICT (host) DO NOTHING
"""
_CLAIMED = "SELECT * FROM domains WHERE host = ANY($1)"


def _settings(row: asyncpg.Record) -> ServiceSettings:
    fields = dict(row)
    return ServiceSettings(**fields | {"domains": tuple(row["domains"]), "build_args": json.loads(row["build_args"])})


async def get(reads: Reads, organization: str, project: str, environment: str, service: str) -> ServiceSettings | None:
    """A service's settings, if there are any."""
    row = await reads.fetchrow(_GET, organization, project, environment, service)
    return None if row is None else _settings(row)


async def find(
    reads: Reads, organization: str, project: str, environment: str, after: str = "", limit: int = 10_000
) -> Sequence[ServiceSettings]:
    """The settings of an environment's services, by name."""
    return [_settings(row) for row in await reads.fetch(_LIST, organization, project, environment, after, limit)]


async def put(
    connection: Connection, organization: str, project: str, environment: str, wanted: ServiceSettings
) -> tuple[ServiceSettings, Sequence[Claim]]:
    """Stores a service's settings and claims its domains; the second value: claims by others that stand in the way."""
    place = (organization, project, environment, wanted.service)
    row = await connection.fetchrow(_PUT, *place, list(wanted.domains), wanted.memory_bytes, wanted.cpu, json.dumps(wanted.build_args))
    assert row is not None
    await connection.execute(_UNCLAIM, *place)
    await connection.execute(_CLAIM, *place, sorted(set(wanted.domains)))
    claims = [Claim(**claim) for claim in await connection.fetch(_CLAIMED, list(wanted.domains))]
    others = [c for c in claims if (c.organization, c.project, c.environment, c.service) != place]
    return _settings(row), others


async def delete(connection: Connection, organization: str, project: str, environment: str, service: str) -> bool:
    """Whether there were any; the domains are free again."""
    return await connection.fetchval(_DELETE, organization, project, environment, service) is not None
