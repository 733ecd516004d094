"""SQL of change requests: the newest change that was taken of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts.changes import ChangeRequestClosed, ChangeRequestUpdated, RequestChange
from shared.postgres import Connection

Key = tuple[str, str, str, str, str]
"""Organization, project, connection, repository, number."""

_KEY = "organization = $1 AND project = $2 AND connection = $3 AND repository = $4 AND number = $5"
_LAST = f"SELECT commit, arrival, closed, deployments, held::text FROM change_requests WHERE {_KEY}"  # noqa: S608 -- of constants
_SET = """
INSERT INTO change_requests (organization, project, connection, repository, number, commit, arrival, closed, deployments)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (organization, project, connection, repository, number) DO UPDATE SET
    commit = EXCLUDED.commit, arrival = EXCLUDED.arrival, closed = EXCLUDED.closed, deployments = EXCLUDED.deployments, held = NULL,
    taken_at = now()
"""
_HOLD = f"UPDATE change_requests SET held = $6 WHERE {_KEY} AND coalesce((held->>'arrival')::bigint, 0) < $7"  # noqa: S608
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('slipway:request:' || $1, 0))"


@dataclass(frozen=True)
class Taken:
    """The newest change taken of a change request."""

    commit: str
    arrival: int
    closed: bool
    deployments: tuple[str, ...]
    held: ChangeRequestUpdated | None = None
    """A newer one, which was ignored because the change request is closed."""


def key_of(change: RequestChange) -> Key:
    """What tells its change request apart."""
    return change.organization, change.project, change.connection, change.repository, change.number


async def lock(connection: Connection, key: Key) -> None:
    """One change of a change request at a time, also the first, of which there is no row to lock yet."""
    await connection.execute(_LOCK, "/".join(key))


async def last_taken(connection: Connection, change: RequestChange) -> Taken | None:
    """The newest change taken of the same change request."""
    row = await connection.fetchrow(_LAST, *key_of(change))
    if row is None:
        return None
    held = ChangeRequestUpdated.model_validate_json(row["held"]) if row["held"] else None
    return Taken(row["commit"], row["arrival"], row["closed"], tuple(row["deployments"]), held)


async def set_taken(connection: Connection, change: RequestChange, deployments: Sequence[str]) -> None:
    """Remembers a change as the newest of its change request."""
    closed = isinstance(change, ChangeRequestClosed)
    await connection.execute(_SET, *key_of(change), change.commit, change.arrival, closed, list(deployments))


async def hold(connection: Connection, change: RequestChange) -> None:
    """Keeps an update of a closed change request, the newest, until another change of it is taken."""
    await connection.execute(_HOLD, *key_of(change), change.model_dump_json(), change.arrival)
