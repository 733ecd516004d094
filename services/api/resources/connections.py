"""Connections: a forge account or hook, its secret and its token. The secret is shown once."""

import secrets
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from services.api.access import Asking, of_organization, of_project
from services.api.dependencies import Using
from services.api.paging import Page, Paged
from services.api.refusals import not_found, referring, taken
from services.api.resources import credentials
from services.api.resources.credentials import AccessToken, NewApp, ShownApp
from services.api.safe import project_scope
from services.api.store import connections
from services.api.store.connections import StoredConnection
from services.api.transaction import TransactionalRoute, Unit, Within
from shared.contracts.commands import OWN_CONNECTION
from shared.forge_api import api_url_of, identity_of
from shared.messages import Slug, utc_now
from shared.problems import Problem

router = APIRouter(prefix="/connections/{organization}", tags=["connections"], route_class=TransactionalRoute)

Forge = Literal["github", "gitlab", "bitbucket", "bitbucket-data-center", "gitea"]


def _without_credential(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http", "ssh", "git", "file"):
        raise ValueError("an address with a scheme: https://…")
    if parts.password is not None or (parts.username and parts.scheme in ("http", "https")):
        raise ValueError("leave the credential out of the address; give it as token")
    return url


Url = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_without_credential)]
HookSecret = Annotated[str, StringConstraints(min_length=16, max_length=500)]


class NewConnection(BaseModel):
    """The repository's identity is what its clone address says, where it is missing (`github.com/acme/todo`)."""

    name: Slug = Field(description="Unique in the installation: deliveries arrive at /hooks/<name>")
    project: Slug
    forge: Forge
    clone_url: Url
    repository: str | None = Field(default=None, max_length=500)
    api_url: Url | None = None
    secret: HookSecret | None = Field(default=None, description="Of deliveries; made where it is missing")
    token: AccessToken | None = Field(default=None, description="To clone, to set statuses, and for the sweep")
    app: NewApp | None = Field(default=None, description="A GitHub App in its place")


class ConnectionChange(BaseModel):
    """What shall change; null forgets the token or the app, and one takes the place of the other.

    An address on another host needs it anew (or forgotten).
    """

    clone_url: Url | None = None
    repository: str | None = Field(default=None, max_length=500)
    api_url: Url | None = None
    token: AccessToken | None = None
    app: NewApp | None = None


class Connection(BaseModel):
    """A connection without its secrets."""

    name: str
    organization: str
    project: str
    forge: str
    repository: str
    clone_url: str
    api_url: str
    hook_url: str
    has_token: bool
    app: ShownApp | None = Field(description="The GitHub App that makes tokens")
    has_deploy_key: bool = Field(description="It is cloned over SSH with a key of its own")
    rotating: bool = Field(description="The former secret is accepted too")
    version: int
    created_at: datetime


class ConnectionWithSecret(Connection):
    """As it is shown once: copy the secret to the forge's webhook settings now."""

    secret: str


class Rotation(BaseModel):
    """The new secret; made where it is missing."""

    secret: HookSecret | None = None


def _shown(stored: StoredConnection, unit_url: str) -> Connection:
    return Connection(
        name=stored.name,
        organization=stored.organization,
        project=stored.project,
        forge=stored.forge,
        repository=stored.repository,
        clone_url=stored.clone_url,
        api_url=stored.api_url,
        hook_url=stored.hook_url or f"{unit_url}/hooks/{stored.name}",
        has_token=stored.sealed_token is not None,
        app=credentials.shown_app(stored),
        has_deploy_key=bool(stored.deploy_key),
        rotating=len(stored.sealed_secrets) > 1,
        version=stored.version,
        created_at=stored.created_at,
    )


def _with_secret(stored: StoredConnection, url: str, secret: str) -> ConnectionWithSecret:
    return ConnectionWithSecret(**_shown(stored, url).model_dump(), secret=secret)


@router.get("")
async def list_connections(organization: Slug, window: Paged, caller: Asking, using: Using) -> Page[Connection]:
    """The organization's connections."""
    await caller.may("connection.read", of_organization(organization))
    rows = await connections.find(using.pool, organization, window.after, window.fetch)
    shown = [_shown(row, using.settings.public_url) for row in rows]
    return Page.of(shown, window, lambda row: row.name)


@router.post("", status_code=201)
async def create_connection(organization: Slug, wanted: NewConnection, caller: Asking, unit: Within) -> ConnectionWithSecret:
    """Makes a connection. Its secret is in this answer only."""
    await caller.may("connection.write", of_project(organization, wanted.project))
    if wanted.name == OWN_CONNECTION:
        raise taken("connection", OWN_CONNECTION, "It is the own git remote's.")
    credentials.only_one(wanted.token, wanted.app)
    await unit.begin()
    secret = wanted.secret or secrets.token_hex(32)
    entry = StoredConnection(
        name=wanted.name,
        organization=organization,
        project=wanted.project,
        forge=wanted.forge,
        repository=wanted.repository or identity_of(wanted.clone_url),
        clone_url=wanted.clone_url,
        api_url=wanted.api_url or api_url_of(wanted.forge, wanted.clone_url),
        sealed_secrets=(await _seal(unit, organization, wanted.project, connections.secret_of(wanted.name), secret),),
        sealed_token=None,
        version=1,
        created_at=utc_now(),
    )
    if wanted.app is not None:
        entry = await credentials.with_app(unit, entry, wanted.app)
    elif wanted.token is not None:
        entry = await credentials.with_token(unit, entry, wanted.token)
    with referring(not_found("project", f"{organization}/{wanted.project}")):
        made = await connections.new(unit.connection, entry)
    if made is None:
        raise taken("connection", wanted.name, "Names are unique in the installation: take another.")
    await unit.changed(caller, "created", "connection", made.name, organization, made.project)
    return _with_secret(made, unit.parts.settings.public_url, secret)


@router.get("/{name}")
async def get_connection(organization: Slug, name: Slug, caller: Asking, using: Using) -> Connection:
    """One connection."""
    await caller.may("connection.read", of_organization(organization))
    found = await connections.get(using.pool, organization, name)
    if found is None:
        raise not_found("connection", name)
    return _shown(found, using.settings.public_url)


@router.patch("/{name}")
async def change_connection(organization: Slug, name: Slug, wanted: ConnectionChange, caller: Asking, unit: Within) -> Connection:
    """Changes what is named. A stored token or app goes to no other host than it was given for: a change of host needs it again."""
    credentials.only_one(wanted.token, wanted.app)
    former = await _permitted(organization, name, caller, unit)
    said = wanted.model_dump(exclude_unset=True, exclude={"token", "app"})
    changes = {key: value for key, value in said.items() if value is not None}
    given = wanted.model_fields_set & {"token", "app"}
    if credentials.has_any(former) and not given:
        for field, url in changes.items():
            if field.endswith("_url") and credentials.origin(url) != credentials.origin(getattr(former, field)):
                raise _token_needed(field, former)
    changes |= _along(former, changes)
    hook_id = "" if changes else former.hook_id  # another repository has other hooks
    changed = replace(former, **changes, hook_id=hook_id)
    if wanted.app is not None or given == {"app"}:
        changed = await credentials.with_app(unit, changed, wanted.app)
    elif given:
        changed = await credentials.with_token(unit, changed, wanted.token)
    return await _update(changed, caller, unit)


@router.post("/{name}/rotate")
async def rotate_secret(
    organization: Slug, name: Slug, caller: Asking, unit: Within, wanted: Rotation | None = None
) -> ConnectionWithSecret:
    """A new secret; the former one is accepted too until the rotation is finished."""
    former = await _permitted(organization, name, caller, unit)
    secret = (wanted.secret if wanted else None) or secrets.token_hex(32)
    sealed = await _seal(unit, organization, former.project, connections.secret_of(name), secret)
    await _update(replace(former, sealed_secrets=(sealed, *former.sealed_secrets[:1])), caller, unit)
    stored = await connections.get(unit.connection, organization, name)
    if stored is None:
        raise not_found("connection", name)
    return _with_secret(stored, unit.parts.settings.public_url, secret)


@router.post("/{name}/finish-rotation")
async def finish_rotation(organization: Slug, name: Slug, caller: Asking, unit: Within) -> Connection:
    """Only the newest secret is accepted from now on."""
    former = await _permitted(organization, name, caller, unit)
    if len(former.sealed_secrets) < 2:
        raise Problem(409, "not-rotating", f"The connection {name} has one secret only: there is nothing to finish.")
    return await _update(replace(former, sealed_secrets=former.sealed_secrets[:1]), caller, unit)


@router.delete("/{name}", status_code=204)
async def delete_connection(organization: Slug, name: Slug, caller: Asking, unit: Within) -> None:
    """Deliveries to it are refused from now on."""
    former = await _permitted(organization, name, caller, unit)
    await connections.delete(unit.connection, organization, name)
    await unit.changed(caller, "deleted", "connection", name, organization, former.project)


async def _permitted(organization: str, name: str, caller: Asking, unit: Unit) -> StoredConnection:
    found = await connections.get(unit.reads, organization, name)
    where = of_organization(organization) if found is None else of_project(organization, found.project)
    await caller.may("connection.write", where)
    found = await connections.lock(await unit.begin(), organization, name)
    if found is None:
        raise not_found("connection", name)
    return found


def _along(former: StoredConnection, changes: dict[str, str]) -> dict[str, str]:
    """What the former clone address said, and nobody otherwise: the new one says it now. With an old API the token would go there."""
    url = changes.get("clone_url")
    if url is None:
        return {}
    told = {
        "repository": (identity_of(former.clone_url), identity_of(url)),
        "api_url": (api_url_of(former.forge, former.clone_url), api_url_of(former.forge, url)),
    }
    return {field: now for field, (was, now) in told.items() if field not in changes and getattr(former, field) == was}


def _token_needed(field: str, former: StoredConnection) -> Problem:
    detail = (
        f"{field} leads to another host than {getattr(former, field) or 'the one before'}, and the stored token or app is not shown there: "
        "give it anew with the address, or null to forget it."
    )
    return Problem(422, "token-needed", detail)


async def _update(wanted: StoredConnection, caller: Asking, unit: Unit) -> Connection:
    stored = await connections.update(unit.connection, wanted)
    if stored is None:
        raise not_found("connection", wanted.name)
    await unit.changed(caller, "updated", "connection", stored.name, stored.organization, stored.project)
    return _shown(stored, unit.parts.settings.public_url)


async def _seal(unit: Unit, organization: str, project: str, place: str, value: str) -> bytes:
    return await unit.parts.safe.seal(unit.connection, project_scope(organization, project), place, value)
