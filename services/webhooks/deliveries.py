"""Stored deliveries, read: what came, and what was made of it."""

# ruff: noqa: S608 -- what is put in are the constant names of columns

import json
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from shared.contracts.changes import decode_change
from shared.contracts.deliveries import DeliveredChange, DeliveryPage
from shared.postgres import Pool

LONGEST_TEXT = 500
"""Of a reason or a ref, in characters, where people look at it."""
MOST_CHANGES = 200
"""Of one delivery, that are shown: a part of an answer fits the bus."""

_COLUMNS = """
d.id, d.connection, d.event, d.hook, d.key, d.received_at, octet_length(d.body) AS size,
CASE WHEN d.id IN (SELECT delivery FROM backlog) THEN 'it waits for its turn: others came before it' ELSE d.reason END AS reason, c.project, c.forge,
ARRAY(SELECT to_jsonb(h) FROM
      (SELECT id, state, reason, deployments, created_at, type, message FROM changes WHERE delivery = d.id ORDER BY arrival LIMIT $1) h) AS changes
"""
_OWNED = "deliveries d JOIN connections c ON c.name = d.connection AND c.organization || '/' || c.project = d.owner"
_LIST = f"""
SELECT {_COLUMNS} FROM {_OWNED}
WHERE c.organization = $2 AND ($3::text IS NULL OR c.name = $3) AND ($4 = '' OR d.id < $4) ORDER BY d.id DESC LIMIT $5
"""
_GET = f"SELECT {_COLUMNS}, d.headers, d.body FROM {_OWNED} WHERE c.organization = $2 AND d.id = $3"


@dataclass(frozen=True)
class Stored:
    """One delivery with all that is kept of it; the body is None once it is forgotten."""

    page: DeliveryPage
    headers: dict[str, str]
    body: bytes | None


class Deliveries:
    """Of connections that are there: those of one that was removed belong to nobody, also where another project has its name now."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def newest(self, organization: str, connection: str | None, before: str, limit: int) -> Sequence[DeliveryPage]:
        """The newest first; `before` is the id of the last one of the former page."""
        rows = await self._pool.fetch(_LIST, MOST_CHANGES, organization, connection, before, limit)
        return [_page(row) for row in rows]

    async def get(self, organization: str, delivery: str) -> Stored | None:
        """One of them."""
        row = await self._pool.fetchrow(_GET, MOST_CHANGES, organization, delivery)
        return Stored(_page(row), json.loads(row["headers"]), row["body"]) if row else None


def _page(row: asyncpg.Record) -> DeliveryPage:
    return DeliveryPage(
        id=row["id"],
        connection=row["connection"],
        project=row["project"],
        forge=row["forge"],
        event=row["event"],
        hook=row["hook"],
        key=row["key"],
        received_at=row["received_at"],
        size=row["size"],
        reason=row["reason"] and row["reason"][:LONGEST_TEXT],
        changes=tuple(_change(json.loads(change)) for change in row["changes"]),
    )


def _change(row: dict[str, str]) -> DeliveredChange:
    change = decode_change(row["type"], row["message"])
    return DeliveredChange.model_validate(
        {**row, "ref": change.ref[:LONGEST_TEXT], "commit": change.commit, "found_by": change.found_by},
    )
