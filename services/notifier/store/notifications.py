"""SQL on what is to be told: stored once, claimed by one replica at a time, ended with a record of its attempts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.notifier.matching import Listener
from shared.consumer import Received
from shared.contracts.cdevents import OutsideEvent
from shared.contracts.events import Event
from shared.messages import new_id
from shared.postgres import Connection, Pool

LEASE = timedelta(seconds=90)
"""A replica that died while sending keeps its notification this long; half of it is longer than any attempt takes."""
AT_ONCE = 32
"""What one replica sends at a time."""
AT_ONCE_OF_ORGANIZATION = 16
"""What is under way for one organization, in all replicas: however many slow receivers it has, others are told."""
AT_ONCE_OF_CHANNEL = 2
"""What is under way for one channel, in all replicas."""


@dataclass(frozen=True)
class New:
    """Something to be told."""

    id: str
    organization: str
    channel: str
    event_id: str
    event: str
    source: str
    lane: str
    sequence: int
    traceparent: str
    provider: str
    """Who tells it, where that is not the one of the channel's kind."""
    outside: str
    """The CDEvent that is told, where it is not the event itself."""

    @classmethod
    def of(
        cls,
        item: Received[Event],
        channel: Listener,
        *,
        lane: str = "",
        sequence: int = 0,
        provider: str = "",
        outside: OutsideEvent | None = None,
    ) -> "New":
        """What an event is to tell a channel; without a lane nothing waits for it, nor it for anything."""
        identity = new_id()
        return cls(
            id=identity,
            organization=channel.organization,
            channel=channel.name,
            event_id=outside.id if outside else item.message.id,
            event=item.message.encode().decode(),
            source=item.headers.get("ce-source", "slipway/unknown").removeprefix("slipway/"),
            lane=lane or identity,
            sequence=sequence,
            traceparent=item.headers.get("traceparent", ""),
            provider=provider,
            outside=outside.encode().decode() if outside else "",
        )


@dataclass(frozen=True)
class Claimed:
    """Something that this replica is to tell now."""

    id: str
    organization: str
    channel: str
    event_id: str
    """Of what is told: the event, or the CDEvent."""
    event: str
    source: str
    lane: str
    sequence: int
    traceparent: str
    provider: str
    outside: str
    attempts: int
    """How many there have been."""
    created_at: datetime


@dataclass(frozen=True)
class Attempt:
    """One attempt, ended."""

    number: int
    seconds: float
    delivered: bool
    status: int | None
    error: str
    next_at: datetime | None


_ADD = """
INSERT INTO notifications (id, organization, channel, event_id, event, source, lane, sequence, traceparent, provider, outside)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
    $9::text[], $10::text[], $11::text[])
ON CONFLICT (organization, channel, event_id, provider) DO NOTHING
"""
_CLAIM_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('slipway:notifier:claim', 0))"
_CLAIM = """
WITH under_way AS MATERIALIZED (
    SELECT organization, channel, count(*) AS count FROM notifications
    WHERE state = 'pending' AND leased_until > now() + $2::interval / 2 -- one that is older is a dead replica's
    GROUP BY organization, channel
), due AS (
    SELECT mine.id, channels.organization, mine.due_at,
        COALESCE(under_way.count, 0) + row_number() OVER (PARTITION BY channels.organization, channels.name ORDER BY mine.due_at) AS turn
    FROM channels
    LEFT JOIN under_way ON (under_way.organization, under_way.channel) = (channels.organization, channels.name)
    CROSS JOIN LATERAL (
        SELECT id, due_at FROM notifications AS mine
        WHERE (mine.organization, mine.channel) = (channels.organization, channels.name)
          AND mine.state = 'pending' AND mine.due_at <= now()
          AND (mine.leased_until IS NULL OR mine.leased_until < now())
          AND (mine.provider <> 'comment' OR channels.comments_rest_until IS NULL OR channels.comments_rest_until <= now())
          AND NOT EXISTS (
              SELECT FROM notifications AS other
              WHERE other.lane = mine.lane AND other.state = 'pending' AND other.id <> mine.id
                AND (other.sequence > mine.sequence OR other.leased_until >= now())
          )
        ORDER BY mine.due_at LIMIT GREATEST($3 - COALESCE(under_way.count, 0), 0)
    ) AS mine
    WHERE channels.gone_at IS NULL AND (channels.hold_until IS NULL OR channels.hold_until <= now())
), shared AS (
    SELECT id, due_at, turn, row_number() OVER (PARTITION BY organization ORDER BY turn, due_at)
        + (SELECT COALESCE(sum(count), 0) FROM under_way WHERE under_way.organization = due.organization) AS share
    FROM due
)
UPDATE notifications SET leased_until = now() + $2::interval
WHERE id IN (
    SELECT id FROM notifications
    WHERE id = ANY(ARRAY(SELECT id FROM shared WHERE share <= $4 ORDER BY turn, due_at LIMIT $1)) AND state = 'pending'
    FOR UPDATE SKIP LOCKED
)
RETURNING id, organization, channel, event_id, event, source, lane, sequence, traceparent, provider, outside, attempts, created_at
"""
_NEXT = """
SELECT extract(epoch FROM min(at) - now())::double precision
FROM (
    SELECT GREATEST(first.due_at, hold_until) AS at FROM channels CROSS JOIN LATERAL (
        SELECT due_at FROM notifications AS mine
        WHERE (mine.organization, mine.channel) = (channels.organization, channels.name)
          AND state = 'pending' AND due_at > now() - interval '1 second' AND (leased_until IS NULL OR leased_until < now())
        ORDER BY due_at LIMIT 1
    ) AS first
    UNION ALL SELECT hold_until FROM channels
    UNION ALL SELECT comments_rest_until FROM channels
) AS waiting
WHERE at > now() - interval '1 second'
"""
_ATTEMPT = """
INSERT INTO attempts (notification, number, seconds, delivered, status, error, next_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_LATER = "UPDATE notifications SET attempts = $2, due_at = $3, leased_until = NULL WHERE id = $1"
_OLDER_LATER = """
UPDATE notifications SET due_at = $3 WHERE lane = $1 AND sequence < $2 AND state = 'pending' AND due_at < $3
"""
_END = "UPDATE notifications SET state = $2, attempts = $3, ended_at = now(), leased_until = NULL WHERE id = $1"
_SKIP_OLDER = """
UPDATE notifications SET state = 'skipped', ended_at = now() WHERE lane = $1 AND sequence < $2 AND state = 'pending'
"""


async def add(connection: Connection, new: Sequence[New]) -> None:
    """Once for each channel, event and provider, however often it is asked."""
    if new:
        columns = [[getattr(each, name) for each in new] for name in New.__dataclass_fields__]
        await connection.execute(_ADD, *columns)


async def claim(pool: Pool, limit: int) -> list[Claimed]:
    """What is due, leased to the caller: the first of each channel before the second of any, so that a slow receiver takes few turns.

    Of a lane one at a time, the newest first: it may make the older ones pointless.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(_CLAIM_LOCK)
        return [Claimed(**row) for row in await connection.fetch(_CLAIM, limit, LEASE, AT_ONCE_OF_CHANNEL, AT_ONCE_OF_ORGANIZATION)]


async def seconds_until_next(pool: Pool) -> float | None:
    """When something gets due; None where nothing does. What is due for long waits for another of its lane, not for the clock."""
    found: float | None = await pool.fetchval(_NEXT)
    return found


async def record(connection: Connection, claimed: Claimed, attempt: Attempt) -> None:
    """Keeps an attempt."""
    await connection.execute(
        _ATTEMPT,
        claimed.id,
        attempt.number,
        attempt.seconds,
        attempt.delivered,
        attempt.status,
        attempt.error,
        attempt.next_at,
    )


async def later(connection: Connection, claimed: Claimed, attempts: int, due_at: datetime) -> None:
    """It is tried again then. What is older on its lane waits for it anyway, and is not looked at until then."""
    await connection.execute(_LATER, claimed.id, attempts, due_at)
    await connection.execute(_OLDER_LATER, claimed.lane, claimed.sequence, due_at)


async def end(connection: Connection, claimed: Claimed, state: str, attempts: int) -> None:
    """It is not tried again."""
    await connection.execute(_END, claimed.id, state, attempts)


async def skip_older(connection: Connection, lane: str, sequence: int) -> None:
    """What was told makes what came before it pointless."""
    await connection.execute(_SKIP_OLDER, lane, sequence)
