"""What an earlier version stored, after its migration to this one."""

import shutil
from pathlib import Path

import asyncpg

from shared.postgres import SHARED_MIGRATIONS, migrate

OWN = Path(__file__).parents[3] / "services" / "api" / "migrations"


async def test_deployments_at_work_are_known_as_such(postgres_dsn: str, tmp_path: Path) -> None:
    """By the epoch on their pages, whatever else is on them."""
    earlier = tmp_path / "api" / "migrations"
    earlier.mkdir(parents=True)
    for migration in OWN.glob("*.sql"):
        if migration.name < "0014":
            shutil.copy(migration, earlier)
    await migrate(postgres_dsn, "api", [SHARED_MIGRATIONS, earlier])
    connection = await asyncpg.connect(postgres_dsn, server_settings={"search_path": "api"})
    stored = (
        "INSERT INTO deployments (id, organization, project, environment, state, sequence, created_at, view) "
        "VALUES ($1, 'main', 'todo', 'production', 'compensating', 1, now(), $2)"
    )
    await connection.execute(stored, "d1", r'{"title":"\"epoch\":8 \\u0000","epoch":7,"failure":{"log_tail":["a\u0000b"]}}')
    await connection.execute(stored, "d2", r'{"title":"\u0000","epoch":null}')
    await migrate(postgres_dsn, "api", [SHARED_MIGRATIONS, OWN])
    assert [tuple(row) for row in await connection.fetch("SELECT id, epoch FROM deployments ORDER BY id")] == [("d1", 7), ("d2", None)]
    await connection.close()
