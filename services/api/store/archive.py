"""Every event as it came, and the pages made of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from services.api.projection import Deployment, Pages, Step
from services.api.store.places import Reads
from shared.contracts.events import DeploymentCreated, DeploymentSucceeded, Event
from shared.postgres import Connection

_IN_ORDER = "SELECT pg_advisory_xact_lock(hashtextextended('slipway:api:archive', 0))"
_ADD = """
INSERT INTO events (id, time, organization, project, environment, deployment, step, sequence, name, body, trace)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[],
    $9::text[], $10::text[], $11::text[])
ON CONFLICT (id) DO NOTHING RETURNING id
"""
_OF_DEPLOYMENTS = """
SELECT deployment, body, trace FROM events WHERE deployment = ANY($1) AND sequence IS NOT NULL ORDER BY deployment, sequence
"""
_ALL_DEPLOYMENTS = "SELECT DISTINCT deployment FROM events WHERE deployment > $1 AND sequence IS NOT NULL ORDER BY deployment LIMIT 200"
_PUT_DEPLOYMENT = """
INSERT INTO deployments (id, organization, project, environment, state, sequence, created_at, started_at, ended_at, epoch, trace, view)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, sequence = excluded.sequence, created_at = excluded.created_at,
    started_at = excluded.started_at, ended_at = excluded.ended_at, epoch = excluded.epoch,
    trace = coalesce(deployments.trace, excluded.trace), view = excluded.view
"""
_PUT_STEPS = """
INSERT INTO steps (deployment, step, place, state, started_at, ended_at, view)
SELECT $1, * FROM unnest($2::text[], $3::int[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[])
ON CONFLICT (deployment, step) DO UPDATE SET place = excluded.place, state = excluded.state,
    started_at = excluded.started_at, ended_at = excluded.ended_at, view = excluded.view
WHERE steps.view IS DISTINCT FROM excluded.view OR steps.place <> excluded.place
"""
_HAS_SUCCEEDED = f"""
SELECT count(*) = 2 FROM events
WHERE deployment = $1 AND sequence IS NOT NULL AND name IN ('{DeploymentCreated.__name__}', '{DeploymentSucceeded.__name__}')
"""  # noqa: S608 -- of constants
_FORGET = "DELETE FROM deployments"

SEEN = """
(organization = ANY($1) OR organization || '/' || project = ANY($2)
    OR organization || '/' || project || '/' || environment = ANY($3))
"""
"""A condition: of what the `Scopes` in the first three parameters allow."""
_LAST = 2**63 - 1
"""No position is higher."""


def allowed_after(table: str, kind: str) -> str:
    """SQL: what a table holds after position $4 of what the `Scopes` in the first three parameters allow, narrowed to a place and kinds.

    For each scope its index is read from there on, so whoever may see little does not have all the rest looked through. Rows are compared
    as a whole because only that index has them in order: else the planner may prefer to go through all positions.
    """
    narrowed = f"""
        ($5 = '' OR organization = $5) AND ($6 = '' OR project = $6) AND ($7 = '' OR environment = $7)
        AND ($8::text[] IS NULL OR {kind} = ANY($8))
    """
    of_project = f"""
        (organization, project, position) > (scope.place[1], scope.place[2], $4)
        AND (organization, project, position) <= (scope.place[1], scope.place[2], {_LAST})
    """
    return f"""
    SELECT DISTINCT ON (position) position, body FROM (
        SELECT found.* FROM unnest($1::text[]) AS scope (organization), LATERAL (
            SELECT position, body FROM {table}
            WHERE (organization, position) > (scope.organization, $4)
                AND (organization, position) <= (scope.organization, {_LAST}) AND {narrowed}
            ORDER BY organization, position LIMIT $9
        ) found
        UNION ALL SELECT found.* FROM (SELECT string_to_array(unnest($2::text[]), '/') AS place) scope, LATERAL (
            SELECT position, body FROM {table} WHERE {of_project} AND {narrowed} ORDER BY organization, project, position LIMIT $9
        ) found
        UNION ALL SELECT found.* FROM (SELECT string_to_array(unnest($3::text[]), '/') AS place) scope, LATERAL (
            SELECT position, body FROM {table} WHERE {of_project} AND environment = scope.place[3] AND {narrowed}
            ORDER BY organization, project, position LIMIT $9
        ) found
    ) allowed ORDER BY position LIMIT $9
    """  # noqa: S608 -- of constants


_EVENTS = allowed_after("events", "name")
_EVENTS_OF = "SELECT position, body FROM events WHERE deployment = $1 AND position > $2 ORDER BY position LIMIT $3"
_NEWEST_POSITION = "SELECT coalesce(max(position), 0) FROM events"
_DEPLOYMENTS = f"""
SELECT view FROM deployments
WHERE {SEEN} AND ($4 = '' OR id < $4) AND ($5 = '' OR organization = $5) AND ($6 = '' OR project = $6)
    AND ($7 = '' OR environment = $7) AND ($8 = '' OR state = $8)
ORDER BY id DESC LIMIT $9
"""  # noqa: S608 -- of constants
_DEPLOYMENT = "SELECT view FROM deployments WHERE id = $1"
_LAST_SUCCEEDED = """
SELECT DISTINCT ON (organization, project, environment) view FROM deployments WHERE state = 'succeeded'
ORDER BY organization, project, environment, ended_at DESC
"""
_AT_WORK = "SELECT view FROM deployments WHERE state IN ('running', 'waiting', 'compensating', 'stuck') AND epoch IS NOT NULL"
_STEPS = "SELECT view FROM steps WHERE deployment = $1 ORDER BY place"

_AS_DEPLOYMENT = TypeAdapter(Deployment)
_AS_STEP = TypeAdapter(Step)


@dataclass(frozen=True)
class Archived:
    """An event with its position in the archive."""

    position: int
    event: Event


@dataclass(frozen=True)
class Scopes:
    """Where somebody may look: organizations, projects (`o/p`), environments (`o/p/e`)."""

    organizations: Sequence[str]
    projects: Sequence[str]
    environments: Sequence[str]


async def add(connection: Connection, events: Sequence[Event], traces: Sequence[str | None]) -> set[str]:
    """Stores events and answers the ids of those that are new. Positions are in the order of commit."""
    await connection.execute(_IN_ORDER)
    columns: Sequence[Sequence[str | int | datetime | None]] = (
        [event.id for event in events],
        [event.time for event in events],
        [event.organization for event in events],
        [event.project for event in events],
        [event.environment for event in events],
        [event.deployment for event in events],
        [event.step for event in events],
        [event.sequence for event in events],
        [event.name for event in events],
        [event.encode().decode() for event in events],
        list(traces),
    )
    return {row["id"] for row in await connection.fetch(_ADD, *columns)}


async def of_deployments(connection: Connection, deployments: Sequence[str]) -> dict[str, list[tuple[Event, str | None]]]:
    """All archived events that these deployments' pages are made of, with their traces."""
    found: dict[str, list[tuple[Event, str | None]]] = {}
    for row in await connection.fetch(_OF_DEPLOYMENTS, deployments):
        found.setdefault(row["deployment"], []).append((Event.decode(row["body"]), row["trace"]))
    return found


async def last_succeeded(reads: Reads) -> list[Deployment]:
    """Of each environment the deployment that succeeded last: its releases are what shall run there."""
    return [_AS_DEPLOYMENT.validate_json(row["view"]) for row in await reads.fetch(_LAST_SUCCEEDED)]


async def has_succeeded(connection: Connection, deployment: str) -> bool:
    """Whether it is archived what it was and that it ended well: what follows from that for the catalogue is done then."""
    return bool(await connection.fetchval(_HAS_SUCCEEDED, deployment))


async def holding(reads: Reads) -> list[Deployment]:
    """Deployments that hold their environments: they have taken one, and have not ended."""
    return [_AS_DEPLOYMENT.validate_json(row["view"]) for row in await reads.fetch(_AT_WORK)]


async def deployments_after(connection: Connection, after: str) -> Sequence[str]:
    """Some deployments of which the archive knows more than what others tell of them, in order of id."""
    return [row["deployment"] for row in await connection.fetch(_ALL_DEPLOYMENTS, after)]


async def forget_pages(connection: Connection) -> None:
    """Removes all pages; the events stay."""
    await connection.execute(_FORGET)


async def put(connection: Connection, pages: Pages, trace: str | None) -> None:
    """Stores a deployment's pages."""
    page, steps = pages.deployment, list(pages.steps.values())
    await connection.execute(
        _PUT_DEPLOYMENT,
        page.id,
        page.organization,
        page.project,
        page.environment,
        page.state,
        page.sequence,
        page.created_at,
        page.started_at,
        page.ended_at,
        page.epoch,
        trace,
        _AS_DEPLOYMENT.dump_json(page).decode(),
    )
    await connection.execute(
        _PUT_STEPS,
        page.id,
        [step.step for step in steps],
        list(range(len(steps))),
        [step.state for step in steps],
        [step.started_at for step in steps],
        [step.ended_at for step in steps],
        [_AS_STEP.dump_json(step).decode() for step in steps],
    )


async def events(
    reads: Reads,
    scopes: Scopes,
    after: int,
    limit: int,
    *,
    organization: str = "",
    project: str = "",
    environment: str = "",
    names: Sequence[str] | None = None,
) -> Sequence[Archived]:
    """Events in the order of the archive, of what the scopes allow, filtered where not empty."""
    rows = await reads.fetch(
        _EVENTS,
        scopes.organizations,
        scopes.projects,
        scopes.environments,
        after,
        organization,
        project,
        environment,
        names,
        limit,
    )
    return [Archived(row["position"], Event.decode(row["body"])) for row in rows]


async def events_of(reads: Reads, deployment: str, after: int, limit: int) -> Sequence[Archived]:
    """A deployment's events in the order in which they came; their sequence numbers tell the order in which they happened."""
    rows = await reads.fetch(_EVENTS_OF, deployment, after, limit)
    return [Archived(row["position"], Event.decode(row["body"])) for row in rows]


async def newest_position(reads: Reads) -> int:
    """Where the archive ends now."""
    position = await reads.fetchval(_NEWEST_POSITION)
    assert isinstance(position, int)
    return position


async def deployments(
    reads: Reads,
    scopes: Scopes,
    before: str,
    limit: int,
    *,
    organization: str = "",
    project: str = "",
    environment: str = "",
    state: str = "",
) -> Sequence[Deployment]:
    """Deployments, the newest first."""
    rows = await reads.fetch(
        _DEPLOYMENTS,
        scopes.organizations,
        scopes.projects,
        scopes.environments,
        before,
        organization,
        project,
        environment,
        state,
        limit,
    )
    return [_AS_DEPLOYMENT.validate_json(row["view"]) for row in rows]


async def deployment(reads: Reads, deployment_id: str) -> Deployment | None:
    """A deployment's page, if there is one."""
    view = await reads.fetchval(_DEPLOYMENT, deployment_id)
    return None if view is None else _AS_DEPLOYMENT.validate_json(view)


async def steps(reads: Reads, deployment_id: str) -> Sequence[Step]:
    """Its steps, in the order of the plan."""
    return [_AS_STEP.validate_json(row["view"]) for row in await reads.fetch(_STEPS, deployment_id)]


def as_json(event: Event) -> dict[str, object]:
    """An event as JSON values."""
    body: dict[str, object] = json.loads(event.encode())
    return body
