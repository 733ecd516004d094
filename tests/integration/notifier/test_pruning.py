"""What ended long ago is forgotten in pieces, and nothing that is to be told waits for it."""

import asyncpg
import pytest

from services.notifier.pruning import KEEP
from services.notifier.store.old import FORGET_AT_ONCE, forget
from shared.contracts.events import DeploymentSucceeded
from shared.postgres import database
from tests.integration.notifier.conftest import World, webhook
from tests.integration.notifier.receivers import Receiver, receiver
from tests.polling import eventually

MANY = 2 * FORGET_AT_ONCE + 1
_OLD = {
    "notifications": "(id, organization, channel, event_id, event, source, lane, sequence, state, ended_at) "
    "SELECT n, '', '', n, '', '', n, 0, 'dead', at",
    "deployments": "(id, organization, project, environment, environment_kind, repository, ref, commit, title, pusher, created_at) "
    "SELECT n, '', '', '', '', '', '', '', '', '', at",
    "forge_deployments": "(organization, channel, deployment, told_at) SELECT '', '', n, at",
    "milestones": "(deployment, sequence, event, at) SELECT n, 1, '', at",
    "comments": "(organization, repository, number, updated_at) SELECT '', '', n, at",
}


async def _ended(
    connection: "asyncpg.Pool[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]", table: str, count: int, days: int
) -> None:
    rows = "FROM generate_series(1, $1::integer) AS m, concat($2::integer, '/', m) AS n, LATERAL (SELECT now() - make_interval(days => $2)) AS a (at)"
    await connection.execute(f"INSERT INTO {table} {_OLD[table]} {rows}", count, days)


@pytest.mark.parametrize("table", _OLD)
async def test_what_is_old_is_forgotten_in_pieces(postgres_dsn: str, table: str) -> None:
    """All of it, and nothing younger; a statement that deletes more than a piece fails, as one that takes too long does."""
    async with database(postgres_dsn, "notifier") as pool:
        await _ended(pool, table, MANY, KEEP.days + 1)
        await _ended(pool, table, 3, KEEP.days - 1)
        await pool.execute(f"""
            CREATE FUNCTION pieces() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN ASSERT (SELECT count(*) FROM gone) <= {FORGET_AT_ONCE}; RETURN NULL; END $$;
            CREATE TRIGGER pieces AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION pieces()
        """)  # noqa: S608 -- of constants
        await forget(pool, KEEP)
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 3  # noqa: S608 -- of constants


async def test_what_is_told_does_not_wait_for_what_is_forgotten(world: World, signing_secret: str, postgres_dsn: str) -> None:
    """While a deletion takes long, here for a lock, events are told."""
    await _ended(world.database, "forge_deployments", 1, KEEP.days + 1)
    other = await asyncpg.connect(postgres_dsn, server_settings={"search_path": "notifier"})
    async with receiver() as hook, other.transaction():
        await other.execute("LOCK TABLE forge_deployments IN EXCLUSIVE MODE")
        async with world.start():
            await world.channels(webhook(hook.url, signing_secret))
            await world.happens(DeploymentSucceeded(), deployment="d1")
            await _called(hook)
    await other.close()


async def test_what_cannot_be_forgotten_ends_nothing(world: World, signing_secret: str) -> None:
    """It is tried again with the next round, and events are told."""
    await _ended(world.database, "notifications", 1, KEEP.days + 1)
    await world.database.execute("""
        CREATE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'it stays'; END $$;
        CREATE TRIGGER stays BEFORE DELETE ON notifications FOR EACH ROW EXECUTE FUNCTION stays()
    """)
    async with receiver() as hook, world.start():
        await world.channels(webhook(hook.url, signing_secret))
        await world.happens(DeploymentSucceeded(), deployment="d1")
        await _called(hook)
    assert "dead" in await world.states()


async def _called(hook: Receiver) -> None:
    async def called() -> bool:
        return bool(hook.calls)

    await eventually(called, within=10)
