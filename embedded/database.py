"""The platform's database, roles and schemas, on our own PostgreSQL or on somebody else's."""

from collections.abc import Mapping

import asyncpg

from embedded.postgres import DATABASE
from shared.postgres import UNAVAILABLE

_CONNECT_LIMIT = 2.0


async def why_not_accepted(dsn: str) -> Exception | None:
    """What came of connecting; None where the server accepted it."""
    try:
        connection = await asyncpg.connect(dsn, timeout=_CONNECT_LIMIT)
    except (*UNAVAILABLE, asyncpg.PostgresError, ValueError) as failure:
        return failure
    await connection.close()
    return None


async def make_database(administrator_dsn: str) -> None:
    """Make the database `slipway` where it is missing; nobody but its roles may connect to it."""
    connection = await asyncpg.connect(administrator_dsn)
    try:
        if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE) is None:
            await connection.execute(f"CREATE DATABASE {DATABASE}")
            await connection.execute(f"REVOKE ALL ON DATABASE {DATABASE}, postgres, template1 FROM PUBLIC")
    finally:
        await connection.close()


async def make_roles(database_dsn: str, passwords: Mapping[str, str]) -> None:
    """A role and a schema of the same name for each service, with that password.

    A role sees its own schema only, and finds it without naming it. Safe to repeat; a changed password is set.
    """
    connection = await asyncpg.connect(database_dsn)
    try:
        async with connection.transaction():
            database = await connection.fetchval("SELECT current_database()")
            await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            for role, password in passwords.items():
                await _make_role(connection, str(database), role, password)
    finally:
        await connection.close()


async def _make_role(connection: "asyncpg.Connection[asyncpg.Record]", database: str, role: str, password: str) -> None:
    known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    statement = await connection.fetchval(
        "SELECT format('%s ROLE %I LOGIN PASSWORD %L', $1::text, $2::text, $3::text)",
        "ALTER" if known else "CREATE",
        role,
        password,
    )
    await connection.execute(statement)
    await connection.execute(f'GRANT CONNECT ON DATABASE "{database}" TO "{role}"')
    await connection.execute(f'ALTER ROLE "{role}" IN DATABASE "{database}" SET search_path = "{role}"')
    await connection.execute(f'GRANT "{role}" TO CURRENT_USER')
    await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{role}" AUTHORIZATION "{role}"')
