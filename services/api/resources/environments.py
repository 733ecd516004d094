"""Environments: where a project runs, and which ref it follows."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints

from services.api.access import APPROVE_BY_POLICY, Asking, Caller, of_environment, of_project
from services.api.dependencies import Using
from services.api.paging import Page, Paged
from services.api.refusals import not_found, referring, still_going, taken
from services.api.resources.organizations import DisplayName
from services.api.resources.requests import Accepted, submit
from services.api.store import forgotten, places
from services.api.store.places import Environment, Reads
from services.api.transaction import TransactionalRoute, Within
from shared.contracts.places import EnvironmentKind, Place
from shared.contracts.requests import RemoveRequested, RollbackRequested
from shared.messages import Slug, utc_now

router = APIRouter(prefix="/environments/{organization}/{project}", tags=["environments"], route_class=TransactionalRoute)

RefPattern = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^refs/[^\x00-\x1f ]+$")]
"""Full name of a ref; `*` matches any part of a name, slashes too."""


class NewEnvironment(BaseModel):
    """`production` follows refs/heads/main where nothing else is said; others follow a branch of their own name."""

    slug: Slug
    name: DisplayName | None = None
    kind: EnvironmentKind = EnvironmentKind.PRODUCTION
    target: Slug | None = None
    ref: RefPattern | None = None
    connection: Slug | None = Field(default=None, description="Follow this connection only")
    needs_approval: bool = False


class EnvironmentChange(BaseModel):
    """What shall change; the rest stays."""

    name: DisplayName | None = None
    target: Slug | None = None
    ref: RefPattern | None = None
    connection: Slug | None = None
    needs_approval: bool | None = None


class Rollback(BaseModel):
    """`to`: a deployment that succeeded; the environment's newest but one where it is missing."""

    to: str | None = None


async def known(reads: Reads, organization: str, project: str, environment: str) -> Environment | None:
    """The environment, read before the caller's right is checked, because production asks for more."""
    return await places.environment(reads, organization, project, environment)


async def permitted(caller: Caller, action: str, reads: Reads, organization: str, project: str, environment: str) -> Environment:
    """The environment, where the caller may do the action to it; else 403 (whether it exists or not) or 404."""
    found = await known(reads, organization, project, environment)
    kind = "" if found is None else found.kind
    await caller.may(action, of_environment(organization, project, environment), kind)
    if found is None:
        raise not_found("environment", f"{organization}/{project}/{environment}")
    return found


@router.get("")
async def list_environments(organization: Slug, project: Slug, window: Paged, caller: Asking, using: Using) -> Page[Environment]:
    """The project's environments in which you have a role."""
    rows = await places.environments(using.pool, organization, project, window.after, window.fetch)
    page = Page.of(rows, window, lambda row: row.slug)
    seen = [row for row in page.items if caller.sees(organization, project, row.slug)]
    return page.model_copy(update={"items": seen})


@router.post("", status_code=201)
async def create_environment(organization: Slug, project: Slug, wanted: NewEnvironment, caller: Asking, unit: Within) -> Environment:
    """Makes an environment; nothing runs there before the first deployment."""
    await caller.may("environment.create", of_project(organization, project), wanted.kind)
    target = wanted.target or unit.parts.settings.target
    entry = Environment(
        organization=organization,
        project=project,
        slug=wanted.slug,
        name=wanted.name or wanted.slug,
        kind=wanted.kind,
        target=target,
        ref=wanted.ref or ("refs/heads/main" if wanted.slug == "production" else f"refs/heads/{wanted.slug}"),
        connection=wanted.connection,
        needs_approval=wanted.needs_approval,
        version=1,
        created_at=utc_now(),
    )
    with referring(not_found("project or target", f"{organization}/{project} on {target}")):
        made = await places.new_environment(await unit.begin(), entry)
    if made is None:
        raise taken("environment", f"{organization}/{project}/{wanted.slug}")
    if await forgotten.waits(unit.connection, of_environment(organization, project, wanted.slug)):
        raise still_going("environment", f"{organization}/{project}/{wanted.slug}")
    await unit.changed(caller, "created", "environment", made.slug, organization, project, made.slug)
    return made


@router.get("/{environment}")
async def get_environment(organization: Slug, project: Slug, environment: Slug, caller: Asking, using: Using) -> Environment:
    """One environment."""
    return await permitted(caller, "environment.read", using.pool, organization, project, environment)


@router.patch("/{environment}")
async def change_environment(
    organization: Slug, project: Slug, environment: Slug, wanted: EnvironmentChange, caller: Asking, unit: Within
) -> Environment:
    """Changes what is named; `connection: null` means any connection again."""
    former = await permitted(caller, "environment.update", unit.reads, organization, project, environment)
    if former.needs_approval and wanted.needs_approval is False:
        await caller.may(APPROVE_BY_POLICY, of_environment(organization, project, environment), former.kind)
    locked = await places.lock_environment(await unit.begin(), organization, project, environment)
    said = wanted.model_dump(exclude_unset=True)
    changes = {name: value for name, value in said.items() if value is not None or name == "connection"}
    with referring(not_found("target", str(wanted.target))):
        changed = await places.update_environment(unit.connection, replace(locked or former, **changes))
    if changed is None:
        raise not_found("environment", f"{organization}/{project}/{environment}")
    details = ", ".join(sorted(changes))
    await unit.changed(caller, "updated", "environment", environment, organization, project, environment, details)
    return changed


@router.delete("/{environment}", status_code=202)
async def remove_environment(organization: Slug, project: Slug, environment: Slug, caller: Asking, unit: Within) -> Accepted:
    """Removes everything that runs there; the entry goes once that has succeeded."""
    await permitted(caller, "environment.delete", unit.reads, organization, project, environment)
    place = Place(organization=organization, project=project, environment=environment)
    return await submit(unit, caller, RemoveRequested(organization=organization, subject=caller.id, place=place))


@router.post("/{environment}/rollback", status_code=202)
async def roll_back(
    organization: Slug, project: Slug, environment: Slug, caller: Asking, unit: Within, wanted: Rollback | None = None
) -> Accepted:
    """Returns the environment to what it ran before, as one."""
    await permitted(caller, "deployment.rollback", unit.reads, organization, project, environment)
    place = Place(organization=organization, project=project, environment=environment)
    to = None if wanted is None else wanted.to
    return await submit(unit, caller, RollbackRequested(organization=organization, subject=caller.id, place=place, to=to))
