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
