"""People and their accounts on forges: added, listed, removed, linked."""

from dataclasses import dataclass

import asyncpg

from services.auth.decisions import acting, existing
from services.auth.errors import Missing, NotPossible, Taken, Unusable
from services.auth.identities import Identity
from services.auth.permissions import Decision, Grant, Resource, Role
from services.auth.store import audit, grants, people, tokens
from services.auth.store.audit import Happening
from services.auth.store.people import Person
from shared.messages import new_id
from shared.postgres import Pool


@dataclass(frozen=True)
class Profile:
    """A person with their accounts and roles."""

    person: Person
    identities: tuple[Identity, ...] = ()
    grants: tuple[Grant, ...] = ()


async def create_person(pool: Pool, name: str, email: str, by: str) -> Profile:
    """Somebody without a role; needs an admin of any organization."""
    if not name.strip():
        raise Unusable("A person needs a name.")
    person = Person(new_id(), name.strip(), email.strip())
    async with pool.acquire() as connection, connection.transaction():
        admin = await acting(connection, by)
        decision = admin.must("person.create", _anywhere(admin.grants))
        await people.add(connection, person)
        await audit.add(connection, _done(by, "person.create", person.id, decision, details=person.name))
    return Profile(person)


async def list_people(pool: Pool, organization: str, after: str, limit: int) -> list[Profile]:
    """A page, by id."""
    page = await people.page(pool, organization, after, limit)
    ids = [person.id for person in page]
    identities, roles = await people.identities_of(pool, ids), await grants.of(pool, ids)
    return [Profile(person, tuple(each for each in identities if each.person == person.id), roles[person.id]) for person in page]


async def delete_person(pool: Pool, person: str, by: str) -> None:
    """Their roles, accounts and tokens end with them. Raises NotPossible for an organization's last admin."""
    async with pool.acquire() as connection, connection.transaction():
        admin = await acting(connection, by)
        other = await existing(connection, person)
        decision = admin.must_manage("person.delete", other)
        for organization in sorted(_administered(other.grants)):
            if await grants.lock_admins(connection, organization) == {person}:
                raise NotPossible(f"{other.name} is the last admin of organization {organization}; make somebody else one first.")
        await grants.revoke_all(connection, person)
        await tokens.revoke_all(connection, person)
        await people.remove(connection, person)
        await audit.add(connection, _done(by, "person.delete", person, decision, details=other.name))


async def link_identity(pool: Pool, identity: Identity, by: str) -> Identity:
    """From now on what that account pushes is the person's. Raises Taken where it is somebody else's already.

    Nobody links an account to themselves without being an admin: it would be a way to claim another's pushes.
    """
    if not identity.forge or not (identity.login or identity.account_id):
        raise Unusable("An account needs its forge, and its login or its id there.")
    try:
        async with pool.acquire() as connection, connection.transaction():
            admin = await acting(connection, by)
            decision = admin.must_manage("person.update", await existing(connection, identity.person))
            if identity not in await people.identities_of(connection, [identity.person]):
                await people.link(connection, identity)
                await audit.add(connection, _done(by, "identity.link", identity.person, decision, details=str(identity)))
    except asyncpg.UniqueViolationError:
        raise Taken(f"The {identity} is linked to a person already; unlink it first.") from None
    return identity


async def unlink_identity(pool: Pool, identity: Identity, by: str) -> None:
    """What that account pushes is nobody's any more."""
    async with pool.acquire() as connection, connection.transaction():
        admin = await acting(connection, by)
        decision = admin.must_manage("person.update", await existing(connection, identity.person))
        if not await people.unlink(connection, identity):
            raise Missing(f"The {identity} is not linked to that person.")
        await audit.add(connection, _done(by, "identity.unlink", identity.person, decision, details=str(identity)))


def _administered(held: tuple[Grant, ...]) -> set[str]:
    return {grant.resource.organization for grant in held if grant.role is Role.ADMIN and grant.resource.kind == "organization"}


def _anywhere(held: tuple[Grant, ...]) -> Resource:
    return Resource((held[0].resource.organization if held else "_",))


def _done(by: str, action: str, person: str, decision: Decision, details: str) -> Happening:
    organization = decision.grant.resource.organization if decision.grant else ""
    return Happening(by, action, f"person/{person}", allowed=True, rule=decision.rule, details=details, organization=organization)
