"""Forge accounts and hooks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.api.store.places import Reads
from shared.postgres import Connection


@dataclass(frozen=True)
class StoredConnection:
    """As stored: the secrets sealed, the newest first."""

    name: str
    organization: str
    project: str
    forge: str
    repository: str
    clone_url: str
    api_url: str
    sealed_secrets: tuple[bytes, ...]
    sealed_token: bytes | None
    version: int
    created_at: datetime
    hook_id: str = ""
    """The hook that was made at the forge; empty where none was, or it may be another repository's."""
    hook_url: str = ""
    app_id: str = ""
    """A GitHub App, in the place of a token; empty where there is none."""
    installation: str = ""
    sealed_app_key: bytes | None = None
    sealed_deploy_key: bytes | None = None
    deploy_key: str = ""
    """The public half; empty where it clones without."""
    deploy_key_id: str = ""
    """At the forge, where it was installed over its API."""
    known_hosts: str = ""


_NEW = """
INSERT INTO connections (name, organization, project, forge, repository, clone_url, api_url, sealed_secrets, sealed_token,
    app_id, installation, sealed_app_key)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING RETURNING *
"""
_GET = "SELECT * FROM connections WHERE organization = $1 AND name = $2"
_LOCK = f"{_GET} FOR UPDATE"
_LIST = "SELECT * FROM connections WHERE organization = $1 AND name > $2 ORDER BY name LIMIT $3"
_ALL = "SELECT * FROM connections WHERE ($1 = '' OR organization = $1) AND ($2 = '' OR name = $2) ORDER BY name"
_OF_PROJECT = "SELECT * FROM connections WHERE organization = $1 AND project = $2 ORDER BY name"
_UPDATE = """
UPDATE connections SET repository = $3, clone_url = $4, api_url = $5, sealed_secrets = $6, sealed_token = $7,
    hook_id = $8, app_id = $9, installation = $10, sealed_app_key = $11, version = version + 1
WHERE organization = $1 AND name = $2 RETURNING *
"""
_WITH_APP = """
SELECT * FROM connections WHERE organization = $1 AND forge = $2 AND lower(repository) = lower($3) AND app_id <> ''
ORDER BY name LIMIT 1
"""
_KEYED = """
UPDATE connections SET sealed_deploy_key = $3, deploy_key = $4, deploy_key_id = $5, known_hosts = $6, clone_url = $7, version = version + 1
WHERE organization = $1 AND name = $2 RETURNING *
"""
_HOOKED = "UPDATE connections SET hook_id = $3, hook_url = $4 WHERE organization = $1 AND name = $2"
_DELETE = "DELETE FROM connections WHERE organization = $1 AND name = $2 RETURNING project"


def secret_of(name: str) -> str:
    """What a connection's hook secret is bound to."""
    return f"connection/{name}/secret"


def token_of(name: str) -> str:
    """What a connection's token is bound to."""
    return f"connection/{name}/token"


def deploy_key_of(name: str) -> str:
    """What the private deploy key of a connection is bound to."""
    return f"connection/{name}/deploy-key"


def app_key_of(name: str) -> str:
    """What the private key of a connection's GitHub App is bound to."""
    return f"connection/{name}/app-key"


def _stored(row: object) -> StoredConnection:
    fields = dict(row)  # type: ignore[call-overload]
    return StoredConnection(**fields | {"sealed_secrets": tuple(fields["sealed_secrets"])})


async def new(connection: Connection, wanted: StoredConnection) -> StoredConnection | None:
    """None where the name is taken (in the whole installation). Raises `ForeignKeyViolationError` without a project."""
    row = await connection.fetchrow(
        _NEW,
        wanted.name,
        wanted.organization,
        wanted.project,
        wanted.forge,
        wanted.repository,
        wanted.clone_url,
        wanted.api_url,
        list(wanted.sealed_secrets),
        wanted.sealed_token,
        wanted.app_id,
        wanted.installation,
        wanted.sealed_app_key,
    )
    return None if row is None else _stored(row)


async def get(reads: Reads, organization: str, name: str) -> StoredConnection | None:
    """The connection, if the organization has one of that name."""
    row = await reads.fetchrow(_GET, organization, name)
    return None if row is None else _stored(row)


async def lock(connection: Connection, organization: str, name: str) -> StoredConnection | None:
    """As `get`; nobody else changes it until the transaction ends."""
    row = await connection.fetchrow(_LOCK, organization, name)
    return None if row is None else _stored(row)


async def find(reads: Reads, organization: str, after: str, limit: int) -> Sequence[StoredConnection]:
    """An organization's connections, by name."""
    return [_stored(row) for row in await reads.fetch(_LIST, organization, after, limit)]


async def everywhere(reads: Reads, organization: str = "", name: str = "") -> Sequence[StoredConnection]:
    """All connections; of one organization, or of one name, where given."""
    return [_stored(row) for row in await reads.fetch(_ALL, organization, name)]


async def of_project(reads: Reads, organization: str, project: str) -> Sequence[StoredConnection]:
    """A project's connections, by name."""
    return [_stored(row) for row in await reads.fetch(_OF_PROJECT, organization, project)]


async def with_app(reads: Reads, organization: str, forge: str, repository: str) -> StoredConnection | None:
    """A connection to the repository that has a GitHub App."""
    row = await reads.fetchrow(_WITH_APP, organization, forge, repository)
    return None if row is None else _stored(row)


async def update(connection: Connection, wanted: StoredConnection) -> StoredConnection | None:
    """Everything but names and the forge may change. None where there is none."""
    row = await connection.fetchrow(
        _UPDATE,
        wanted.organization,
        wanted.name,
        wanted.repository,
        wanted.clone_url,
        wanted.api_url,
        list(wanted.sealed_secrets),
        wanted.sealed_token,
        wanted.hook_id,
        wanted.app_id,
        wanted.installation,
        wanted.sealed_app_key,
    )
    return None if row is None else _stored(row)


async def hooked(connection: Connection, organization: str, name: str, hook_id: str, hook_url: str) -> None:
    """The hook at the forge is this one (empty: none)."""
    await connection.execute(_HOOKED, organization, name, hook_id, hook_url)


async def keyed(connection: Connection, wanted: StoredConnection) -> StoredConnection | None:
    """It clones with this deploy key, from this address, whose host is known by these keys. None where there is no such connection."""
    row = await connection.fetchrow(
        _KEYED,
        wanted.organization,
        wanted.name,
        wanted.sealed_deploy_key,
        wanted.deploy_key,
        wanted.deploy_key_id,
        wanted.known_hosts,
        wanted.clone_url,
    )
    return None if row is None else _stored(row)


async def delete(connection: Connection, organization: str, name: str) -> str | None:
    """The project that it belonged to; None where there was none."""
    project: str | None = await connection.fetchval(_DELETE, organization, name)
    return project
