"""What the platform's own database says: deployments, changes, wishes, dead letters, and the record of what each environment runs."""

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
FINAL = frozenset({"succeeded", "rolled_back", "cancelled", "superseded", "denied", "failed"})
OURS = "strike-"
"""With this the `ce-id` of every message begins that strikes send: what becomes of it is no loss."""
_DEPLOYMENTS = "SELECT id, state, holds, origin #>> '{source,commit}' AS commit, project FROM coordinator.deployments"
_CHANGES = "SELECT commit, state, reason, deployments FROM webhooks.changes"
_RECORD = "SELECT record::text FROM coordinator.environments WHERE organization = $1 AND project = $2 AND environment = $3"
_SHOWN = "SELECT id, state FROM api.deployments"
_REFUSED = "SELECT id FROM api.requests WHERE refusal IS NOT NULL"
_DEAD = "SELECT durable, subject, reason FROM api.dead_letters WHERE NOT starts_with(coalesce(headers ->> 'ce-id', ''), $1)"


@dataclass(frozen=True)
class Deployment:
    """One row of the coordinator's."""

    id: str
    state: str
    holds: bool
    commit: str | None
    project: str

    @property
    def ended(self) -> bool:
        """Nothing more comes of it."""
        return self.state in FINAL


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
    refused: frozenset[str]
    """Wishes of people that were refused, by request."""
    dead: tuple[str, ...]
    """What services gave up, but for what strikes sent, in words."""


async def _read(dsn: str) -> Books:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return Books(
            tuple(Deployment(*row) for row in await connection.fetch(_DEPLOYMENTS)),
            tuple(
                Change(row["commit"], row["state"], row["reason"], tuple(row["deployments"])) for row in await connection.fetch(_CHANGES)
            ),
            {row["id"]: row["state"] for row in await connection.fetch(_SHOWN)},
            frozenset(row["id"] for row in await connection.fetch(_REFUSED)),
            tuple(f"{row['durable']} gave up {row['subject']}: {row['reason']}" for row in await connection.fetch(_DEAD, OURS)),
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
