"""All SQL of the coordinator. Sagas are locked before they are read; the clock is the database's."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import structlog
from pydantic import ValidationError

from services.coordinator.inputs import CloseCommands
from services.coordinator.saga import PROGRESS, DeploymentState, Saga, Want
from services.coordinator.snapshot import Record
from shared.contracts.changes import Change, ChangePushed
from shared.contracts.places import Place
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
    progress = n.progress, changed_at = clock_timestamp()
FROM unnest($1::text[], $2::text[], $3::bool[], $4::bool[], $5::text[], $6::timestamptz[], $7::jsonb[])
    AS n (id, state, holds, authorised, wants, wake_at, progress)
WHERE d.id = n.id
"""
_UPDATE_APART = "UPDATE deployments SET inspected = $2, builds = $3, plan = $4 WHERE id = $1"
_CLOSE = "UPDATE outbox SET open = false, sent_at = coalesce(sent_at, now()) WHERE id = ANY($1) AND open"
_ENVIRONMENT = """
INSERT INTO environments (organization, project, environment) VALUES ($1, $2, $3)
ON CONFLICT (organization, project, environment) DO UPDATE SET epoch = environments.epoch
RETURNING epoch, newest_arrival, newest_commit, record::text, deployment
"""
_LIVE = """
SELECT state, count(*) AS count FROM deployments WHERE state IN ('authorizing', 'waiting', 'building', 'queued') AND NOT holds GROUP BY state
UNION ALL
SELECT state, count(*) AS count FROM deployments WHERE holds GROUP BY state
"""


_WAITING_FOR = """
SELECT id FROM deployments d WHERE wants = $1 AND (wants <> 'environment'
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


@dataclass(frozen=True)
class Environment:
    """One environment's row, locked."""

    epoch: int
    newest_arrival: int
    newest_commit: str | None
    record: Record
    deployment: str | None


def _load(row: asyncpg.Record) -> Loaded:
    parts = ",".join(f'"{name}":{row[name] or "null"}' for name in sorted(_APART))
    return Loaded(PROGRESS.validate_json(f"{{{parts},{row['progress'][1:]}"), row["clock"])


async def lock(connection: Connection, ids: Iterable[str]) -> dict[str, Loaded]:
    """Locks and reads deployments, in one order so that two transactions never wait for each other."""
    return {row["id"]: _load(row) for row in await connection.fetch(_LOCK, sorted(set(ids)))}


async def lock_due(connection: Connection, limit: int) -> tuple[list[Loaded], list[str]]:
    """Locks and reads deployments whose timer has fired, besides those that somebody else is at; and names those that cannot be read."""
    loaded, unreadable = [], []
    for row in await connection.fetch(_LOCK_DUE, limit):
        try:
            loaded.append(_load(row))
        except ValidationError as error:
            log.error("deployment cannot be read", deployment=row["id"], error=str(error))
            unreadable.append(row["id"])
    return loaded, unreadable


async def postpone(connection: Connection, deployment: str, delay: timedelta) -> None:
    """Fires a deployment's timer later than it asked for."""
    await connection.execute("UPDATE deployments SET wake_at = clock_timestamp() + $2 WHERE id = $1", deployment, delay)


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


async def environment(connection: Connection, place: Place) -> Environment:
    """Locks an environment's row, making it where it is not there."""
    row = await connection.fetchrow(_ENVIRONMENT, place.organization, place.project, place.environment)
    assert row is not None
    return Environment(
        row["epoch"], row["newest_arrival"], row["newest_commit"], Record.model_validate_json(row["record"]), row["deployment"]
    )


async def newest_commit(connection: Connection, place: Place) -> str | None:
    """The newest authorised commit of an environment. Not locked: whoever is authorised next supersedes the older ones anyway."""
    found: str | None = await connection.fetchval(
        "SELECT newest_commit FROM environments WHERE organization = $1 AND project = $2 AND environment = $3",
        place.organization, place.project, place.environment,
    )  # fmt: skip
    return found


async def set_epoch(connection: Connection, place: Place, epoch: int) -> None:
    """The environment's epoch only grows."""
    await connection.execute(
        "UPDATE environments SET epoch = greatest(epoch, $4) WHERE organization = $1 AND project = $2 AND environment = $3",
        place.organization, place.project, place.environment, epoch,
    )  # fmt: skip


async def set_newest(connection: Connection, place: Place, arrival: int, commit: str | None) -> None:
    """The newest authorised commit of an environment."""
    await environment(connection, place)
    await connection.execute(
        "UPDATE environments SET newest_arrival = $4, newest_commit = $5 "
        "WHERE organization = $1 AND project = $2 AND environment = $3 AND newest_arrival < $4",
        place.organization, place.project, place.environment, arrival, commit,
    )  # fmt: skip


async def set_record(connection: Connection, saga: Saga, record: Record) -> None:
    """What the environment runs from now on, and where a later roll-back can return to."""
    place, text = saga.origin.place, record.model_dump_json()
    await connection.execute(
        "UPDATE environments SET record = $4, deployment = $5 WHERE organization = $1 AND project = $2 AND environment = $3",
        place.organization, place.project, place.environment, text, saga.id,
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO records (deployment, organization, project, environment, record) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        saga.id, place.organization, place.project, place.environment, text,
    )  # fmt: skip


async def record_of(connection: Connection, place: Place, deployment: str) -> Record | None:
    """What the environment ran after a deployment that succeeded."""
    text = await connection.fetchval(
        "SELECT record::text FROM records WHERE deployment = $4 AND organization = $1 AND project = $2 AND environment = $3",
        place.organization, place.project, place.environment, deployment,
    )  # fmt: skip
    return None if text is None else Record.model_validate_json(text)


async def record_before(connection: Connection, place: Place) -> str | None:
    """The last deployment after which the environment ran anything else than now: where a roll-back without a goal returns to."""
    found: str | None = await connection.fetchval(
        "SELECT r.deployment FROM records r JOIN environments e USING (organization, project, environment) "
        "WHERE organization = $1 AND project = $2 AND environment = $3 "
        "AND r.position < (SELECT position FROM records WHERE deployment = e.deployment) "
        "AND (jsonb_path_query_array(r.record, '$.releases.*.id'), r.record -> 'databases') "
        "<> (jsonb_path_query_array(e.record, '$.releases.*.id'), e.record -> 'databases') ORDER BY r.position DESC LIMIT 1",
        place.organization, place.project, place.environment,
    )  # fmt: skip
    return found


async def holder(connection: Connection, place: Place) -> str | None:
    """The deployment that holds an environment."""
    found: str | None = await connection.fetchval(
        "SELECT id FROM deployments WHERE organization = $1 AND project = $2 AND environment = $3 AND holds",
        place.organization, place.project, place.environment,
    )  # fmt: skip
    return found


async def older_before_lock(connection: Connection, place: Place, arrival: int) -> list[str]:
    """Deployments of an environment that arrived earlier and do not hold it yet."""
    rows = await connection.fetch(
        "SELECT id FROM deployments WHERE organization = $1 AND project = $2 AND environment = $3 AND arrival < $4 "
        "AND state IN ('authorizing', 'waiting', 'building', 'queued') AND NOT holds",
        place.organization, place.project, place.environment, arrival,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def waiting_for(connection: Connection, want: Want, limit: int = 50) -> list[str]:
    """Deployments that need something which the driver can give now, the newest first.

    One that waits for an environment which is held is none of them, so that many of those keep no other from its turn;
    only where several wait for the same one is there something to do: the older ones end.
    """
    rows = await connection.fetch(_WAITING_FOR, want, limit)
    return [row["id"] for row in rows]


async def queued_in(connection: Connection, place: Place) -> list[str]:
    """Deployments that wait for an environment, the newest first."""
    rows = await connection.fetch(
        "SELECT id FROM deployments WHERE organization = $1 AND project = $2 AND environment = $3 AND wants = $4 ORDER BY arrival DESC",
        place.organization, place.project, place.environment, Want.ENVIRONMENT,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def place_of(connection: Connection, deployment: str) -> tuple[str, DeploymentState] | None:
    """Whose deployment it is (organization), and its state."""
    row = await connection.fetchrow("SELECT organization, state FROM deployments WHERE id = $1", deployment)
    return None if row is None else (row["organization"], DeploymentState(row["state"]))


@dataclass(frozen=True)
class Taken:
    """The last change taken of a ref."""

    commit: str
    arrival: int
    repository: str
    change: ChangePushed
    deployments: tuple[str, ...]


async def lock_ref(connection: Connection, change: ChangePushed) -> None:
    """One change of a ref at a time, also the first, of which there is no row to lock yet."""
    ref = f"{change.organization}/{change.project}/{change.connection}/{change.ref}"
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('slipway:ref:' || $1, 0))", ref)


async def made_of(connection: Connection, change: Change) -> tuple[str, ...]:
    """The deployments that a change has made."""
    rows = await connection.fetch(
        "SELECT id FROM deployments WHERE organization = $1 AND project = $2 AND origin->>'change' = $3 ORDER BY id",
        change.organization, change.project, change.id,
    )  # fmt: skip
    return tuple(row["id"] for row in rows)


async def last_taken(connection: Connection, organization: str, project: str, link: str, ref: str) -> Taken | None:
    """The last change taken of a ref, locked."""
    row = await connection.fetchrow(
        "SELECT commit, arrival, change::text, deployments FROM changes "
        "WHERE organization = $1 AND project = $2 AND connection = $3 AND ref = $4 FOR UPDATE",
        organization, project, link, ref,
    )  # fmt: skip
    if row is None:
        return None
    change = ChangePushed.decode(row["change"])
    return Taken(row["commit"], row["arrival"], change.repository, change, tuple(row["deployments"]))


async def newest_change(connection: Connection, organization: str, project: str, ref: str | None) -> ChangePushed | None:
    """The newest change taken of a project, of one ref or of any."""
    text = await connection.fetchval(
        "SELECT change::text FROM changes WHERE organization = $1 AND project = $2 AND ($3::text IS NULL OR ref = $3) "
        "ORDER BY arrival DESC LIMIT 1",
        organization, project, ref,
    )  # fmt: skip
    return None if text is None else ChangePushed.decode(text)


async def set_taken(connection: Connection, change: ChangePushed, deployments: Sequence[str]) -> None:
    """Remembers a change as the last one taken of its ref."""
    await connection.execute(
        "INSERT INTO changes (organization, project, connection, ref, commit, arrival, change, deployments) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (organization, project, connection, ref) DO UPDATE "
        "SET commit = EXCLUDED.commit, arrival = EXCLUDED.arrival, change = EXCLUDED.change, deployments = EXCLUDED.deployments",
        change.organization, change.project, change.connection, change.ref, change.commit, change.arrival,
        change.encode().decode(), list(deployments),
    )  # fmt: skip


async def live(pool: Pool, timeout_s: float) -> dict[str, int]:
    """How many deployments are in each state that is not final."""
    return {row["state"]: row["count"] for row in await pool.fetch(_LIVE, timeout=timeout_s)}


async def next_arrival(connection: Connection) -> int:
    """A number for a deployment: larger is newer."""
    number: int = await connection.fetchval("SELECT nextval('arrivals')")
    return number
