"""SQL on what ended long ago."""

from datetime import timedelta

from shared.postgres import Pool

FORGET_AT_ONCE = 2000
"""Rows a statement: however much has become old, each ends well before its time is up."""
_TABLES = {
    "notifications": "ended_at",
    "deployments": "created_at",
    "forge_deployments": "told_at",
    "milestones": "at",
    "comments": "updated_at",
}
"""Each with when its rows were of use last."""
# By place, not by id: a row that is changed meanwhile has another place then, and stays.
_FORGET = """
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM {table} WHERE {last} < now() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED
))
"""


async def forget(pool: Pool, keep: timedelta) -> None:
    """What ended longer ago, with its attempts, in pieces."""
    for table, last in _TABLES.items():
        statement = _FORGET.format(table=table, last=last)
        while await pool.execute(statement, keep, FORGET_AT_ONCE) == f"DELETE {FORGET_AT_ONCE}":
            pass
