"""What is old is forgotten in pieces: after a long standstill, too much for one statement may have become old."""

import pytest

from services.webhooks.store import FORGET_AT_ONCE, Store
from shared.outbox import Outbox
from shared.postgres import Pool, database

MANY = 2 * FORGET_AT_ONCE + 1

_DELIVERIES = """
INSERT INTO deliveries (id, connection, hook, key, event, headers, body, received_at)
SELECT n, 'gh', '', n, 'push', '{}', 'x', now() - make_interval(days => $2) FROM generate_series(1, $1) n
"""
_CHANGES = """
INSERT INTO changes (id, arrival, connection, repository, ref, commit, message, type, state, send_next_at, created_at)
SELECT n, n, 'gh', 'r', 'refs/heads/' || n, 'c', '{}', 'slipway.ChangePushed.v1', 'ignored', now(), now() - make_interval(days => $2)
FROM generate_series(1, $1) n
"""


async def _in_pieces(pool: Pool, table: str, what: str) -> None:
    """A statement that changes more rows than are forgotten at once fails, as one that takes too long does."""
    await pool.execute(f"""
        CREATE FUNCTION pieces() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN ASSERT (SELECT count(*) FROM gone) <= {FORGET_AT_ONCE}; RETURN NULL; END $$;
        CREATE TRIGGER pieces AFTER {what} ON {table} REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION pieces()
    """)  # noqa: S608 -- of constants


@pytest.mark.parametrize(
    ("table", "what", "rows", "days", "left"),
    [
        ("deliveries", "UPDATE", _DELIVERIES, 15, "SELECT count(*) FROM deliveries WHERE body IS NOT NULL"),
        ("deliveries", "DELETE", _DELIVERIES, 61, "SELECT count(*) FROM deliveries"),
        ("changes", "DELETE", _CHANGES, 61, "SELECT count(*) FROM changes"),
    ],
    ids=["bodies", "deliveries", "changes"],
)
async def test_what_is_old_is_forgotten_in_pieces(postgres_dsn: str, table: str, what: str, rows: str, days: int, left: str) -> None:
    """All of it, and nothing younger."""
    async with database(postgres_dsn, "webhooks") as pool:
        await pool.execute(rows, MANY, days)
        await _in_pieces(pool, table, what)
        await Store(pool, Outbox("webhooks")).forget()
        assert await pool.fetchval(left) == 0


async def test_what_is_young_pending_or_the_last_of_its_ref_stays(postgres_dsn: str) -> None:
    """However old it is."""
    async with database(postgres_dsn, "webhooks") as pool:
        await pool.execute(_DELIVERIES, 5, 13)
        await pool.execute(_CHANGES, 5, 61)
        await pool.execute("UPDATE changes SET state = 'pending' WHERE id = '1'")
        await pool.execute("INSERT INTO heads (connection, repository, ref, change) VALUES ('gh', 'r', 'refs/heads/2', '2')")
        await Store(pool, Outbox("webhooks")).forget()
        assert await pool.fetchval("SELECT count(*) FROM deliveries WHERE body IS NOT NULL") == 5
        assert [row["id"] for row in await pool.fetch("SELECT id FROM changes ORDER BY id")] == ["1", "2"]
