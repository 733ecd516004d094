"""Answers that may have to be given again."""

import json
from dataclasses import dataclass

from shared.postgres import Connection

_TAKE = "INSERT INTO idempotency (subject, key, fingerprint) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING key"
_GET = "SELECT fingerprint, status, sealed_body, headers FROM idempotency WHERE subject = $1 AND key = $2"
_STORE = "UPDATE idempotency SET status = $3, sealed_body = $4, headers = $5 WHERE subject = $1 AND key = $2"
_PRUNE = "DELETE FROM idempotency WHERE created_at < now() - interval '1 day'"


@dataclass(frozen=True)
class Answer:
    """What was answered to the request with this fingerprint."""

    fingerprint: str
    status: int
    sealed_body: bytes
    headers: dict[str, str]


async def take(connection: Connection, subject: str, key: str, fingerprint: str) -> Answer | None:
    """Takes a key for this transaction; the former answer where it was taken before. Waits for a transaction that holds it."""
    if await connection.fetchval(_TAKE, subject, key, fingerprint):
        return None
    row = await connection.fetchrow(_GET, subject, key)
    assert row is not None
    return Answer(row["fingerprint"], row["status"], row["sealed_body"], json.loads(row["headers"]))


async def store(connection: Connection, subject: str, key: str, status: int, sealed_body: bytes, headers: str) -> None:
    """Keeps the answer."""
    await connection.execute(_STORE, subject, key, status, sealed_body, headers)


async def prune(connection: Connection) -> None:
    """Forgets keys after a day."""
    await connection.execute(_PRUNE)
