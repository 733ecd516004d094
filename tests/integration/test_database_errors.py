"""Which errors of the database say that it is away."""

import asyncio

import asyncpg
import pytest

from shared.postgres import UNAVAILABLE, database


@pytest.mark.parametrize("value", ["nul \0", "half \ud800", 5], ids=["nul", "surrogate", "type"])
async def test_a_value_that_no_column_takes_is_no_outage(postgres_dsn: str, value: object) -> None:
    """Else whoever writes it would pause and try again for ever: `UNAVAILABLE` holds asyncpg's InterfaceError, of which this is none."""
    async with database(postgres_dsn, "errors") as pool:
        with pytest.raises(asyncpg.DataError) as refused:
            await pool.fetchval("SELECT $1::text", value)
    assert not isinstance(refused.value, UNAVAILABLE)


async def test_a_number_that_is_too_large_is_no_outage(postgres_dsn: str) -> None:
    """It is refused before it is sent."""
    async with database(postgres_dsn, "errors") as pool:
        with pytest.raises(asyncpg.DataError) as refused:
            await pool.fetchval("SELECT $1::bigint", 2**70)
    assert not isinstance(refused.value, UNAVAILABLE)


async def test_a_closed_connection_is_an_outage(postgres_dsn: str) -> None:
    """By the server or by ourselves."""
    async with database(postgres_dsn, "errors") as pool, pool.acquire() as connection:
        reading = asyncio.create_task(connection.fetchval("SELECT pg_sleep(60)"))
        await asyncio.sleep(0)
        pid = connection.get_server_pid()
        await pool.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(UNAVAILABLE):
            await reading
        with pytest.raises(UNAVAILABLE):
            await connection.fetchval("SELECT 1")


@pytest.mark.parametrize(
    "code",
    [
        *("57014", "57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "28000", "28P01", "3D000"),
        *("53000", "53100", "53200", "53300", "53400", "58000", "58030"),
    ],
)
def test_a_database_that_cannot_serve_is_an_outage(code: str) -> None:
    """Nobody may reach it as things are, it has too little of something, or it gave a statement up: no message is to blame."""
    assert isinstance(asyncpg.PostgresError.new({"C": code, "M": "away"}), UNAVAILABLE)


async def test_a_statement_that_was_broken_off_is_an_outage(postgres_dsn: str) -> None:
    """An administrator may set a limit of time, or cancel what runs."""
    async with database(postgres_dsn, "errors") as pool, pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 10")
        with pytest.raises(UNAVAILABLE):
            await connection.fetchval("SELECT pg_sleep(60)")
