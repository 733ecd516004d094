"""Log lines of steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.api.store.places import Reads
from shared.contracts.logs import LogLines
from shared.postgres import Connection

MOST_LINES = 50_000
"""Of one attempt; what comes after is not kept."""
LONGEST_LINE = 8_192
"""Characters of a line that are kept."""

_IN_ORDER = "SELECT pg_advisory_xact_lock(hashtextextended('slipway:api:logs', 0))"
_ADD = """
INSERT INTO log_lines (deployment, step, direction, attempt, number, time, text)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::int[], $6::timestamptz[], $7::text[])
ON CONFLICT DO NOTHING
"""
_LIST = """
SELECT position, step, direction, attempt, number, time, text FROM log_lines
WHERE deployment = $1 AND ($2 = '' OR step = $2) AND position > $3 ORDER BY position LIMIT $4
"""
_TAIL = """
SELECT * FROM (
    SELECT position, step, direction, attempt, number, time, text FROM log_lines
    WHERE deployment = $1 AND ($2 = '' OR step = $2) ORDER BY position DESC LIMIT $3
) tail ORDER BY position
"""
_PRUNE = "DELETE FROM log_lines WHERE time < now() - make_interval(days => $1)"


@dataclass(frozen=True)
class LogLine:
    """One line of what a step's program prints."""

    position: int
    step: str
    direction: str
    attempt: int
    number: int
    time: datetime
    text: str


async def add(connection: Connection, batches: Sequence[LogLines]) -> None:
    """Stores lines; those that are there already, and those past the limit, are dropped."""
    rows = [
        (
            batch.deployment,
            batch.step,
            str(batch.direction),
            batch.attempt,
            batch.first + place,
            batch.time,
            text.replace("\x00", "\ufffd")[:LONGEST_LINE],
        )
        for batch in batches
        if batch.deployment and batch.step
        for place, text in enumerate(batch.lines)
        if batch.first + place <= MOST_LINES
    ]
    if rows:
        await connection.execute(_IN_ORDER)
        await connection.execute(_ADD, *(list(column) for column in zip(*rows, strict=True)))


async def find(reads: Reads, deployment: str, step: str, after: int, limit: int) -> Sequence[LogLine]:
    """A deployment's lines (of one step where it is not empty) in the order in which they came."""
    return [LogLine(**row) for row in await reads.fetch(_LIST, deployment, step, after, limit)]


async def tail(reads: Reads, deployment: str, step: str, limit: int) -> Sequence[LogLine]:
    """The last lines."""
    return [LogLine(**row) for row in await reads.fetch(_TAIL, deployment, step, limit)]


async def prune(connection: Connection, days: int) -> None:
    """Forgets old lines."""
    await connection.execute(_PRUNE, days)
