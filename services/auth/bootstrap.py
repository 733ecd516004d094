"""The first person of a new installation."""

from pathlib import Path

import asyncpg

from services.auth import credentials
from services.auth.permissions import Grant, Resource, Role
from services.auth.store import audit, grants, people
from services.auth.store.audit import Happening
from services.auth.store.people import Person
from shared.messages import new_id
from shared.postgres import SHARED_MIGRATIONS, migrate

SCHEMA = "auth"
MIGRATIONS = (SHARED_MIGRATIONS, Path(__file__).parent / "migrations")


async def bootstrap(dsn: str, organization: str = "main") -> str | None:
    """Makes the person "admin", admin of the first organization, with a token, and answers the plain token.

    Once: where anybody was ever made, nothing is done and None is answered. Several at once make one.
    """
    await migrate(dsn, SCHEMA, MIGRATIONS)
    connection = await asyncpg.connect(dsn, server_settings={"search_path": SCHEMA})
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE people IN SHARE ROW EXCLUSIVE MODE")
            if await connection.fetchval("SELECT EXISTS (SELECT FROM people)"):
                return None
            person, resource = Person(new_id(), "admin", ""), Resource((organization,))
            await people.add(connection, person)
            await grants.grant(connection, person.id, Grant(Role.ADMIN, resource), person.id)
            _, plain = await credentials.issue(connection, person.id, "first token")
            rule = "the first start makes an admin of the first organization"
            happening = Happening(
                person.id, "role.grant", str(resource), allowed=True, rule=rule, details="admin", organization=organization
            )
            await audit.add(connection, happening)
            return plain
    finally:
        await connection.close()


async def renew(dsn: str, organization: str = "main") -> str | None:
    """Another token for the organization's first admin, for whoever holds the database and lost the first one.

    Whoever has been its admin for longest: the person that `bootstrap` made, as long as they are one. None where it has no
    admin. What was issued before stays valid.
    """
    connection = await asyncpg.connect(dsn, server_settings={"search_path": SCHEMA})
    try:
        async with connection.transaction():
            admins = await grants.admins(connection, organization)
            if not admins:
                return None
            person = admins[0]
            token, plain = await credentials.issue(connection, person, "token of a later start")
            rule = f"whoever may write the database may have a token of the first admin of organization {organization}"
            happening = Happening(
                person, "token.create", f"token/{token.id}", allowed=True, rule=rule, details=token.name, organization=organization
            )
            await audit.add(connection, happening)
            return plain
    finally:
        await connection.close()
