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
