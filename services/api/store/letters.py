"""Letters that could not be delivered, and what became of them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from services.api.store.places import Reads
from shared import letters
from shared.postgres import Connection
from shared.topology import is_again

TOLD_EVERY = timedelta(minutes=10)
"""People are told of a reader's letters at most so often: a defect may make thousands."""

_ADD = """
INSERT INTO dead_letters (fingerprint, service, durable, subject, reason, headers, body, burial)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (fingerprint) DO UPDATE SET times = dead_letters.times + 1, reason = excluded.reason, headers = excluded.headers,
    burial = excluded.burial, last_at = now(), state = CASE dead_letters.state WHEN 'dropped' THEN 'dropped' ELSE 'dead' END
WHERE dead_letters.burial <> excluded.burial
RETURNING position, state, times
"""
_TO_BE_TOLD = """
UPDATE dead_letters SET told_at = now() WHERE position = $1
AND NOT EXISTS (SELECT FROM dead_letters told WHERE told.durable = $2 AND told.told_at > now() - $3::interval)
"""
_COLUMNS = """
position, service, durable, subject, reason, headers::text, body, received_at, state, times, retries, last_at, decided_by, decided_at
"""
_LIST = f"SELECT {_COLUMNS} FROM dead_letters WHERE position > $1 AND ($2 = '' OR state = $2) ORDER BY position LIMIT $3"  # noqa: S608
_GET = f"SELECT {_COLUMNS} FROM dead_letters WHERE position = $1"  # noqa: S608
_DECIDED = """
UPDATE dead_letters SET state = $2, decided_by = $3, decided_at = now(), retries = retries + CASE $2 WHEN 'retried' THEN 1 ELSE 0 END
WHERE position = $1
"""
_WAITING = "SELECT count(*) FROM dead_letters WHERE state = 'dead'"


@dataclass(frozen=True)
class Letter:
    """A message that a service gave up. `headers` and `body` are as they came, and may hold what nobody is to see."""

    position: int
    service: str
    durable: str
    subject: str
    reason: str
    headers: Mapping[str, str]
    body: str
    received_at: datetime
    state: str
    """`dead`: waits for a person. `retried`: sent again, and not given up again since. `dropped`: a person gave it up, too."""
    times: int
    retries: int
    last_at: datetime
    decided_by: str | None
    decided_at: datetime | None

    @property
    def obstacle(self) -> str:
        """Why its message cannot be sent again; empty where it can."""
        if letters.DURABLE not in self.headers:
            return "it was too large for the bus and was never sent"
        if letters.SEAL not in self.headers:
            return "it was given up by an older version of Slipway, which did not seal what it gave up"
        if is_again(self.subject):
            return "it is no message that this service gave up"
        if "\ufffd" in self.body:
            return "its body is no text, which no version can read"
        return ""


@dataclass(frozen=True)
class Kept:
    """What a letter was kept as."""

    position: int
    state: str
    times: int


async def add(connection: Connection, service: str, headers: Mapping[str, str], body: str) -> Kept | None:
    """Keeps a letter; None where this very one was kept before. A message that was given up before is the same letter as then."""
    headers = {_storable(name): _storable(value) for name, value in headers.items()}
    durable, subject = headers.get(letters.DURABLE, ""), headers.get(letters.SUBJECT, "")
    reason = ": ".join(part for part in (headers.get(letters.ERROR), headers.get(letters.REASON)) if part)
    message = [service, durable, subject, headers.get("ce-id", ""), body]
    fingerprint = hashlib.sha256("\n".join(message).encode()).hexdigest()
    burial = headers.get("Nats-Msg-Id", fingerprint)
    row = await connection.fetchrow(_ADD, fingerprint, service, durable, subject, reason, json.dumps(headers, sort_keys=True), body, burial)
    return None if row is None else Kept(**row)


async def to_be_told(connection: Connection, position: int, durable: str) -> bool:
    """Whether people should be told of a letter now; notes that they are."""
    return str(await connection.execute(_TO_BE_TOLD, position, durable, TOLD_EVERY)) == "UPDATE 1"


async def find(reads: Reads, state: str, after: int, limit: int) -> Sequence[Letter]:
    """Letters in the order in which they came, those in one state where it is not empty."""
    return [_letter(row) for row in await reads.fetch(_LIST, after, state, limit)]


async def get(reads: Reads, position: int) -> Letter | None:
    """One letter."""
    row = await reads.fetchrow(_GET, position)
    return None if row is None else _letter(row)


async def lock(connection: Connection, position: int) -> Letter | None:
    """One letter, locked."""
    row = await connection.fetchrow(f"{_GET} FOR UPDATE", position)
    return None if row is None else _letter(row)


async def decided(connection: Connection, position: int, state: str, by: str) -> None:
    """A person had it sent again, or dropped it."""
    await connection.execute(_DECIDED, position, state, by)


async def waiting(reads: Reads, timeout_s: float | None = None) -> int:
    """How many wait for a person."""
    return int(await reads.fetchval(_WAITING, timeout=timeout_s))


def _storable(text: str) -> str:
    """PostgreSQL has neither U+0000 nor half characters."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _letter(row: asyncpg.Record) -> Letter:
    return Letter(**dict(row) | {"headers": json.loads(row["headers"])})
