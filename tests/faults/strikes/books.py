"""What the platform's own database says: deployments, changes, and the record of what each environment runs."""

import asyncio
import json
import time
from dataclasses import dataclass

import asyncpg

from services.coordinator.snapshot import Record
from shared.contracts.places import Place
from shared.postgres import UNAVAILABLE
from tests.faults.strikes.machine import Machine

AWAY_LIMIT_S = 60.0
_DEPLOYMENTS = "SELECT id, state, holds, origin #>> '{source,commit}' AS commit, project FROM coordinator.deployments"
_CHANGES = "SELECT commit, state, reason, deployments FROM webhooks.changes"
_RECORD = "SELECT record::text FROM coordinator.environments WHERE organization = $1 AND project = $2 AND environment = $3"
_SHOWN = "SELECT id, state FROM api.deployments"
_DEAD = "SELECT count(*) FROM api.dead_letters"


@dataclass(frozen=True)
class Deployment:
    """One row of the coordinator's."""

    id: str
    state: str
    holds: bool
    commit: str | None
    project: str


@dataclass(frozen=True)
class Change:
    """One row of webhooks'."""

    commit: str
    state: str
    reason: str | None
    deployments: tuple[str, ...]


@dataclass(frozen=True)
class Books:
    """All of it, at one time."""

    deployments: tuple[Deployment, ...]
    changes: tuple[Change, ...]
    shown: dict[str, str]
    """Deployment → its state as the public API shows it."""


async def _read(dsn: str) -> Books:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return Books(
            tuple(Deployment(*row) for row in await connection.fetch(_DEPLOYMENTS)),
            tuple(
                Change(row["commit"], row["state"], row["reason"], tuple(row["deployments"])) for row in await connection.fetch(_CHANGES)
            ),
            {row["id"]: row["state"] for row in await connection.fetch(_SHOWN)},
        )
    finally:
        await connection.close()


async def _record(dsn: str, place: Place) -> Record:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        found = await connection.fetchval(_RECORD, place.organization, place.project, place.environment)
        return Record() if found is None else Record.model_validate(json.loads(found))
    finally:
        await connection.close()


def read(machine: Machine) -> Books:
    """Now; waits where the database is away."""
    deadline = time.monotonic() + AWAY_LIMIT_S
    while True:
        try:
            return asyncio.run(_read(machine.dsn))
        except UNAVAILABLE:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def record(machine: Machine, place: Place) -> Record:
    """What an environment shall run."""
    return asyncio.run(_record(machine.dsn, place))
