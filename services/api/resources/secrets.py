"""Secrets of projects and environments: listed by name only; revealed to those with the right, audited."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, StringConstraints

from services.api.access import Asking, Caller, of_project
from services.api.dependencies import Using
from services.api.paging import Page, Paged
from services.api.refusals import not_found
from services.api.resources.environments import permitted
from services.api.resources.variables import Name
from services.api.safe import project_scope
from services.api.store import places, secrets
from services.api.store.places import Reads
from services.api.store.secrets import Secret
from services.api.transaction import TransactionalRoute, Unit, Within
from shared.messages import Slug

router = APIRouter(tags=["secrets"], route_class=TransactionalRoute)

_OF_PROJECT = "/projects/{organization}/{project}/secrets"
_OF_ENVIRONMENT = "/environments/{organization}/{project}/{environment}/secrets"


class SecretValue(BaseModel):
    """A value; at most 64 KiB of text without NUL."""

    value: Annotated[str, StringConstraints(min_length=1, max_length=65_536, pattern=r"^[^\x00]*$")]


class Revealed(BaseModel):
    """A secret in plain text."""

    name: str
    version: int
    value: str


class Which(BaseModel):
    """A version; the newest where it is missing."""

    version: int | None = None


async def _check(caller: Caller, action: str, reads: Reads, organization: str, project: str, environment: str) -> None:
    if environment:
        await permitted(caller, action, reads, organization, project, environment)
        return
    await caller.may(action, of_project(organization, project))
    if await places.project(reads, organization, project) is None:
        raise not_found("project", f"{organization}/{project}")


@router.get(_OF_ENVIRONMENT)
async def list_secrets(organization: Slug, project: Slug, environment: Slug, window: Paged, caller: Asking, using: Using) -> Page[Secret]:
    """Names and versions of an environment's own secrets."""
    return await _list(organization, project, environment, window, caller, using)


@router.get(_OF_PROJECT)
async def list_project_secrets(organization: Slug, project: Slug, window: Paged, caller: Asking, using: Using) -> Page[Secret]:
    """Names and versions of the secrets that all environments of a project get."""
    return await _list(organization, project, "", window, caller, using)


async def _list(organization: str, project: str, environment: str, window: Paged, caller: Caller, using: Using) -> Page[Secret]:
    await _check(caller, "secret.read", using.pool, organization, project, environment)
    rows = await secrets.find(using.pool, organization, project, environment, window.after, window.fetch)
    return Page.of(rows, window, lambda row: row.name)


@router.put(_OF_ENVIRONMENT + "/{name}")
async def set_secret(
    organization: Slug, project: Slug, environment: Slug, name: Name, wanted: SecretValue, caller: Asking, unit: Within
) -> Secret:
    """A new version for one environment."""
    return await _set(organization, project, environment, name, wanted.value, caller, unit)


@router.put(_OF_PROJECT + "/{name}")
async def set_project_secret(organization: Slug, project: Slug, name: Name, wanted: SecretValue, caller: Asking, unit: Within) -> Secret:
    """A new version for all environments that have none of their own."""
    return await _set(organization, project, "", name, wanted.value, caller, unit)


async def _set(organization: str, project: str, environment: str, name: str, value: str, caller: Caller, unit: Unit) -> Secret:
    await _check(caller, "secret.write", unit.reads, organization, project, environment)
    version = await secrets.next_version(await unit.begin(), organization, project, name)
    place = secrets.belongs_to(organization, project, environment, name, version)
    sealed = await unit.parts.safe.seal(unit.connection, project_scope(organization, project), place, value)
    return await _add(organization, project, environment, name, version, sealed, caller, unit)


async def _add(
    organization: str,
    project: str,
    environment: str,
    name: str,
    version: int,
    sealed: bytes | None,
    caller: Caller,
    unit: Unit,
) -> Secret:
    stored = await secrets.add(unit.connection, organization, project, environment, name, version, sealed, caller.id)
    await places.touch(unit.connection, organization, project, environment)
    done = "deleted" if sealed is None else "updated"
    await unit.changed(caller, done, "secret", name, organization, project, environment or None, f"version {version}")
    return stored


@router.delete(_OF_ENVIRONMENT + "/{name}", status_code=204)
async def unset_secret(organization: Slug, project: Slug, environment: Slug, name: Name, caller: Asking, unit: Within) -> None:
    """Given to no new release. Former versions stay sealed, because a roll-back needs what its releases pinned."""
    await _unset(organization, project, environment, name, caller, unit)


@router.delete(_OF_PROJECT + "/{name}", status_code=204)
async def unset_project_secret(organization: Slug, project: Slug, name: Name, caller: Asking, unit: Within) -> None:
    """As for an environment's."""
    await _unset(organization, project, "", name, caller, unit)


async def _unset(organization: str, project: str, environment: str, name: str, caller: Caller, unit: Unit) -> None:
    await _check(caller, "secret.delete", unit.reads, organization, project, environment)
    version = await secrets.next_version(await unit.begin(), organization, project, name)
    known = await secrets.find(unit.connection, organization, project, environment)
    if name not in {secret.name for secret in known}:
        raise not_found("secret", name)
    await _add(organization, project, environment, name, version, None, caller, unit)


@router.post(_OF_ENVIRONMENT + "/{name}/reveal")
async def reveal_secret(
    organization: Slug,
    project: Slug,
    environment: Slug,
    name: Name,
    caller: Asking,
    unit: Within,
    which: Which | None = None,
) -> Revealed:
    """The value that the environment gets (its own, else the project's); the audit log tells who saw it."""
    return await _reveal(organization, project, environment, name, which, caller, unit)


@router.post(_OF_PROJECT + "/{name}/reveal")
async def reveal_project_secret(
    organization: Slug, project: Slug, name: Name, caller: Asking, unit: Within, which: Which | None = None
) -> Revealed:
    """The value; the audit log tells who saw it."""
    return await _reveal(organization, project, "", name, which, caller, unit)


async def _reveal(
    organization: str, project: str, environment: str, name: str, which: Which | None, caller: Caller, unit: Unit
) -> Revealed:
    await _check(caller, "secret.reveal", unit.reads, organization, project, environment)
    await unit.begin()
    version = None if which is None else which.version
    if version is None:
        found = await secrets.effective(unit.connection, organization, project, [environment])
    else:
        found = await secrets.pinned(unit.connection, organization, project, [environment], [(name, version)])
    secret = next((secret for secret in found if secret.name == name), None)
    if secret is None:
        raise not_found("secret", name if version is None else f"{name} version {version}")
    place = secrets.belongs_to(organization, project, secret.environment, name, secret.version)
    value = await unit.parts.safe.open(unit.connection, project_scope(organization, project), place, secret.sealed)
    resource = "/".join(part for part in (organization, project, environment) if part)
    kind = "environment" if environment else "project"
    await unit.audit(caller, "secret.reveal", f"{kind}/{resource}", f"{name} version {secret.version}")
    return Revealed(name=name, version=secret.version, value=value)
