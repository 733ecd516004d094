"""Deliveries are kept, what they say is recorded; and all SQL of changes once they are: settled, sent again, forgotten."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.webhooks.backlog import Backlog, Waiting
from services.webhooks.domain import Arrival, Delivery, LastOfRequest, State
from services.webhooks.recording import FIRST_RESEND_S, Recorded, Recording
from shared.contracts.changes import Change, RequestChange, decode_change
from shared.outbox import Outbox, Outgoing, outgoing
from shared.postgres import Connection, Pool

__all__ = ["Judged", "Recorded", "Settlement", "Store"]

LONGEST_RESEND_S = 600.0
FORGET_AT_ONCE = 1000
"""Rows a statement: however much has become old during a standstill, each ends well before its time is up."""

_SETTLE = """
UPDATE changes SET state = said.state, reason = said.reason, deployments = string_to_array(said.deployments, ' '), settled_at = now()
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS said (id, state, reason, deployments)
WHERE changes.id = said.id AND (changes.state = 'pending' OR changes.state = 'ignored' AND said.state = 'taken')
"""
_WRITTEN_LAST = "outbox.id = CASE sends WHEN 1 THEN changes.id ELSE changes.id || '.' || sends END"
"""Of a change the row that was written last. By its id: as quick where many are open."""
_CLOSE = f"UPDATE outbox SET open = false FROM changes WHERE changes.id = ANY($1::text[]) AND {_WRITTEN_LAST}"  # noqa: S608 -- of constants
"""What was written before it was closed with that."""
_DUE = f"""
SELECT id, sends, type, message FROM changes
WHERE state = 'pending' AND send_next_at < now() AND ($1::timestamptz IS NULL OR last_sent_at < $1 - make_interval(secs => $2))
AND NOT EXISTS (
    SELECT FROM outbox
    WHERE {_WRITTEN_LAST} AND (sent_at IS NULL OR sent_at > least(now(), $1::timestamptz) - make_interval(secs => $2))
)
ORDER BY send_next_at LIMIT 100 FOR UPDATE SKIP LOCKED
"""  # noqa: S608 -- of constants
"""`last_sent_at` is when a change was written, its row's `sent_at` when it went out: later, by as long as the bus was away."""
_SENT_AGAIN = """
UPDATE changes SET sends = sends + 1, last_sent_at = now(), send_next_at = now() + make_interval(secs => least($2 * 2 ^ least(sends, 10), $3))
WHERE id = ANY($1::text[])
"""
_KNOWN = "SELECT ref, commit, arrival FROM heads WHERE connection = $1 AND repository = $2 AND change IS NOT NULL"
_KNOWN_REQUESTS = """
SELECT DISTINCT ON (message::json ->> 'number') type, state, message FROM changes
WHERE connection = $1 AND repository = $2 AND type <> 'slipway.ChangePushed.v1'
ORDER BY message::json ->> 'number', arrival DESC
"""
_CHANGES_BY_ID = "SELECT type, message FROM changes WHERE id = ANY($1::text[]) ORDER BY arrival"
_FORGET = """
WITH gone AS (
    {what} WHERE id = ANY(ARRAY(SELECT id FROM {table} WHERE id > $1 AND {old} < now() - make_interval(days => $2) AND {useless} ORDER BY id LIMIT $3))
    RETURNING id
) SELECT CASE count(*) WHEN $3 THEN max(id) END FROM gone
"""
"""Those after an id; the last of them where there may be more. It goes on from there: what is dead already is not read again."""
_FORGET_BODIES = _FORGET.format(what="UPDATE deliveries SET body = NULL", table="deliveries", old="received_at", useless="body IS NOT NULL")
_FORGET_DELIVERIES = _FORGET.format(what="DELETE FROM deliveries", table="deliveries", old="received_at", useless="true")
_FORGET_CHANGES = _FORGET.format(
    what="DELETE FROM changes",
    table="changes",
    old="created_at",
    useless="state <> 'pending' AND NOT EXISTS (SELECT FROM heads WHERE heads.change = changes.id)",
)
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('slipway:arrivals', 0))"
_ADVANCE = """
SELECT setval('arrivals', clock) FROM arrivals, (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS clock) AS says
WHERE last_value < clock - 1000000
"""


@dataclass(frozen=True)
class Settlement:
    """What the coordinator says of a change."""

    change: str
    state: State
    reason: str | None = None
    deployments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judged:
    """What became of some deliveries, and about how many others waited."""

    became: Mapping[str, Recorded]
    left: int


class Store:
    """Deliveries, heads and changes, with the outbox that carries changes to the coordinator."""

    def __init__(self, pool: Pool, outbox: Outbox) -> None:
        self.pool = pool
        self._outbox = outbox

    async def record(self, arrivals: Sequence[Arrival]) -> list[Recorded]:
        """Judges what arrived against the heads, and writes changes and outbox rows: all in one commit."""
        async with self.pool.acquire() as connection, connection.transaction():
            recording = Recording(connection, self._outbox)
            recorded = await recording.run(arrivals)
        self._outbox.wake(recording.sent)
        return recorded

    async def keep(self, deliveries: Sequence[Delivery]) -> list[str]:
        """Stores deliveries, and those that may lead to changes in the backlog, too: all in one commit.

        Answers under which id each is stored: another than its own where it was stored before.
        """
        return await Backlog(self.pool).keep(deliveries)

    async def judge(self, most: int, read: Callable[[Backlog, Sequence[Waiting]], Awaitable[Sequence[Arrival]]]) -> Judged:
        """Takes so many deliveries out of the backlog and records what `read` says of them, in one commit."""
        async with self.pool.acquire() as connection, connection.transaction():
            backlog = Backlog(connection)
            waiting, left = await backlog.take(most)
            if not waiting:
                return Judged({}, left)
            recording = Recording(connection, self._outbox)
            recorded = await recording.run(await read(backlog, waiting))
        self._outbox.wake(recording.sent)
        return Judged({one.delivery: became for one, became in zip(waiting, recorded, strict=True)}, left)

    async def give_up(self, delivery: str, reason: str) -> None:
        """Takes a delivery out of the backlog, where it is still in it: it is kept with the reason why it led to nothing."""
        await Backlog(self.pool).give_up(delivery, reason)

    async def backlog(self) -> int:
        """How many deliveries are stored and not judged yet."""
        return await Backlog(self.pool).size()

    async def waits(self, connection: str) -> bool:
        """Whether deliveries of that connection are stored and not judged yet: what looks as if nobody told it may be among them."""
        return await Backlog(self.pool).has(connection)

    async def settle(self, connection: Connection, settlements: Sequence[Settlement]) -> None:
        """Marks changes as taken or ignored, and closes their outbox rows: they are not sent again.

        What was said first stands, but for one that was taken after all.
        """
        await connection.execute(
            _SETTLE,
            [said.change for said in settlements],
            [str(said.state) for said in settlements],
            [said.reason for said in settlements],
            [" ".join(said.deployments) for said in settlements],
        )
        await connection.execute(_CLOSE, [said.change for said in settlements])

    async def send_again(self, waiting_since: datetime | None = None) -> int:
        """Writes outbox rows for pending changes whose time has come, each under a fresh message id; answers how many.

        Not of those that were not sent yet, or just now; nor of those that may be waiting in their stream, whose oldest message came
        at `waiting_since`: a change is there a moment after it was sent.
        """
        async with self.pool.acquire() as connection, connection.transaction():
            due = await connection.fetch(_DUE, waiting_since, FIRST_RESEND_S)
            if not due:
                return 0
            ids = [row["id"] for row in due]
            await connection.execute(_CLOSE, ids)
            again = [_again(decode_change(row["type"], row["message"]), row["sends"] + 1) for row in due]
            await self._outbox.add(connection, again)
            await connection.execute(_SENT_AGAIN, ids, FIRST_RESEND_S, LONGEST_RESEND_S)
        self._outbox.wake()
        return len(due)

    async def changes(self, ids: Sequence[str]) -> list[Change]:
        """The changes of these ids."""
        return [decode_change(row["type"], row["message"]) for row in await self.pool.fetch(_CHANGES_BY_ID, list(ids))] if ids else []

    async def known_heads(self, connection: str, repository: str) -> dict[str, tuple[str, int]]:
        """Commit and arrival number of the last change known, by ref."""
        rows = await self.pool.fetch(_KNOWN, connection, repository)
        return {row["ref"]: (row["commit"], row["arrival"]) for row in rows}

    async def known_requests(self, connection: str, repository: str) -> dict[str, LastOfRequest]:
        """The last change known of each change request, by number."""
        last = {}
        for row in await self.pool.fetch(_KNOWN_REQUESTS, connection, repository):
            change = decode_change(row["type"], row["message"])
            assert isinstance(change, RequestChange)
            last[change.number] = LastOfRequest(change, State(row["state"]))
        return last

    async def forget(self, bodies_days: int = 14, days: int = 60) -> None:
        """Drops what is too old to be of use, in pieces; heads and pending changes stay."""
        for statement, age in ((_FORGET_BODIES, bodies_days), (_FORGET_DELIVERIES, days), (_FORGET_CHANGES, days)):
            last: str | None = ""
            while last is not None:
                last = await self.pool.fetchval(statement, last, age, FORGET_AT_ONCE)

    async def advance_arrivals(self) -> None:
        """Raises the arrival numbers to the microseconds since 1970, where they are more than a second behind.

        Fewer are given than time passes: those that come are larger than all that were given before, also where the
        database was restored from a backup that does not know these. They never go back, whoever else gives any.
        """
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(_ONE_AT_A_TIME)
            await connection.execute(_ADVANCE)


def _again(change: Change, number: int) -> Outgoing:
    first = outgoing(change)
    return Outgoing(first.stream, first.subject, change, f"{change.id}.{number}", open=True)
