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


async def renew(dsn: str) -> str | None:
    """Another token for the person that `bootstrap` made, for whoever holds the database and lost the first one.

    None where nobody of that name is left. What was issued before stays valid.
    """
    connection = await asyncpg.connect(dsn, server_settings={"search_path": SCHEMA})
    try:
        async with connection.transaction():
            person = await connection.fetchval("SELECT id FROM people WHERE name = 'admin' AND removed_at IS NULL ORDER BY id LIMIT 1")
            if person is None:
                return None
            token, plain = await credentials.issue(connection, person, "token of a later start")
            rule = "whoever may read the database may have a token of its first person"
            await audit.add(connection, Happening(person, "token.create", f"token/{token.id}", allowed=True, rule=rule, details=token.name))
            return plain
    finally:
        await connection.close()
