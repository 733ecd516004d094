"""The first admin."""

import asyncio

import asyncpg

from services.auth import accounts, roles, tokens
from services.auth.bootstrap import bootstrap, renew
from services.auth.credentials import Gate
from services.auth.permissions import Grant, Resource, Role
from shared.postgres import database


async def test_the_first_start_makes_one_admin_however_many_start_at_once(postgres_dsn: str) -> None:
    """Of several at once one gets the token; later ones get none."""
    made = await asyncio.gather(*(bootstrap(postgres_dsn) for _ in range(4)))
    given = [token for token in made if token]
    assert len(given) == 1
    assert tokens.is_well_formed(given[0])
    assert await bootstrap(postgres_dsn) is None


async def test_the_plain_token_is_nowhere_in_the_database(postgres_dsn: str) -> None:
    """Only its hash and its first characters are stored."""
    token = await bootstrap(postgres_dsn)
    assert token
    connection = await asyncpg.connect(postgres_dsn, server_settings={"search_path": "auth"})
    rows = await connection.fetch("SELECT * FROM tokens")
    await connection.close()
    assert [row["digest"] for row in rows] == [tokens.digest(token)]
    assert token[len("slw_") + 4 :] not in repr(rows)


async def test_a_lost_token_is_replaced_for_the_same_person(postgres_dsn: str) -> None:
    """Whoever holds the database gets another token, and the first one stays valid."""
    first = await bootstrap(postgres_dsn)
    second = await renew(postgres_dsn)
    assert first
    assert second
    async with database(postgres_dsn, "auth") as pool:
        gate = Gate(pool)
        assert (await gate.authenticate(first)).actor == (await gate.authenticate(second)).actor


async def test_a_lost_token_is_replaced_for_an_admin_and_for_nobody_else(postgres_dsn: str) -> None:
    """Who is called "admin" does not count, but who is one: somebody else where the first person is one no longer."""
    first = await bootstrap(postgres_dsn)
    assert first
    async with database(postgres_dsn, "auth") as pool:
        gate = Gate(pool)
        admin = (await gate.authenticate(first)).actor
        namesake = await accounts.create_person(pool, "admin", "", admin.id)
        await roles.grant(pool, namesake.person.id, Grant(Role.VIEWER, Resource(("main",))), admin.id)
        zoe = await accounts.create_person(pool, "Zoë", "", admin.id)
        await roles.grant(pool, zoe.person.id, Grant(Role.ADMIN, Resource(("main",))), admin.id)
        await accounts.delete_person(pool, admin.id, zoe.person.id)
        renewed = await renew(postgres_dsn)
        assert renewed
        assert (await gate.authenticate(renewed)).actor.name == "Zoë"
        assert await renew(postgres_dsn, "other") is None
