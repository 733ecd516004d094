"""SQL on roles."""

from collections.abc import Sequence

from services.auth.permissions import Grant, Resource, Role
from services.auth.store import Reader
from shared.postgres import Connection

_OF = "SELECT person, role, resource FROM grants WHERE person = ANY($1::text[]) ORDER BY resource"
_GRANT = """
INSERT INTO grants (person, resource, organization, role, granted_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (person, resource) DO UPDATE SET role = EXCLUDED.role, granted_by = EXCLUDED.granted_by, granted_at = now()
"""
_REVOKE = "DELETE FROM grants WHERE person = $1 AND resource = $2 RETURNING role"
_IN_ORGANIZATION = "SELECT person, role, resource FROM grants WHERE organization = $1 ORDER BY resource, person"
_REVOKE_ALL = "DELETE FROM grants WHERE person = $1"
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('slipway:auth:admins:' || $1, 0))"
_ADMINS = "SELECT person FROM grants WHERE resource = $1 AND role = 'admin' ORDER BY granted_at, person"
_KNOWN = "SELECT EXISTS (SELECT FROM grants WHERE organization = $1)"


async def of(connection: Reader, people: Sequence[str]) -> dict[str, tuple[Grant, ...]]:
    """What each of them may, by person."""
    found: dict[str, tuple[Grant, ...]] = dict.fromkeys(people, ())
    for row in await connection.fetch(_OF, list(people)):
        found[row["person"]] += (Grant(Role.named(row["role"]), Resource.parse(row["resource"])),)
    return found


async def grant(connection: Connection, person: str, given: Grant, by: str) -> None:
    """Replaces the role that the person had on that very resource."""
    resource = given.resource
    await connection.execute(_GRANT, person, str(resource), resource.organization, str(given.role), by)


async def revoke(connection: Connection, person: str, resource: Resource) -> Role | None:
    """The role that was revoked, if there was one."""
    role = await connection.fetchval(_REVOKE, person, str(resource))
    return Role.named(role) if role else None


async def inside(connection: Connection, resource: Resource) -> list[tuple[str, Grant]]:
    """Who has which role on the resource or on what lies inside it."""
    rows = await connection.fetch(_IN_ORGANIZATION, resource.organization)
    found = [(str(row["person"]), Grant(Role.named(row["role"]), Resource.parse(row["resource"]))) for row in rows]
    return [(person, grant) for person, grant in found if resource.covers(grant.resource)]


async def revoke_all(connection: Connection, person: str) -> None:
    """Takes every role."""
    await connection.execute(_REVOKE_ALL, person)


async def lock_admins(connection: Connection, organization: str) -> set[str]:
    """The organization's admins; no other transaction that asks so changes them until this one ends."""
    await connection.execute(_LOCK, organization)
    return set(await admins(connection, organization))


async def admins(connection: Reader, organization: str) -> list[str]:
    """The organization's admins, whoever has been one for longest first. Who was removed has no role."""
    return [row["person"] for row in await connection.fetch(_ADMINS, f"organization/{organization}")]


async def organization_known(connection: Connection, organization: str) -> bool:
    """Whether anybody has a role in it."""
    return bool(await connection.fetchval(_KNOWN, organization))
