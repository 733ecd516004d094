"""Sagas, which are locked before they are read; the clock is the database's."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import structlog
from pydantic import ValidationError

from services.coordinator.inputs import CloseCommands
from services.coordinator.saga import PROGRESS, Saga, Want
from shared.messages import UnknownType
from shared.postgres import Connection, Pool

log = structlog.get_logger()

_APART = {"origin", "inspected", "builds", "plan"}
"""Parts that hardly change: columns of their own, written only when they did."""
_COLUMNS = "id, origin::text, inspected::text, builds::text, plan::text, progress::text"
_LOCK = f"SELECT {_COLUMNS}, clock_timestamp() AS clock FROM deployments WHERE id = ANY($1) ORDER BY id FOR UPDATE"  # noqa: S608
_LOCK_DUE = f"""
SELECT {_COLUMNS}, clock_timestamp() AS clock FROM deployments
WHERE wake_at <= clock_timestamp() ORDER BY wake_at LIMIT $1 FOR UPDATE SKIP LOCKED
"""  # noqa: S608
_INSERT = """
INSERT INTO deployments (id, organization, project, environment, arrival, origin, state, progress)
VALUES ($1, $2, $3, $4, $5, $6, $7, '{}')
"""
_UPDATE = """
UPDATE deployments d SET state = n.state, holds = n.holds, authorised = n.authorised, wants = n.wants, wake_at = n.wake_at,
    failures = CASE WHEN d.wants IS DISTINCT FROM n.wants THEN 0 ELSE d.failures END,
    progress = n.progress, changed_at = clock_timestamp()
FROM unnest($1::text[], $2::text[], $3::bool[], $4::bool[], $5::text[], $6::timestamptz[], $7::jsonb[])
    AS n (id, state, holds, authorised, wants, wake_at, progress)
WHERE d.id = n.id
"""
_UPDATE_APART = "UPDATE deployments SET inspected = $2, builds = $3, plan = $4 WHERE id = $1"
_PUT_OFF = "UPDATE deployments SET put_off_until = clock_timestamp() + $2, failures = failures + 1 WHERE id = $1 RETURNING failures"
_POSTPONE = "UPDATE deployments SET put_off_until = clock_timestamp() + $2, wake_at = clock_timestamp() + $2 WHERE id = $1"
_PUT_OFF_LATELY = "SELECT count(*) FROM deployments WHERE put_off_until > clock_timestamp() - $1::interval"
_CLOSE = "UPDATE outbox SET open = false, sent_at = coalesce(sent_at, now()) WHERE id = ANY($1) AND open"
_LIVE = """
SELECT state, count(*) AS count FROM deployments WHERE state IN ('authorizing', 'waiting', 'building', 'queued') AND NOT holds GROUP BY state
UNION ALL
SELECT state, count(*) AS count FROM deployments WHERE holds GROUP BY state
"""
_WAITING_FOR = """
SELECT id FROM deployments d WHERE wants = $1 AND coalesce(put_off_until <= clock_timestamp(), true) AND (wants <> 'environment'
    OR NOT EXISTS (SELECT 1 FROM deployments h WHERE h.holds
        AND (h.organization, h.project, h.environment) = (d.organization, d.project, d.environment))
    OR EXISTS (SELECT 1 FROM deployments o WHERE o.wants = d.wants AND o.id <> d.id
        AND (o.organization, o.project, o.environment) = (d.organization, d.project, d.environment)))
ORDER BY arrival DESC LIMIT $2
"""


@dataclass(frozen=True)
class Loaded:
    """A locked saga as it was read."""

    saga: Saga
    clock: datetime


def _load(row: asyncpg.Record) -> Loaded:
    parts = ",".join(f'"{name}":{row[name] or "null"}' for name in sorted(_APART))
    return Loaded(PROGRESS.validate_json(f"{{{parts},{row['progress'][1:]}"), row["clock"])


async def lock(connection: Connection, ids: Iterable[str]) -> dict[str, Loaded]:
    """Locks and reads deployments, in one order so that two transactions never wait for each other.

    Raises `UnknownType` where one cannot be read: a newer replica may have written it.
    """
    loaded, unreadable = _readable(await connection.fetch(_LOCK, sorted(set(ids))))
    if unreadable:
        raise UnknownType(f"cannot be read by this version: {', '.join(unreadable)}")
    return {one.saga.id: one for one in loaded}


async def lock_readable(connection: Connection, ids: Iterable[str]) -> list[Loaded]:
    """As `lock`, without those that cannot be read."""
    return _readable(await connection.fetch(_LOCK, sorted(set(ids))))[0]


async def lock_due(connection: Connection, limit: int) -> tuple[list[Loaded], list[str]]:
    """Locks and reads deployments whose timer has fired, besides those that somebody else is at; and names those that cannot be read."""
    return _readable(await connection.fetch(_LOCK_DUE, limit))


def _readable(rows: Sequence[asyncpg.Record]) -> tuple[list[Loaded], list[str]]:
    loaded, unreadable = [], []
    for row in rows:
        try:
            loaded.append(_load(row))
        except ValidationError as error:
            log.error("deployment cannot be read", deployment=row["id"], error=str(error))
            unreadable.append(row["id"])
    return loaded, unreadable


async def put_off(connection: Connection, deployment: str, delay: timedelta) -> int:
    """The driver leaves a deployment alone for so long; how often it had to for what the deployment wants."""
    return await connection.fetchval(_PUT_OFF, deployment, delay) or 0


async def postpone(connection: Connection, deployment: str, delay: timedelta) -> None:
    """Fires a deployment's timer later than it asked for, and the driver leaves it alone until then."""
    await connection.execute(_POSTPONE, deployment, delay)


async def put_off_lately(pool: Pool, lately: timedelta, timeout_s: float) -> int:
    """How many deployments are put off, or were until lately."""
    count: int = await pool.fetchval(_PUT_OFF_LATELY, lately, timeout=timeout_s)
    return count


async def read(connection: Connection, deployment: str) -> Saga | None:
    """A saga as it is now, without locking it: to prepare what is fed to it under the lock."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS}, clock_timestamp() AS clock FROM deployments WHERE id = $1", deployment)  # noqa: S608
    return None if row is None else _load(row).saga


async def clock(connection: Connection) -> datetime:
    """The database's clock."""
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return now


async def insert(connection: Connection, saga: Saga) -> None:
    """A new deployment; `save` writes the rest."""
    place = saga.origin.place
    origin = PROGRESS.dump_python(saga, mode="json", include={"origin"})["origin"]
    await connection.execute(
        _INSERT, saga.id, place.organization, place.project, place.environment, saga.origin.arrival, json.dumps(origin), saga.state
    )


async def save(connection: Connection, moved: Sequence[tuple[Saga, Saga]], silence: timedelta) -> None:
    """Writes sagas (before, after) that are locked by this transaction."""
    after = [saga for _, saga in moved]
    await connection.execute(
        _UPDATE,
        [saga.id for saga in after],
        [saga.state for saga in after],
        [saga.holds for saga in after],
        [saga.authorised for saga in after],
        [saga.wants for saga in after],
        [None if saga.state.final else saga.wake_at(silence) for saga in after],
        [PROGRESS.dump_json(saga, exclude=_APART).decode() for saga in after],
    )
    for before, saga in moved:
        if saga.inspected is not before.inspected or saga.builds is not before.builds or saga.plan is not before.plan:
            await connection.execute(
                _UPDATE_APART,
                saga.id,
                saga.inspected and saga.inspected.model_dump_json(),
                json.dumps({name: built.model_dump(mode="json") for name, built in saga.builds.items()}),
                saga.plan and saga.plan.model_dump_json(),
            )


async def close_commands(connection: Connection, closed: Iterable[CloseCommands]) -> None:
    """Answered commands are not sent again, nor those that were given up before the relay came to them."""
    ids = [name for one in closed for name in one.ids]
    if ids:
        await connection.execute(_CLOSE, ids)


async def waiting_for(connection: Connection, want: Want, limit: int = 50) -> list[str]:
    """Deployments that need something which the driver can give now, the newest first, but for those that are put off.

    One that waits for an environment which is held is none of them, so that many of those keep no other from its turn;
    only where several wait for the same one is there something to do: the older ones end.
    """
    rows = await connection.fetch(_WAITING_FOR, want, limit)
    return [row["id"] for row in rows]


async def live(pool: Pool, timeout_s: float) -> dict[str, int]:
    """How many deployments are in each state that is not final."""
    return {row["state"]: row["count"] for row in await pool.fetch(_LIVE, timeout=timeout_s)}


async def next_arrival(connection: Connection) -> int:
    """A number for a deployment: larger is newer."""
    number: int = await connection.fetchval("SELECT nextval('arrivals')")
    return number
