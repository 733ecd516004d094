"""The relay: publishes a schema's outbox, and sends again what JetStream may have lost.

PostgreSQL is the truth; JetStream carries, and may lose: where a stream lost its end or is a new one, readers get what they may lack.
"""

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from time import monotonic

import asyncpg
import structlog
from nats.js.api import PubAck
from nats.js.errors import NotFoundError

from shared import bus as bus_module
from shared import inbox, postgres
from shared.bus import Bus, TooLarge
from shared.outbox import Outbox, Row
from shared.postgres import Connection
from shared.telemetry import DEAD, PUBLISHED, UNSENT, UNSENT_AGE

log = structlog.get_logger()

BATCH = 256
AT_ONCE = 64
POLL_S = 0.25
"""How long a message waits that another replica wrote; the local relay is woken at once."""
SYNC_INTERVAL = timedelta(minutes=2)
"""JetStream's default time between syncs to disk: what a power cut may take."""
KEEP = timedelta(days=30)
REMEMBER_S = 60.0
"""How long a round of the relay is: at its end it notes how far each stream has come."""
LOST_ROUNDS = 4
"""Two sync intervals."""
MEASURE_S = 2.0
ANSWER_S = 30.0
"""How long a statement may take: a server that vanished without a word would keep the relay waiting, and its lock with it."""
CLOSE_S = 2.0
"""How long its connection may take to end: asyncpg waits for a statement that is broken off, whatever its own limit."""
SLICE = 10_000
"""How many rows a statement is about, however many there are: one that takes longer than it may would never come to its end."""
LAST = 2**63 - 1

_UNSENT = "SELECT position, stream, subject, headers, body FROM outbox WHERE sent_at IS NULL ORDER BY position LIMIT $1"
_WAITING = "SELECT count(*) AS count, coalesce(extract(epoch FROM now() - min(created_at)), 0) AS age FROM outbox WHERE sent_at IS NULL"
_SENT = "UPDATE outbox SET sent_at = now(), sent_round = $2 WHERE position = ANY($1::bigint[])"
_AGAIN = "UPDATE outbox SET sent_at = NULL WHERE position >= $2 AND position < $3 AND stream = $1 AND sent_at IS NOT NULL"
_AGAIN_ALL = f"{_AGAIN} AND (open OR stream NOT IN ('COMMANDS', 'CHANGES'))"
_AGAIN_SINCE = f"{_AGAIN_ALL} AND (open OR sent_round >= $4 OR sent_round IS NULL AND sent_at >= $5)"
_REMEMBER = """
INSERT INTO outbox_streams (name, created, sequence, round) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET created = EXCLUDED.created, sequence = EXCLUDED.sequence, round = EXCLUDED.round, seen_at = now()
"""
_PRUNE = """
DELETE FROM outbox WHERE position IN (
    SELECT position FROM outbox WHERE created_at < now() - $1::interval AND sent_at IS NOT NULL AND NOT open LIMIT $2)
"""


async def measure(pool: postgres.Pool, schema: str) -> None:
    """Sets the gauges of what waits in a schema's outbox, to NaN where the database does not say."""
    count = age = math.nan
    with suppress(*postgres.UNAVAILABLE):
        row = await pool.fetchrow(_WAITING, timeout=MEASURE_S)
        if row is not None:
            count, age = row["count"], row["age"]
    UNSENT.labels(schema).set(count)
    UNSENT_AGE.labels(schema).set(age)


class Relay:
    """Publishes the outbox of one schema. One at a time in all replicas (advisory lock on a connection of its own).

    After a reconnect, and where a stream's sequence went backwards, open messages and those sent
    since two sync intervals before are sent again; where the stream is a new one, open ones and all events that are kept.
    The intervals are counted in rounds of this process's steady clock: no clock that is set makes it miss any.
    """

    def __init__(self, bus: Bus, dsn: str, schema: str, outbox: Outbox) -> None:
        self._bus = bus
        self._dsn = dsn
        self._schema = schema
        self._outbox = outbox
        self._seen: dict[str, tuple[datetime, int]] = {}
        self._check = True
        self._forgets = False
        self._round = 0
        self._look_at = self._remember_at = 0.0
        bus.on_reconnect(self._look_again)

    async def run(self) -> None:
        """Publishes for ever; pauses with backoff while the bus or the database is away."""
        pause = 0.1
        while True:
            try:
                await self._hold_and_publish()
                pause = 0.1
            except (*postgres.UNAVAILABLE, *bus_module.UNAVAILABLE) as error:
                log.warning("relay paused", schema=self._schema, error=str(error) or type(error).__name__, seconds=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)

    async def _look_again(self) -> None:
        self._check = True
        self._outbox.wake()

    async def _hold_and_publish(self) -> None:
        connection = await asyncpg.connect(
            self._dsn,
            command_timeout=ANSWER_S,
            server_settings={
                "search_path": self._schema,
                "application_name": f"slipway-{self._schema}-relay",
                "synchronous_commit": "off",  # what a crash forgets to have been sent is sent again, under the same id
            },
        )
        try:
            lock = f"slipway:relay:{self._schema}"
            while not await connection.fetchval("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", lock):
                await asyncio.sleep(1)
            self._check, self._look_at = True, 0.0
            while True:
                await self._publish_waiting(connection)
                if monotonic() >= self._remember_at:
                    await self._remember(connection)
                if self._forgets:
                    await self._forget(connection)
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._outbox.written.wait()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await connection.close()

    async def _publish_waiting(self, connection: Connection) -> None:
        """Publishes until nothing is left unsent."""
        while True:
            self._outbox.written.clear()
            if self._check:
                await self._send_again_what_was_lost(connection)
                self._check, self._look_at = False, 0.0
            rows = await self._waiting(connection)
            if not rows:
                return
            await self._publish(connection, rows)

    async def _waiting(self, connection: Connection) -> list[Row]:
        """What was handed over in memory; from time to time, and where more was written than that, what the table has."""
        handed, more = self._outbox.handed()
        if not more and monotonic() < self._look_at:
            return handed
        rows = [_row(record) for record in await connection.fetch(_UNSENT, BATCH)]  # those that were handed over among them
        self._look_at = 0.0 if len(rows) == BATCH else monotonic() + POLL_S
        return rows

    async def _publish(self, connection: Connection, rows: Sequence[Row]) -> None:
        failure: Exception | None = None
        sent: list[int] = []
        for start in range(0, len(rows), AT_ONCE):
            some, before = rows[start : start + AT_ONCE], dict(self._seen)
            words = await self._bus.publish_many([(row.subject, row.body, row.headers) for row in some])
            for row, word in zip(some, words, strict=True):
                if isinstance(word, TooLarge):  # it counts as sent: what cannot be sent must not keep the rest from being sent
                    await self._bury(row, word)
                elif isinstance(word, Exception):
                    failure = failure or word
                    continue
                else:
                    self._note(row, word, before)
                sent.append(row.position)
            if failure:
                break
        if sent:
            await connection.execute(_SENT, sent, self._round)
        if failure:
            raise failure

    def _note(self, row: Row, ack: PubAck | None, before: Mapping[str, tuple[datetime, int]]) -> None:
        """What its acknowledgement tells of the stream."""
        PUBLISHED.labels(self._schema, row.stream).inc()
        if row.stream not in before:
            self._check = True  # its first message: note where it stands
            return
        if ack is None or ack.duplicate:
            return
        created, sequence = before[row.stream]
        if ack.seq <= sequence:
            self._check = True  # the stream lost its end
        self._seen[row.stream] = (created, max(ack.seq, self._seen[row.stream][1]))

    async def _bury(self, row: Row, error: TooLarge) -> None:
        durable, kind = f"{self._schema}-outbox", type(error).__name__
        letter = {"slipway-subject": row.subject, "slipway-error": kind, "slipway-reason": str(error)}
        await self._bus.publish_raw(f"slipway.dead.{self._bus.user}", b"", row.headers | letter)
        DEAD.labels(durable).inc()
        log.error("dead letter", durable=durable, subject=row.subject, error=kind, reason=str(error))

    async def _remember(self, connection: Connection) -> None:
        """Notes that all is well until now, so that a later loss is told from what was safe before."""
        if not self._bus.connected:
            return
        for name, (created, sequence) in self._seen.items():
            await connection.execute(_REMEMBER, name, created, sequence, self._round)
        self._round += 1
        self._remember_at = monotonic() + REMEMBER_S
        self._forgets = True

    async def _forget(self, connection: Connection) -> None:
        """Deletes some of what is old; the rest when what waits was published."""
        outbox_has_more = await connection.execute(_PRUNE, KEEP, SLICE) == f"DELETE {SLICE}"
        inbox_has_more = await inbox.prune(connection, SLICE)
        self._forgets = outbox_has_more or inbox_has_more

    async def _send_again_what_was_lost(self, connection: Connection) -> None:
        rows = await connection.fetch("SELECT name, created, sequence, round, seen_at FROM outbox_streams")
        known = {row["name"]: row for row in rows}
        self._round = max(self._round, *(row["round"] + 1 for row in rows), 1)
        slices = await _slices(connection)
        names = set[str]()
        for start, end in slices:
            found = await connection.fetch("SELECT DISTINCT stream FROM outbox WHERE position >= $1 AND position < $2", start, end)
            names |= {row["stream"] for row in found}
        for name in sorted(names):
            try:
                info = await self._bus.js.stream_info(name)
            except NotFoundError as error:
                raise OSError(f"stream {name} does not exist") from error
            created, sequence = _as_datetime(info.created), info.state.last_seq
            await self._reset(connection, slices, name, known.get(name), created)
            await connection.execute(_REMEMBER, name, created, sequence, self._round)
            self._seen[name] = (created, sequence)

    async def _reset(
        self, connection: Connection, slices: Sequence[tuple[int, int]], name: str, before: asyncpg.Record | None, created: datetime
    ) -> None:
        """Where nothing was noted yet, its first messages may have been lost before that: they are sent once more.

        Cut short, it begins again: what is noted of the stream is written after it.
        """
        query, since = _AGAIN_ALL, tuple[object, ...]()
        if before is not None and created == before["created"]:
            query, since = _AGAIN_SINCE, (before["round"] - LOST_ROUNDS, before["seen_at"] - 2 * SYNC_INTERVAL)
        elif before is not None:
            log.warning("stream is a new one, events are sent again", stream=name)
        for start, end in slices:
            await connection.execute(query, name, start, end, *since)


async def _slices(connection: Connection) -> list[tuple[int, int]]:
    """The positions of all rows, some at a time: each from, and before."""
    slices, start = list[tuple[int, int]](), 0
    while True:
        end = await connection.fetchval(
            "SELECT position FROM outbox WHERE position >= $1 ORDER BY position OFFSET $2 LIMIT 1", start, SLICE
        )
        if end is None:
            return [*slices, (start, LAST)]
        slices.append((start, end))
        start = end


def _row(record: asyncpg.Record) -> Row:
    return Row(record["position"], record["stream"], record["subject"], json.loads(record["headers"]), record["body"].encode())


def _as_datetime(value: datetime | str | None) -> datetime:
    if isinstance(value, datetime):
        return value
    if value is None:
        raise OSError("the stream has no creation time")
    return datetime.fromisoformat(value.replace("Z", "+00:00")[:26] + "+00:00")
