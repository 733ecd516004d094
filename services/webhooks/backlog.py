"""The backlog: deliveries are stored in one statement, and wait there to be judged, in the order that they were stored in."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from services.webhooks.domain import Delivery, Origin
from services.webhooks.requests import BODY_LIMIT
from shared.forges import server_of
from shared.postgres import Connection, Pool

_KEEP = """
WITH kept AS (
    INSERT INTO deliveries (id, connection, hook, key, event, headers, body, reason, owner)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::bytea[], $8::text[], $9::text[])
    ON CONFLICT (connection, event, key) DO NOTHING RETURNING id, connection, reason
), waiting AS (
    INSERT INTO backlog (delivery, connection, trace)
    SELECT id, connection, trace FROM kept JOIN unnest($1::text[], $10::text[]) AS said (id, trace) USING (id)
    WHERE reason IS NULL ORDER BY id
)
SELECT id FROM kept
"""
_FORMER = "SELECT id FROM deliveries WHERE connection = $1 AND event = $2 AND key = $3"
_TAKE = """
DELETE FROM backlog WHERE position = ANY(ARRAY(SELECT position FROM backlog ORDER BY position LIMIT $1 FOR UPDATE))
RETURNING position, delivery, trace, (SELECT last_value FROM backlog_position_seq) AS newest
"""
_SHOW = """
SELECT id, headers, body, name, organization, project, connections.forge, repository, clone_url
FROM deliveries LEFT JOIN connections ON name = connection AND organization || '/' || project = owner
WHERE id = ANY($1::text[]) AND coalesce(length(body), 0) <= $2
"""
_HAS = "SELECT EXISTS (SELECT FROM backlog WHERE connection = $1)"
_SIZE = "SELECT count(*) FROM backlog"
_GIVE_UP = """
WITH gone AS (DELETE FROM backlog WHERE delivery = $1 RETURNING delivery)
UPDATE deliveries SET reason = $2 FROM gone WHERE deliveries.id = gone.delivery
"""

_MEASURE_S = 2.0


@dataclass(frozen=True)
class Waiting:
    """A delivery that waits to be judged, and the span that took it."""

    position: int
    delivery: str
    trace: str


@dataclass(frozen=True)
class Kept:
    """What is read of a stored delivery.

    `origin`: its connection as all replicas have stored it, None where that is gone or another project's now. `body`: None once it is
    forgotten.
    """

    forge: str
    origin: Origin | None
    headers: dict[str, str]
    body: bytes | None


class Backlog:
    """As one transaction or, of a pool, each call for itself."""

    def __init__(self, connection: "Connection | Pool") -> None:
        self._connection = connection

    async def keep(self, deliveries: Sequence[Delivery]) -> list[str]:
        """Stores deliveries; each waits here that leads to changes perhaps. Answers the id under which each is stored."""
        rows = sorted(deliveries, key=lambda delivery: (delivery.origin.connection, delivery.event, delivery.key))  # of all locks
        new = await self._connection.fetch(
            _KEEP,
            [row.id for row in rows],
            [row.origin.connection for row in rows],
            [row.hook for row in rows],
            [row.key for row in rows],
            [row.event for row in rows],
            [json.dumps(row.headers) for row in rows],
            [row.body for row in rows],
            [row.reason or None for row in rows],
            [row.owner for row in rows],
            [row.trace for row in rows],
        )
        ids = {record["id"] for record in new}
        return [delivery.id if delivery.id in ids else await self._former(delivery) for delivery in deliveries]

    async def _former(self, delivery: Delivery) -> str:
        """The delivery that came again."""
        return str(await self._connection.fetchval(_FORMER, delivery.origin.connection, delivery.event, delivery.key))

    async def take(self, most: int) -> tuple[list[Waiting], int]:
        """Takes out those that came first; and about how many came after them, by the numbers that were given.

        Others who want them wait for the end of the transaction, and get what comes after them.
        """
        records = await self._connection.fetch(_TAKE, most)
        rows = [Waiting(record["position"], record["delivery"], record["trace"]) for record in records]
        rows.sort(key=lambda waiting: waiting.position)
        return rows, records[0]["newest"] - rows[-1].position if rows else 0

    async def show(self, deliveries: Sequence[str], most: int = BODY_LIMIT) -> dict[str, Kept]:
        """What is stored of those whose bodies have at most so many bytes."""
        return {record["id"]: _kept(record) for record in await self._connection.fetch(_SHOW, list(deliveries), most)}

    async def has(self, connection: str) -> bool:
        """Whether deliveries of that connection wait here."""
        return bool(await self._connection.fetchval(_HAS, connection))

    async def size(self) -> int:
        """How many wait here."""
        return int(await self._connection.fetchval(_SIZE, timeout=_MEASURE_S))

    async def give_up(self, delivery: str, reason: str) -> None:
        """Takes one out, where it waits here, and keeps with it why it led to nothing."""
        await self._connection.execute(_GIVE_UP, delivery, reason)


def _kept(record: asyncpg.Record) -> Kept:
    origin = None
    if record["name"] is not None:
        origin = Origin(
            organization=record["organization"],
            project=record["project"],
            connection=record["name"],
            forge=server_of(record["forge"], record["clone_url"]),
            repository=record["repository"],
            clone_url=record["clone_url"],
        )
    return Kept(record["forge"] or "", origin, json.loads(record["headers"]), record["body"])
