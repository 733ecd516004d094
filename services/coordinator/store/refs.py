"""Refs: the newest change that was taken of each, and what changes have made."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.contracts.changes import ChangePushed
from shared.postgres import Connection

Ref = tuple[str, str, str, str]
"""Organization, project, connection, and the ref's full name."""

_LOCK = """
SELECT pg_advisory_xact_lock(key)
FROM (SELECT DISTINCT hashtextextended('slipway:ref:' || name, 0) AS key FROM unnest($1::text[]) AS name ORDER BY key) AS refs
"""
_LAST = """
SELECT change::text, deployments FROM changes
JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS asked (organization, project, connection, ref)
USING (organization, project, connection, ref)
"""
_MADE = """
SELECT origin->>'change' AS change, array_agg(id ORDER BY id) AS deployments FROM deployments
WHERE origin->>'change' = ANY($1::text[]) GROUP BY 1
"""
_SET = """
INSERT INTO changes (organization, project, connection, ref, commit, arrival, change, deployments)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (organization, project, connection, ref) DO UPDATE
SET commit = EXCLUDED.commit, arrival = EXCLUDED.arrival, change = EXCLUDED.change, deployments = EXCLUDED.deployments
"""


@dataclass(frozen=True)
class Taken:
    """The last change taken of a ref, and what it has made."""

    change: ChangePushed
    deployments: tuple[str, ...] = ()


def ref_of(change: ChangePushed) -> Ref:
    """The ref that was pushed to."""
    return change.organization, change.project, change.connection, change.ref


async def lock(connection: Connection, refs: Iterable[Ref]) -> None:
    """One transaction at a time has a ref, also one of which no change was taken yet. Two that want several get them in one order."""
    await connection.execute(_LOCK, ["/".join(ref) for ref in refs])


async def made_of(connection: Connection, changes: Sequence[str]) -> dict[str, list[str]]:
    """The deployments that changes have made, by the change's id, of those that made any."""
    rows = await connection.fetch(_MADE, changes) if changes else []
    return {row["change"]: row["deployments"] for row in rows}


async def last_taken(connection: Connection, refs: Sequence[Ref]) -> dict[Ref, Taken]:
    """The last change taken of each ref that had one."""
    rows = await connection.fetch(_LAST, *map(list, zip(*refs, strict=True)))
    taken = [Taken(ChangePushed.decode(row["change"]), tuple(row["deployments"])) for row in rows]
    return {ref_of(last.change): last for last in taken}


async def newest_change(connection: Connection, organization: str, project: str, ref: str | None) -> ChangePushed | None:
    """The newest change taken of a project, of one ref or of any."""
    text = await connection.fetchval(
        "SELECT change::text FROM changes WHERE organization = $1 AND project = $2 AND ($3::text IS NULL OR ref = $3) "
        "ORDER BY arrival DESC LIMIT 1",
        organization, project, ref,
    )  # fmt: skip
    return None if text is None else ChangePushed.decode(text)


async def set_taken(connection: Connection, taken: Mapping[Ref, Taken]) -> None:
    """Remembers changes as the last ones taken of their refs."""
    rows = [
        (*ref, last.change.commit, last.change.arrival, last.change.encode().decode(), list(last.deployments))
        for ref, last in taken.items()
    ]
    await connection.executemany(_SET, rows)
