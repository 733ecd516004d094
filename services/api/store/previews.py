"""Previews: the environments of change requests, each like the one that follows change requests."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.api.store.places import Environment
from shared.postgres import Connection

USUAL_MOST = 5
USUAL_TTL_S = 7 * 86400

_TEMPLATES = """
SELECT * FROM environments
WHERE organization = $1 AND project = $2 AND follows = 'change_requests' AND (connection IS NULL OR connection = $3)
ORDER BY slug FOR UPDATE
"""
_OF_REQUEST = """
SELECT * FROM environments
WHERE organization = $1 AND project = $2 AND connection = $3 AND repository = $4 AND number = $5 AND preview_of IS NOT NULL ORDER BY slug
"""
_LIKE = """
SELECT slug FROM environments WHERE organization = $1 AND project = $2 AND preview_of = $3
"""
_NEW = """
INSERT INTO environments (organization, project, slug, name, kind, target, ref, connection, needs_approval,
                          preview_of, repository, number, fork, web_url, updated_at)
VALUES ($1, $2, $3, $4, 'preview', $5, $6, $7, $8, $9, $10, $11, $12, $13, clock_timestamp())
ON CONFLICT (organization, project, slug) DO NOTHING RETURNING *
"""
_UPDATE = """
UPDATE environments SET name = $4, target = $5, ref = $6, needs_approval = $7, web_url = $8, fork = fork OR $9, updated_at = clock_timestamp(),
    removing_at = NULL, version = version + 1
WHERE organization = $1 AND project = $2 AND slug = $3 RETURNING *
"""
_CLOSE = """
UPDATE environments SET removing_at = clock_timestamp()
WHERE organization = $1 AND project = $2 AND connection = $3 AND repository = $4 AND number = $5 AND preview_of IS NOT NULL
RETURNING *
"""
_EXPIRED = """
UPDATE environments SET removing_at = clock_timestamp()
FROM (
    SELECT e.organization, e.project, e.slug, coalesce(t.ttl_s, $1) AS ttl_s, e.removing_at IS NOT NULL AS again
    FROM environments e LEFT JOIN environments t
        ON t.organization = e.organization AND t.project = e.project AND t.slug = e.preview_of
    WHERE e.preview_of IS NOT NULL AND (
        e.removing_at < clock_timestamp() - make_interval(secs => $2)
        OR e.removing_at IS NULL AND e.updated_at < clock_timestamp() - make_interval(secs => coalesce(t.ttl_s, $1)))
    FOR UPDATE OF e SKIP LOCKED
) due
WHERE (environments.organization, environments.project, environments.slug) = (due.organization, due.project, due.slug)
RETURNING due.*
"""


@dataclass(frozen=True)
class Request:
    """A change request, told apart by connection, repository and number. `ref`: where the repository has its commit."""

    organization: str
    project: str
    connection: str
    repository: str
    number: str
    ref: str
    target: str
    title: str
    web_url: str
    fork: bool

    @property
    def name(self) -> str:
        """What its previews are called."""
        return f"#{self.number} {self.title}".strip()[:200]

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What tells it apart."""
        return self.organization, self.project, self.connection, self.repository, self.number


@dataclass(frozen=True)
class Expired:
    """A preview that is to be removed. `again`: its removal was asked for before, and it is still there."""

    organization: str
    project: str
    slug: str
    ttl_s: int
    again: bool


async def lock_templates(connection: Connection, request: Request) -> Sequence[Environment]:
    """The environments that may follow a change request; nobody else makes previews of them until the transaction ends."""
    rows = await connection.fetch(_TEMPLATES, request.organization, request.project, request.connection)
    return [Environment(**row) for row in rows]


async def of_request(connection: Connection, request: Request) -> Sequence[Environment]:
    """The previews that a change request has."""
    return [Environment(**row) for row in await connection.fetch(_OF_REQUEST, *request.key)]


async def like(connection: Connection, organization: str, project: str, template: str) -> Sequence[str]:
    """The previews that are made of a template, whatever they do."""
    return [row["slug"] for row in await connection.fetch(_LIKE, organization, project, template)]


async def new(connection: Connection, template: Environment, request: Request, slug: str) -> Environment | None:
    """A preview of a change request; None where the slug is taken."""
    row = await connection.fetchrow(
        _NEW, request.organization, request.project, slug, request.name, template.target, request.ref, request.connection,
        template.needs_approval, template.slug, request.repository, request.number, request.fork, request.web_url or None,
    )  # fmt: skip
    return None if row is None else Environment(**row)


async def update(connection: Connection, template: Environment, request: Request, slug: str) -> Environment:
    """A preview as its change request and its template are now; it is not removed, should that have been asked for.

    Once a fork's, it stays one: what has stood in it may have come from there.
    """
    row = await connection.fetchrow(
        _UPDATE, request.organization, request.project, slug, request.name, template.target, request.ref,
        template.needs_approval, request.web_url or None, request.fork,
    )  # fmt: skip
    assert row is not None, "the template is locked, and its previews with it"
    return Environment(**row)


async def close(connection: Connection, request: Request) -> Sequence[Environment]:
    """Notes that the previews of a change request are being removed; answers them."""
    return [Environment(**row) for row in await connection.fetch(_CLOSE, *request.key)]


async def expired(connection: Connection, retry_s: float) -> Sequence[Expired]:
    """Previews that nobody has updated for their time to live, and those that are still there long after their removal was asked for."""
    return [Expired(**row) for row in await connection.fetch(_EXPIRED, USUAL_TTL_S, retry_s)]
