"""Environments: their epoch, what they run and ran, who holds them, and who waits for them."""

from dataclasses import dataclass

from services.coordinator.saga import Saga, Want
from services.coordinator.snapshot import Record
from shared.contracts.places import Place
from shared.postgres import Connection

_ENVIRONMENT = """
INSERT INTO environments (organization, project, environment) VALUES ($1, $2, $3)
ON CONFLICT (organization, project, environment) DO UPDATE SET epoch = environments.epoch
RETURNING epoch, newest_arrival, newest_commit, record::text, deployment
"""


@dataclass(frozen=True)
class Environment:
    """One environment's row, locked."""

    epoch: int
    newest_arrival: int
    newest_commit: str | None
    record: Record
    deployment: str | None


async def lock(connection: Connection, place: Place) -> Environment:
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
    await lock(connection, place)
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


async def queued_in(connection: Connection, place: Place) -> list[str]:
    """Deployments that wait for an environment, the newest first."""
    rows = await connection.fetch(
        "SELECT id FROM deployments WHERE organization = $1 AND project = $2 AND environment = $3 AND wants = $4 ORDER BY arrival DESC",
        place.organization, place.project, place.environment, Want.ENVIRONMENT,
    )  # fmt: skip
    return [row["id"] for row in rows]
