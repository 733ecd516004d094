"""PostgreSQL: one pool a process, one schema a service, numbered migrations that several replicas may start at once."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

if TYPE_CHECKING:  # generic in the stubs only
    _Base = asyncpg.Connection[asyncpg.Record]
else:
    _Base = asyncpg.Connection

SHARED_MIGRATIONS = Path(__file__).parent / "migrations"

UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection that was cut in the middle of an operation
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InvalidAuthorizationSpecificationError,  # with a password that is just being changed
    asyncpg.InvalidCatalogNameError,  # while the database is restored
    asyncpg.DatabaseDroppedError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.InsufficientResourcesError,  # of memory, disk, connections
    asyncpg.PostgresSystemError,  # of its own input and output
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)
"""Errors that say the database is away or busy, not that the message is bad: whoever meets one pauses and tries again."""


class MigrationChanged(RuntimeError):
    """A migration that was already applied has another content now; migrations are append-only."""


class _PoolConnection(_Base):
    def get_reset_query(self) -> str:
        """Nothing to reset: no code here sets session state, and the round trip halves tiny queries."""
        return ""


@asynccontextmanager
async def database(dsn: str, schema: str, *, size: int = 8) -> AsyncIterator[Pool]:
    """A pool on a service's schema; closed at the end, by force where a query hangs."""
    pool = await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        connection_class=_PoolConnection,
        command_timeout=30,
        server_settings={"search_path": schema, "application_name": f"slipway-{schema}", "jit": "off"},
    )
    try:
        yield pool
    finally:
        try:
            async with asyncio.timeout(5):
                await pool.close()
        except TimeoutError:
            pool.terminate()


async def migrate(dsn: str, schema: str, folders: Sequence[Path]) -> list[str]:
    """Applies the migrations that the schema lacks, in order of name within each folder; answers which they were.

    Safe to run from several replicas at once (advisory lock). Raises `MigrationChanged` where an
    applied file was edited afterwards.
    """
    connection = await asyncpg.connect(dsn, server_settings={"search_path": schema})
    try:
        await connection.execute("SELECT pg_advisory_lock(hashtextextended('slipway:migrate:' || $1, 0))", schema)
        # Asked first: IF NOT EXISTS wants the right to make schemas even where there is nothing to make.
        if await connection.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = $1", schema) is None:
            await connection.execute(f'CREATE SCHEMA "{schema}"')
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations "
            "(name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        known = {row["name"]: row["checksum"] for row in await connection.fetch("SELECT name, checksum FROM migrations")}
        applied = []
        for name, sql in _files(folders):
            checksum = hashlib.sha256(sql.encode()).hexdigest()
            if name not in known:
                async with connection.transaction():
                    await connection.execute(sql)
                    await connection.execute("INSERT INTO migrations (name, checksum) VALUES ($1, $2)", name, checksum)
                applied.append(name)
            elif known[name] != checksum:
                raise MigrationChanged(f"{schema}: {name} was changed after it had been applied; write a new migration instead")
        return applied
    finally:
        await connection.close()


def _files(folders: Sequence[Path]) -> list[tuple[str, str]]:
    return [
        (f"{folder.parent.name}/{path.name}", path.read_text())
        for folder in folders
        for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    ]
