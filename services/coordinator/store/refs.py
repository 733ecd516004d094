"""Refs: the newest change that was taken of each, and what changes have made."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts.changes import Change, ChangePushed
from shared.postgres import Connection


@dataclass(frozen=True)
class Taken:
    """The last change taken of a ref."""

    commit: str
    arrival: int
    repository: str
    change: ChangePushed
    deployments: tuple[str, ...]


async def lock(connection: Connection, change: ChangePushed) -> None:
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
