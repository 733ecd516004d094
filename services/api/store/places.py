"""Organizations, projects, environments and targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from shared.postgres import Connection, Pool

Reads: TypeAlias = "Connection | Pool"


@dataclass(frozen=True)
class Organization:
    """Whose projects these are."""

    slug: str
    name: str
    created_at: datetime


@dataclass(frozen=True)
class Project:
    """What is deployed together."""

    organization: str
    slug: str
    name: str
    created_at: datetime


@dataclass(frozen=True)
class Environment:
    """Where a project runs, and which ref it follows (`*` matches any part of a name).

    One that follows change requests is a template: of each change request into `ref` one like it is made, at most `most` at once,
    which goes after `ttl_s` without an update. Those know their template (`preview_of`) and their change request (connection,
    repository, number).
    """

    organization: str
    project: str
    slug: str
    name: str
    kind: str
    target: str
    ref: str
    connection: str | None
    needs_approval: bool
    version: int
    created_at: datetime
    follows: Literal["ref", "change_requests"] = "ref"
    most: int | None = None
    ttl_s: int | None = None
    preview_of: str | None = None
    repository: str | None = None
    number: str | None = None
    fork: bool = False
    web_url: str | None = None
    updated_at: datetime | None = None
    removing_at: datetime | None = None

    @property
    def is_template(self) -> bool:
        """Nothing runs in it; previews are like it."""
        return self.follows == "change_requests"

    @property
    def follows_refs(self) -> bool:
        """Pushes deploy it. A preview follows its change request, whatever else happens to the branch."""
        return not self.is_template and self.preview_of is None


@dataclass(frozen=True)
class Target:
    """Where services run. Secret values are sealed to its public key (X25519, base64)."""

    name: str
    public_key: str
    created_at: datetime


_NEW_ORGANIZATION = "INSERT INTO organizations (slug, name) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING *"
_ORGANIZATION = "SELECT * FROM organizations WHERE slug = $1"
_ORGANIZATIONS = "SELECT * FROM organizations WHERE slug = ANY($1) AND slug > $2 ORDER BY slug LIMIT $3"
_ANY_ORGANIZATION = "SELECT EXISTS (SELECT FROM organizations)"
_RENAME_ORGANIZATION = "UPDATE organizations SET name = $2 WHERE slug = $1 RETURNING *"
_DELETE_ORGANIZATION = "DELETE FROM organizations WHERE slug = $1 RETURNING slug"

_NEW_PROJECT = "INSERT INTO projects (organization, slug, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING *"
_PROJECT = "SELECT * FROM projects WHERE organization = $1 AND slug = $2"
_PROJECTS = "SELECT * FROM projects WHERE organization = $1 AND slug > $2 ORDER BY slug LIMIT $3"
_RENAME_PROJECT = "UPDATE projects SET name = $3 WHERE organization = $1 AND slug = $2 RETURNING *"
_DELETE_PROJECT = "DELETE FROM projects WHERE organization = $1 AND slug = $2 RETURNING slug"

_NEW_ENVIRONMENT = """
INSERT INTO environments (organization, project, slug, name, kind, target, ref, connection, needs_approval, follows, most, ttl_s)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING RETURNING *
"""
_ENVIRONMENT = "SELECT * FROM environments WHERE organization = $1 AND project = $2 AND slug = $3"
_LOCKED_ENVIRONMENT = f"{_ENVIRONMENT} FOR UPDATE"
_ENVIRONMENTS = """
SELECT * FROM environments WHERE organization = $1 AND project = $2 AND slug > $3 ORDER BY slug LIMIT $4
"""
_UPDATE_ENVIRONMENT = """
UPDATE environments SET name = $4, ref = $5, connection = $6, needs_approval = $7, target = $8, most = $9, ttl_s = $10,
    version = version + 1
WHERE organization = $1 AND project = $2 AND slug = $3 RETURNING *
"""
_DELETE_ENVIRONMENT = """
DELETE FROM environments WHERE organization = $1 AND project = $2 AND slug = $3 AND (preview_of IS NULL OR updated_at <= $4)
RETURNING slug
"""
_DELETE_ITS_SECRETS = "DELETE FROM secrets WHERE organization = $1 AND project = $2 AND environment = $3"
_TOUCH = """
UPDATE environments SET version = version + 1
WHERE organization = $1 AND project = $2 AND ($3 = '' OR slug = $3)
"""

_NEW_TARGET = "INSERT INTO targets (name, public_key) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING *"
_TARGET = "SELECT * FROM targets WHERE name = $1"
_TARGETS = "SELECT * FROM targets WHERE name > $1 ORDER BY name LIMIT $2"
_SET_TARGET = """
INSERT INTO targets (name, public_key) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET public_key = excluded.public_key RETURNING *, xmax = 0 AS made
"""


async def new_organization(connection: Connection, slug: str, name: str) -> Organization | None:
    """None where the slug is taken."""
    row = await connection.fetchrow(_NEW_ORGANIZATION, slug, name)
    return None if row is None else Organization(**row)


async def organization(reads: Reads, slug: str) -> Organization | None:
    """The organization, if there is one."""
    row = await reads.fetchrow(_ORGANIZATION, slug)
    return None if row is None else Organization(**row)


async def organizations(reads: Reads, among: Sequence[str], after: str, limit: int) -> Sequence[Organization]:
    """Those of the given organizations that exist, by slug."""
    return [Organization(**row) for row in await reads.fetch(_ORGANIZATIONS, among, after, limit)]


async def any_organization(reads: Reads) -> bool:
    """Whether there is one."""
    found: bool = await reads.fetchval(_ANY_ORGANIZATION)
    return found


async def rename_organization(connection: Connection, slug: str, name: str) -> Organization | None:
    """None where there is none."""
    row = await connection.fetchrow(_RENAME_ORGANIZATION, slug, name)
    return None if row is None else Organization(**row)


async def delete_organization(connection: Connection, slug: str) -> bool:
    """Whether there was one. Raises `ForeignKeyViolationError` where it still has projects or channels."""
    return await connection.fetchval(_DELETE_ORGANIZATION, slug) is not None


async def new_project(connection: Connection, organization: str, slug: str, name: str) -> Project | None:
    """None where the slug is taken. Raises `ForeignKeyViolationError` where the organization does not exist."""
    row = await connection.fetchrow(_NEW_PROJECT, organization, slug, name)
    return None if row is None else Project(**row)


async def project(reads: Reads, organization: str, slug: str) -> Project | None:
    """The project, if there is one."""
    row = await reads.fetchrow(_PROJECT, organization, slug)
    return None if row is None else Project(**row)


async def projects(reads: Reads, organization: str, after: str, limit: int) -> Sequence[Project]:
    """An organization's projects, by slug."""
    return [Project(**row) for row in await reads.fetch(_PROJECTS, organization, after, limit)]


async def rename_project(connection: Connection, organization: str, slug: str, name: str) -> Project | None:
    """None where there is none."""
    row = await connection.fetchrow(_RENAME_PROJECT, organization, slug, name)
    return None if row is None else Project(**row)


async def delete_project(connection: Connection, organization: str, slug: str) -> bool:
    """Whether there was one. Raises `ForeignKeyViolationError` where it still has environments or connections."""
    return await connection.fetchval(_DELETE_PROJECT, organization, slug) is not None


async def new_environment(connection: Connection, wanted: Environment) -> Environment | None:
    """None where the slug is taken. Raises `ForeignKeyViolationError` where project or target do not exist."""
    row = await connection.fetchrow(
        _NEW_ENVIRONMENT,
        wanted.organization,
        wanted.project,
        wanted.slug,
        wanted.name,
        wanted.kind,
        wanted.target,
        wanted.ref,
        wanted.connection,
        wanted.needs_approval,
        wanted.follows,
        wanted.most,
        wanted.ttl_s,
    )
    return None if row is None else Environment(**row)


async def environment(reads: Reads, organization: str, project: str, slug: str) -> Environment | None:
    """The environment, if there is one."""
    row = await reads.fetchrow(_ENVIRONMENT, organization, project, slug)
    return None if row is None else Environment(**row)


async def lock_environment(connection: Connection, organization: str, project: str, slug: str) -> Environment | None:
    """The environment, if there is one; nobody else changes it or its variables until the transaction ends."""
    row = await connection.fetchrow(_LOCKED_ENVIRONMENT, organization, project, slug)
    return None if row is None else Environment(**row)


async def environments(reads: Reads, organization: str, project: str, after: str = "", limit: int = 10_000) -> Sequence[Environment]:
    """A project's environments, by slug."""
    return [Environment(**row) for row in await reads.fetch(_ENVIRONMENTS, organization, project, after, limit)]


async def update_environment(connection: Connection, wanted: Environment) -> Environment | None:
    """Everything but its kind may change. None where there is none."""
    row = await connection.fetchrow(
        _UPDATE_ENVIRONMENT,
        wanted.organization,
        wanted.project,
        wanted.slug,
        wanted.name,
        wanted.ref,
        wanted.connection,
        wanted.needs_approval,
        wanted.target,
        wanted.most,
        wanted.ttl_s,
    )
    return None if row is None else Environment(**row)


async def delete_environment(connection: Connection, organization: str, project: str, slug: str, removed_at: datetime) -> bool:
    """Whether there was one; its settings, variables and secrets go with it.

    A preview stays whose change request was opened again after its removal had begun (`removed_at`): it is deployed next.
    """
    gone = await connection.fetchval(_DELETE_ENVIRONMENT, organization, project, slug, removed_at) is not None
    if gone:
        await connection.execute(_DELETE_ITS_SECRETS, organization, project, slug)
    return gone


async def touch(connection: Connection, organization: str, project: str, environment: str = "") -> None:
    """What a deployment reads of the environment (or of all of the project) has changed."""
    await connection.execute(_TOUCH, organization, project, environment)


async def new_target(connection: Connection, name: str, public_key: str) -> Target | None:
    """None where the name is taken."""
    row = await connection.fetchrow(_NEW_TARGET, name, public_key)
    return None if row is None else Target(**row)


async def target(reads: Reads, name: str) -> Target | None:
    """The target, if there is one."""
    row = await reads.fetchrow(_TARGET, name)
    return None if row is None else Target(**row)


async def targets(reads: Reads, after: str, limit: int) -> Sequence[Target]:
    """All targets, by name."""
    return [Target(**row) for row in await reads.fetch(_TARGETS, after, limit)]


async def set_target(connection: Connection, name: str, public_key: str) -> tuple[Target, bool]:
    """Makes a target or changes its key; and whether it was made."""
    row = await connection.fetchrow(_SET_TARGET, name, public_key)
    assert row is not None
    fields = dict(row)
    made = fields.pop("made")
    return Target(**fields), made
