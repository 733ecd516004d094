"""Hooks: what a forge has so that it tells of pushes, made and removed there with the connection's token."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from services.api.access import Asking, of_project
from services.api.dependencies import Parts
from services.api.forges.github_app import Use
from services.api.forges.reach import unreachable
from services.api.resources import credentials
from services.api.safe import project_scope
from services.api.store import connections
from services.api.store.connections import StoredConnection
from services.api.transaction import TransactionalRoute, Within
from shared.forge_api import ForgeRepository
from shared.messages import Slug
from shared.problems import Problem

router = APIRouter(prefix="/connections/{organization}/{name}/hook", tags=["connections"], route_class=TransactionalRoute)


def _base(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("an address without credential or query: https://slipway.example")
    return url.rstrip("/")


class WantedHook(BaseModel):
    """Where the forge shall call. `public_url`: Slipway's address as the forge reaches it, where that is another than its own."""

    public_url: Annotated[str, StringConstraints(max_length=1000), AfterValidator(_base)] | None = None


class Hook(BaseModel):
    """The hook at the forge. Its secret is the connection's."""

    connection: str
    forge: str
    url: str
    created: bool = Field(description="It was not there before; else it was found and set")
    test: bool = Field(description="A delivery is on its way that leads to no deployment; else the first push shows whether it works")


class RemovedHook(BaseModel):
    """Whether there was a hook to remove."""

    connection: str
    removed: bool


@router.post("")
async def make_hook(organization: Slug, name: Slug, caller: Asking, unit: Within, wanted: WantedHook | None = None) -> Hook:
    """Makes the hook at the forge, or finds it and gives it the connection's newest secret; and has the forge test it where it can."""
    parts = unit.parts
    stored = await credentials.permitted(organization, name, caller, parts)
    base = wanted.public_url if wanted else None
    url = f"{base}/hooks/{name}" if base else stored.hook_url or f"{parts.settings.public_url}/hooks/{name}"
    obstacle = unreachable(url, urlsplit(stored.clone_url).hostname or "")
    if obstacle:
        detail = f"The hook would lead to {url}: {obstacle}. Say by which public address Slipway is reached: public_url https://…"
        raise Problem(422, "not-reachable", detail)
    repository = await _repository(stored, parts)
    made = await parts.hooks.ensure(repository, stored.hook_id, url, await _secret(stored, parts))
    await connections.hooked(await unit.begin(), organization, name, made.hook.id, url)
    await unit.audit(caller, "connection.hook-made", of_project(organization, stored.project), f"{name}: {url}")
    return Hook(connection=name, forge=stored.forge, url=url, created=made.created, test=made.test)


@router.delete("")
async def remove_hook(organization: Slug, name: Slug, caller: Asking, unit: Within) -> RemovedHook:
    """Takes the hook away at the forge."""
    parts = unit.parts
    stored = await credentials.permitted(organization, name, caller, parts)
    url = stored.hook_url or f"{parts.settings.public_url}/hooks/{name}"
    removed = await parts.hooks.remove(await _repository(stored, parts), stored.hook_id, url)
    await connections.hooked(await unit.begin(), organization, name, "", "")
    await unit.audit(caller, "connection.hook-removed", of_project(organization, stored.project), f"{name}: {url}")
    return RemovedHook(connection=name, removed=removed)


async def _repository(stored: StoredConnection, parts: Parts) -> ForgeRepository:
    if not credentials.has_any(stored):
        raise Problem(422, "token-missing", f"The connection {stored.name} has no token, without which no hook is made or removed.")
    if not stored.api_url:
        raise Problem(
            422, "api-unknown", f"Where the forge's API is cannot be told from {stored.clone_url}: give the connection its api_url."
        )
    return credentials.repository_of(stored, await credentials.token_for(parts, stored, Use.HOOKS))


async def _secret(stored: StoredConnection, parts: Parts) -> str:
    async with parts.pool.acquire() as connection:
        scope = project_scope(stored.organization, stored.project)
        return await parts.safe.open(connection, scope, connections.secret_of(stored.name), stored.sealed_secrets[0])
