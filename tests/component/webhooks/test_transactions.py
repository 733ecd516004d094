"""Replicas that record and send at the same time, of one database: each finds what another has written. Nothing runs by itself here."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.webhooks.domain import Arrival, Origin, Push
from services.webhooks.recording import Recording
from services.webhooks.store import Store
from shared.contracts.changes import FoundBy, Pusher
from shared.outbox import Outbox
from shared.postgres import Pool, database
from tests.component.locks import waited_for
from tests.component.webhooks.deliveries import A, B, C

_URL = "https://github.com/acme/todo.git"
_FAR = 2**52
"""Later than any clock says."""


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    """Of the one."""
    async with database(postgres_dsn, "webhooks") as opened:
        yield opened


@pytest.fixture
async def other(postgres_dsn: str) -> AsyncIterator[Store]:
    """The other's."""
    async with database(postgres_dsn, "webhooks") as opened:
        yield Store(opened, Outbox("webhooks"))


def _pushed(*commits: str, ref: str = "refs/heads/main") -> list[Arrival]:
    """One after the other, each as its delivery tells of it."""
    origin = Origin("main", "todo", "gh", "github", "github.com/acme/todo", _URL)
    pushes = [Push("github.com/acme/todo", _URL, ref, None, commit, Pusher(forge="github")) for commit in commits]
    return [Arrival(origin, FoundBy.DELIVERY, (push,)) for push in pushes]


async def test_a_push_that_two_replicas_are_told_of_is_one_change(pool: Pool, other: Store) -> None:
    """The later waits for the head, and knows the change then; what came after it has a larger number than what was recorded meanwhile."""
    await other.record(_pushed(A))
    async with asyncio.TaskGroup() as tasks, pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM heads FOR UPDATE")
        later = tasks.create_task(other.record(_pushed(B, C)))
        await waited_for(pool)
        (first,) = await Recording(connection, Outbox("webhooks")).run(_pushed(B))
    again, newer = later.result()
    assert [change.commit for change in first.changes] == [B]
    assert (again.changes, [known.reason for known in again.known]) == ((), ["this change is known already"])
    assert newer.changes[0].arrival > first.changes[0].arrival
    assert await pool.fetchval("SELECT commit FROM heads") == C


async def test_a_change_that_another_replica_sends_again_keeps_no_other_waiting(pool: Pool, other: Store) -> None:
    """It is left to that one."""
    for ref in ("refs/heads/one", "refs/heads/two"):
        await other.record(_pushed(A, ref=ref))
    await pool.execute("UPDATE changes SET send_next_at = now() - interval '1 minute'")
    await pool.execute("UPDATE outbox SET sent_at = now() - interval '2 minutes'")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM changes WHERE ref = 'refs/heads/one' FOR UPDATE")
        async with asyncio.timeout(20):
            assert await other.send_again() == 1
    assert await pool.fetchval("SELECT ref FROM changes WHERE sends = 2") == "refs/heads/two"


async def test_numbers_that_another_replica_has_advanced_do_not_go_back(pool: Pool, other: Store) -> None:
    """Whoever looked at the clock before waits, and looks at the numbers afterwards."""
    async with asyncio.TaskGroup() as tasks, pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('slipway:arrivals', 0))")
        tasks.create_task(other.advance_arrivals())
        await waited_for(pool)
        await connection.execute("SELECT setval('arrivals', $1::bigint)", _FAR)
    assert await pool.fetchval("SELECT last_value FROM arrivals") == _FAR
