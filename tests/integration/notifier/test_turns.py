"""Channels and organizations take turns: one whose receiver is slow stands in front of nobody."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.notifier.store import notifications
from services.notifier.store.notifications import claim, seconds_until_next
from shared.contracts.events import DeploymentFailed, DeploymentSucceeded
from shared.messages import new_id, utc_now
from shared.postgres import Pool, database
from tests.integration.notifier.conftest import World, webhook
from tests.integration.notifier.receivers import receiver
from tests.polling import eventually

_CHANNEL = """
INSERT INTO channels (organization, name, project, kind, forge, api_url, repository, events, version, sealed, hold_until)
VALUES ($1, $2, '', 'webhook', '', '', '', '{}', 1, '', now() + $3)
"""
_FILL = """
INSERT INTO notifications (id, organization, channel, event_id, event, source, lane, sequence, due_at)
SELECT $1 || $2 || n, $1, $2, n, '{}', 'coordinator', $1 || $2 || n, 0, now() - interval '1 hour' + make_interval(secs => n)
FROM generate_series(1, $3::integer) n
"""


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    """The tables of notifier, empty."""
    async with database(postgres_dsn, "notifier") as opened:
        yield opened


async def _due(pool: Pool, organization: str, channel: str, count: int, hold: timedelta | None = None) -> None:
    await pool.execute(_CHANNEL, organization, channel, hold)
    await pool.execute(_FILL, organization, channel, count)


async def _claimed(pool: Pool, limit: int = notifications.AT_ONCE) -> list[str]:
    """Channels of what is claimed, as often as they are."""
    return sorted(f"{each.organization}/{each.channel}" for each in await claim(pool, limit))


async def test_a_receiver_that_never_answers_keeps_nobody_waiting(world: World, signing_secret: str) -> None:
    """However much waits for it, another channel's event is told at once."""
    async with receiver() as slow, receiver() as quick, world.start():
        slow.hang = True
        hung, other = webhook(slow.url, signing_secret, name="slow"), webhook(quick.url, signing_secret, "deployment.failed", name="quick")
        await world.channels(hung, other)
        await asyncio.gather(*(world.happens(DeploymentSucceeded(), deployment=new_id()) for _ in range(40)))

        async def all_wait() -> bool:
            return len(await world.states()) == 40 and bool(slow.calls)

        await eventually(all_wait)
        await world.happens(DeploymentFailed(reason="x"), deployment=new_id())

        async def told() -> bool:
            return bool(quick.calls)

        await eventually(told, within=8)
        assert len(slow.calls) == notifications.AT_ONCE_OF_CHANNEL


async def test_a_channel_has_two_under_way_in_all_replicas(pool: Pool) -> None:
    """What is claimed once counts for the next who claims; what has ended does not."""
    await _due(pool, "acme", "a", 5)
    first = await claim(pool, 1)
    assert await _claimed(pool) == ["acme/a"]
    assert await _claimed(pool) == []
    async with pool.acquire() as connection:
        await notifications.end(connection, first[0], "delivered", 1)
    assert await _claimed(pool) == ["acme/a"]


async def test_channels_take_turns(pool: Pool) -> None:
    """The first of each comes before the second of any, whichever has waited longer."""
    await _due(pool, "acme", "a", 5)
    await _due(pool, "acme", "b", 5)
    await pool.execute("UPDATE notifications SET due_at = due_at + interval '30 minutes' WHERE channel = 'b'")
    assert await _claimed(pool, 2) == ["acme/a", "acme/b"]
    await _due(pool, "acme", "c", 5)
    await pool.execute("UPDATE notifications SET due_at = due_at + interval '30 minutes' WHERE channel = 'c'")
    assert await _claimed(pool, 1) == ["acme/c"]


async def test_within_a_channel_what_waited_longest_comes_first(pool: Pool) -> None:
    """As it was due."""
    await _due(pool, "acme", "a", 5)
    assert sorted(each.id for each in await claim(pool, 16)) == ["acmea1", "acmea2"]


async def test_an_organization_takes_no_more_than_its_share(pool: Pool) -> None:
    """However many channels it has: half of what one replica sends at once."""
    for number in range(notifications.AT_ONCE):
        await _due(pool, "many", f"c{number:02}", 2)
    await _due(pool, "few", "a", 2)
    taken = Counter(each.partition("/")[0] for each in await _claimed(pool))
    assert taken == {"many": notifications.AT_ONCE_OF_ORGANIZATION, "few": notifications.AT_ONCE_OF_CHANNEL}
    assert await _claimed(pool) == []


async def test_what_a_dead_replica_holds_does_not_count_for_long(pool: Pool) -> None:
    """Its channel goes on before its leases end: no attempt takes as long."""
    await _due(pool, "acme", "a", 3)
    held = await _claimed(pool)
    assert held == ["acme/a"] * 2
    await pool.execute(
        "UPDATE notifications SET leased_until = leased_until - $1::interval WHERE leased_until > now()", notifications.LEASE / 2
    )
    assert await _claimed(pool) == ["acme/a"]


async def test_what_waits_for_a_newer_one_is_not_looked_at(pool: Pool) -> None:
    """On a lane that is tried again later, nothing is due until then; a newer one is at once."""
    await _due(pool, "acme", "forge", 3)
    await pool.execute("UPDATE notifications SET lane = 'd1', sequence = event_id::integer")
    newest, *others = await claim(pool, 16)
    assert (newest.sequence, others) == (3, [])
    async with pool.acquire() as connection:
        await notifications.later(connection, newest, 1, utc_now() + timedelta(hours=1))
    assert await pool.fetchval("SELECT count(*) FROM notifications WHERE due_at <= now()") == 0
    await pool.execute("UPDATE notifications SET sequence = 4, due_at = now() WHERE sequence = 1")
    assert [each.sequence for each in await claim(pool, 16)] == [4]


async def test_what_a_channel_holds_back_is_not_read(pool: Pool) -> None:
    """A long backlog costs nobody else time: the plans go by the index, channel by channel."""
    await _due(pool, "acme", "held", 20_000, timedelta(days=1))
    await _due(pool, "acme", "free", 20_000)
    await pool.execute("ANALYZE notifications, channels")
    async with pool.acquire() as connection:
        plans = [
            *await connection.fetch(f"EXPLAIN (ANALYZE, COSTS OFF) {notifications._CLAIM}", 16, notifications.LEASE, 2, 16),
            *await connection.fetch(f"EXPLAIN (ANALYZE, COSTS OFF) {notifications._NEXT}"),
        ]
    text = "\n".join(row[0] for row in plans)
    assert "Seq Scan on notifications" not in text, text
    assert "notifications_turns" in text, text


async def test_the_next_is_the_first_of_any_channel(pool: Pool) -> None:
    """Or the end of a channel's pause, where one comes sooner."""
    assert await seconds_until_next(pool) is None
    await _due(pool, "acme", "a", 3)
    await pool.execute("UPDATE notifications SET due_at = now() + interval '50 seconds'")
    assert 45 < (await seconds_until_next(pool) or 0) <= 50
    await _due(pool, "acme", "held", 3, timedelta(seconds=20))
    assert 15 < (await seconds_until_next(pool) or 0) <= 20
