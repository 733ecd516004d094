"""Arrival numbers: larger is newer, also after the database was put back to what it was before."""

import asyncio

from services.webhooks.store import Store
from shared.outbox import Outbox
from shared.postgres import database
from tests.component.webhooks.conftest import Running
from tests.component.webhooks.deliveries import A, B, deliver, push

_FAR = 2**52
"""Later than any clock says."""


async def test_a_push_after_a_restored_backup_is_newer_than_all_before(running: Running) -> None:
    """The coordinator knows numbers that the backup does not."""
    async with running() as before:
        await deliver(before.http, push(A))
        taken = await before.coordinator.take()
        await before.pool.execute("TRUNCATE changes, heads, deliveries, outbox")
        await before.pool.execute("ALTER SEQUENCE arrivals RESTART")
    async with running() as after:
        await deliver(after.http, push(B))
        newest = await after.coordinator.take()
    assert newest.arrival > taken.arrival
    assert newest.arrival < 2**53  # what any reader of JSON can tell apart


async def test_numbers_that_are_ahead_of_the_clock_go_on(running: Running) -> None:
    """They never go back, whatever the clock says."""
    async with running() as first:
        await first.pool.execute("SELECT setval('arrivals', $1::bigint)", _FAR)
    async with running() as second:
        assert await second.pool.fetchval("SELECT nextval('arrivals')") == _FAR + 1


async def test_replicas_that_start_together_give_each_number_once(postgres_dsn: str) -> None:
    """And larger ones later, also where others work meanwhile."""
    async with database(postgres_dsn, "webhooks") as pool:
        store = Store(pool, Outbox("webhooks"))

        async def numbers() -> list[int]:
            return [await pool.fetchval("SELECT nextval('arrivals')") for _ in range(100)]

        working = asyncio.gather(numbers(), numbers(), numbers())
        await asyncio.gather(*(store.advance_arrivals() for _ in range(4)))
        given = await working
        assert all(some == sorted(some) for some in given)
        assert len({number for some in given for number in some}) == 300
        assert min(await numbers()) > max(max(some) for some in given)
