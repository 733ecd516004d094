"""Roles: granted and revoked."""

from services.auth.decisions import Actor, acting, existing
from services.auth.errors import Missing, NotPossible
from services.auth.permissions import Decision, Grant, Resource, Role
from services.auth.store import audit, grants
from services.auth.store.audit import Happening
from shared.postgres import Connection, Pool


async def grant(pool: Pool, person: str, given: Grant, by: str) -> None:
    """Gives a role on a resource, in place of the one that the person had on that very resource.

    The first role in a new organization may be given by whoever may make organizations.
    """
    resource = given.resource
    async with pool.acquire() as connection, connection.transaction():
        admin = await acting(connection, by)
        other = await existing(connection, person)
        admins = await grants.lock_admins(connection, resource.organization)
        decision = await _may_grant(connection, admin, resource)
        if resource.kind == "organization" and admins == {person} and given.role is not Role.ADMIN:
            raise _last_admin(other.name, resource.organization)
        await grants.grant(connection, person, given, by)
        details = f"{given} for {other.name}"
        await audit.add(
            connection,
            Happening(
                by, "role.grant", str(resource), allowed=True, rule=decision.rule, details=details, organization=resource.organization
            ),
        )


async def revoke(pool: Pool, person: str, resource: Resource, by: str) -> None:
    """Takes a role away. Raises Missing where there is none, NotPossible for an organization's last admin."""
    async with pool.acquire() as connection, connection.transaction():
        admin = await acting(connection, by)
        other = await existing(connection, person)
        admins = await grants.lock_admins(connection, resource.organization)
        decision = admin.must("role.grant", resource)
        if resource.kind == "organization" and admins == {person}:
            raise _last_admin(other.name, resource.organization)
        role = await grants.revoke(connection, person, resource)
        if role is None:
            raise Missing(f"{other.name} has no role of their own on {resource.words}.")
        details = f"{role} on {resource.words} of {other.name}"
        await audit.add(
            connection,
            Happening(
                by, "role.revoke", str(resource), allowed=True, rule=decision.rule, details=details, organization=resource.organization
            ),
        )


async def forget(pool: Pool, resource: Resource, by: str) -> None:
    """The resource was deleted: takes every role on it and inside it, so that nobody has one on what gets its name later.

    Nobody's right is asked: api has checked that the resource may be deleted, and by now it is. Once or often, it is the same.
    """
    async with pool.acquire() as connection, connection.transaction():
        await grants.lock_admins(connection, resource.organization)
        for person, held in await grants.inside(connection, resource):
            await grants.revoke(connection, person, held.resource)
            rule, details = f"{resource.words} was deleted", f"{held} of {person}"
            await audit.add(
                connection,
                Happening(
                    by, "role.revoke", str(held.resource), allowed=True, rule=rule, details=details, organization=resource.organization
                ),
            )


async def _may_grant(connection: Connection, admin: Actor, resource: Resource) -> Decision:
    if resource.kind == "organization" and not await grants.organization_known(connection, resource.organization):
        return admin.must("organization.create", resource)
    return admin.must("role.grant", resource)


def _last_admin(name: str, organization: str) -> NotPossible:
    return NotPossible(f"{name} is the last admin of organization {organization}; make somebody else one first.")
