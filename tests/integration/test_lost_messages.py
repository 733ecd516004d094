"""What the relay sends again because a stream may have lost it, whatever the clocks show."""

import pytest

from shared import relay as relay_module
from shared.bus import Bus
from shared.contracts.events import DeploymentQueued, Event
from shared.outbox import Outbox
from shared.postgres import Pool
from shared.relay import LOST_ROUNDS, Relay
from tests.integration.test_messaging import running
from tests.polling import eventually

_NOTED = "SELECT (SELECT bool_and(sent_at IS NOT NULL) FROM outbox) AND EXISTS (SELECT FROM outbox_streams WHERE sequence > 0)"


async def sent_once(bus: Bus, pool: Pool, dsn: str) -> None:
    """One event is published and noted as such, by a relay that then ends."""
    async with running(Relay(bus, dsn, "coordinator", Outbox("coordinator")).run()):
        async with pool.acquire() as connection:
            await Outbox("coordinator").add(connection, [Event.of(DeploymentQueued(), "main", "todo", "production")])

        async def noted() -> bool:
            return bool(await pool.fetchval(_NOTED))

        await eventually(noted)


async def sent_again(bus: Bus, pool: Pool, dsn: str) -> bool:
    """Whether a new relay finds that readers may lack the event."""
    before = await pool.fetchval("SELECT sent_at FROM outbox")
    async with running(Relay(bus, dsn, "coordinator", Outbox("coordinator")).run()):

        async def again() -> bool:
            after = await pool.fetchval("SELECT sent_at FROM outbox")
            return after is not None and after != before

        try:
            return await eventually(again, within=5)
        except AssertionError:
            return False


@pytest.mark.parametrize(
    "table", ["outbox SET sent_at = sent_at - interval '1 hour'", "outbox_streams SET seen_at = seen_at + interval '1 hour'"]
)
async def test_a_clock_that_was_set_hides_no_loss(coordinator: Bus, pool: Pool, postgres_dsn: str, table: str) -> None:
    """Forwards after something was sent, or backwards after all was well: what was sent a moment ago may be lost all the same."""
    await sent_once(coordinator, pool, postgres_dsn)
    await pool.execute(f"UPDATE {table}")
    assert await sent_again(coordinator, pool, postgres_dsn)


async def test_events_of_a_time_long_ago_are_sent_to_a_new_stream(coordinator: Bus, pool: Pool, postgres_dsn: str, nats_url: str) -> None:
    """A clock that was wrong by years when they were sent does not keep them from readers."""
    await sent_once(coordinator, pool, postgres_dsn)
    await pool.execute("UPDATE outbox SET sent_at = sent_at - interval '3 years'")
    await pool.execute("UPDATE outbox_streams SET created = created - interval '1 day'")
    assert await sent_again(coordinator, pool, postgres_dsn)


async def test_what_was_sent_long_before_is_not_sent_again(coordinator: Bus, pool: Pool, postgres_dsn: str) -> None:
    """A start of the relay is no reason to send all again."""
    await sent_once(coordinator, pool, postgres_dsn)
    await pool.execute("UPDATE outbox_streams SET round = round + 2 * $1", LOST_ROUNDS)
    assert not await sent_again(coordinator, pool, postgres_dsn)


async def test_what_a_relay_of_an_older_version_sent_goes_by_the_clock(coordinator: Bus, pool: Pool, postgres_dsn: str) -> None:
    """It counts no rounds: old and new replicas take turns while a platform is upgraded."""
    await sent_once(coordinator, pool, postgres_dsn)
    await pool.execute("UPDATE outbox SET sent_round = NULL")
    assert await sent_again(coordinator, pool, postgres_dsn)
    await pool.execute("UPDATE outbox SET sent_round = NULL, sent_at = sent_at - interval '1 hour'")
    assert not await sent_again(coordinator, pool, postgres_dsn)


async def test_more_than_one_statement_can_do_is_sent_to_a_new_stream(
    coordinator: Bus, pool: Pool, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much was kept: a statement about all of it would be broken off, and begun again, for ever."""
    async with pool.acquire() as connection:
        await Outbox("coordinator").add(connection, [Event.of(DeploymentQueued(), "main", "todo", "production") for _ in range(100)])
    async with running(Relay(coordinator, postgres_dsn, "coordinator", Outbox("coordinator")).run()):

        async def noted() -> bool:
            return bool(await pool.fetchval(_NOTED))

        await eventually(noted)
    before = await pool.fetchval("SELECT max(sent_at) FROM outbox")
    await pool.execute("UPDATE outbox_streams SET created = created - interval '1 day'")
    await pool.execute("""
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END';
        CREATE TRIGGER slow BEFORE UPDATE ON outbox FOR EACH ROW WHEN (NEW.sent_at IS NULL) EXECUTE FUNCTION slow();
    """)
    monkeypatch.setattr(relay_module, "SLICE", 10)
    monkeypatch.setattr(relay_module, "ANSWER_S", 1.0)
    async with running(Relay(coordinator, postgres_dsn, "coordinator", Outbox("coordinator")).run()):

        async def all_again() -> bool:
            return bool(await pool.fetchval("SELECT coalesce(min(sent_at) > $1, false) AND count(sent_at) = count(*) FROM outbox", before))

        await eventually(all_again, within=15)
