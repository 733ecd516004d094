"""Log lines of steps, and letters that could not be delivered."""

import hashlib
import json
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
_ADD_LETTER = """
INSERT INTO dead_letters (fingerprint, service, subject, reason, headers, body) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
"""
_LETTERS = """
SELECT position, service, subject, reason, headers, body, received_at FROM dead_letters
WHERE position > $1 ORDER BY position LIMIT $2
"""


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


@dataclass(frozen=True)
class DeadLetter:
    """A message that a service gave up, with the reason."""

    position: int
    service: str
    subject: str
    reason: str
    headers: dict[str, str]
    body: str
    received_at: datetime


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


async def add_letter(connection: Connection, service: str, headers: dict[str, str], body: str) -> None:
    """Keeps a dead letter, once."""
    subject = headers.get("slipway-subject", "")
    reason = ": ".join(part for part in (headers.get("slipway-error"), headers.get("slipway-reason")) if part)
    as_json = json.dumps(headers, sort_keys=True)
    fingerprint = hashlib.sha256(f"{service}\n{as_json}\n{body}".encode()).hexdigest()
    await connection.execute(_ADD_LETTER, fingerprint, service, subject, reason, as_json, body)


async def letters(reads: Reads, after: int, limit: int) -> Sequence[DeadLetter]:
    """Dead letters in the order in which they came."""
    rows = await reads.fetch(_LETTERS, after, limit)
    return [DeadLetter(**dict(row) | {"headers": json.loads(row["headers"])}) for row in rows]
