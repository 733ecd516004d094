"""The inbox: which messages a service has taken already, recorded in the transaction that handles them."""

from collections.abc import Sequence

from shared.postgres import Connection


async def take(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Records the messages and answers those that are new; the others have been handled before."""
    rows = await connection.fetch(
        # In one order, so that two that take the same messages wait for each other in one direction only.
        "INSERT INTO inbox (id) SELECT DISTINCT unnest($1::text[]) AS id ORDER BY id ON CONFLICT DO NOTHING RETURNING id",
        list(ids),
    )
    return {row["id"] for row in rows}


async def prune(connection: Connection, most: int, days: int = 32) -> bool:
    """Forgets so much of what is older than any stream keeps a message; whether there may be more. The relay of the schema calls it."""
    deleted = await connection.execute(
        "DELETE FROM inbox WHERE id IN (SELECT id FROM inbox WHERE taken_at < now() - make_interval(days => $1) LIMIT $2)", days, most
    )
    return deleted == f"DELETE {most}"
