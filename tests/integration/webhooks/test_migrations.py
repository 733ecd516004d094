"""Deliveries that an earlier version stored, after its migration to this one."""

import shutil
from pathlib import Path

import asyncpg

from services.webhooks.deliveries import Deliveries
from shared.contracts.changes import ChangePushed, FoundBy, Pusher
from shared.postgres import SHARED_MIGRATIONS, database, migrate

OWN = Path(__file__).parents[3] / "services" / "webhooks" / "migrations"
CHANGE = ChangePushed(
    organization="main", project="todo", connection="gh", repository="github.com/acme/todo", clone_url="https://github.com/acme/todo.git",
    ref="refs/heads/main", commit="a" * 40, arrival=1, pusher=Pusher(forge="github"), found_by=FoundBy.DELIVERY, delivery="d1",
)  # fmt: skip


async def test_one_delivery_stored_from_two_hooks_becomes_one_with_its_change(postgres_dsn: str, tmp_path: Path) -> None:
    """The first is kept, and shown with what was made of it; the same event is not taken a third time."""
    earlier = tmp_path / "webhooks" / "migrations"
    earlier.mkdir(parents=True)
    shutil.copy(OWN / "0001_webhooks.sql", earlier)
    await migrate(postgres_dsn, "webhooks", [SHARED_MIGRATIONS, earlier])
    connection = await asyncpg.connect(postgres_dsn, server_settings={"search_path": "webhooks"})
    stored = "INSERT INTO deliveries (id, connection, hook, key, event, headers, body) VALUES ($1, 'gh', $2, $3, $4, '{}', '{}')"
    for row in (("d1", "1", "k", "push"), ("d2", "2", "k", "push"), ("d3", "1", "l", "push")):
        await connection.execute(stored, *row)
    await connection.execute(
        "INSERT INTO changes (id, arrival, connection, repository, ref, commit, message, state, send_next_at) "
        "VALUES ($1, 1, 'gh', 'github.com/acme/todo', 'refs/heads/main', $2, $3, 'taken', now())",
        CHANGE.id, CHANGE.commit, CHANGE.encode().decode(),
    )  # fmt: skip
    await connection.execute("INSERT INTO connections VALUES ('gh', 'main', 'todo', 'github', '', '', '', 1, '')")
    await migrate(postgres_dsn, "webhooks", [SHARED_MIGRATIONS, OWN])
    again = "INSERT INTO deliveries (id, connection, hook, key, event, headers) VALUES ('d4', 'gh', '3', 'k', 'push', '{}') ON CONFLICT DO NOTHING"
    assert await connection.execute(again) == "INSERT 0 0"
    await connection.close()
    async with database(postgres_dsn, "webhooks") as pool:
        newest, oldest = await Deliveries(pool).newest("main", None, "", 10)
        assert (newest.id, newest.changes) == ("d3", ())
        assert (oldest.id, [change.id for change in oldest.changes]) == ("d1", [CHANGE.id])
