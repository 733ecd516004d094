"""Environments: where a project runs, and which ref it follows."""

from dataclasses import replace
from typing import Annotated, Literal, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints, model_validator

from services.api.access import APPROVE_BY_POLICY, Asking, Caller, of_environment, of_project
from services.api.dependencies import Using
from services.api.paging import Page, Paged
from services.api.refusals import not_found, referring, still_going, taken
from services.api.resources.organizations import DisplayName
from services.api.resources.requests import Accepted, submit
from services.api.store import forgotten, places, previews
from services.api.store.places import Environment, Reads
from services.api.transaction import TransactionalRoute, Within
from shared.contracts.places import EnvironmentKind, Place
from shared.contracts.requests import RemoveRequested, RollbackRequested
from shared.messages import Slug, utc_now
from shared.problems import Problem

router = APIRouter(prefix="/environments/{organization}/{project}", tags=["environments"], route_class=TransactionalRoute)

RefPattern = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^refs/[^\x00-\x1f ]+$")]
"""Full name of a ref; `*` matches any part of a name, slashes too."""
Most = Annotated[int, Field(ge=1, le=100)]
TimeToLive = Annotated[int, Field(ge=60, le=365 * 86400)]
"""In seconds."""


class NewEnvironment(BaseModel):
    """`production` follows refs/heads/main where nothing else is said; others follow a branch of their own name."""

    slug: Slug
    name: DisplayName | None = None
    kind: EnvironmentKind = EnvironmentKind.PRODUCTION
    target: Slug | None = None
    ref: RefPattern | None = None
    connection: Slug | None = Field(default=None, description="Follow this connection only")
    needs_approval: bool = False
    follows: Literal["ref", "change_requests"] = Field(
        default="ref", description="change_requests: each of those into `ref` gets an environment like this one, in which nothing runs"
    )
    most: Most | None = Field(default=None, description="Previews at once, 5 where nothing else is said")
    ttl_s: TimeToLive | None = Field(
        default=None, description="Seconds that a preview stays without an update, 7 days where nothing is said"
    )

    @model_validator(mode="after")
    def _previews(self) -> Self:
        if self.follows == "change_requests" and self.kind is not EnvironmentKind.PREVIEW:
            raise ValueError("what follows change requests is of the kind preview")
        if self.follows == "ref" and (self.most or self.ttl_s):
            raise ValueError("`most` and `ttl_s` are of what follows change requests")
        return self


class EnvironmentChange(BaseModel):
    """What shall change; the rest stays."""

    name: DisplayName | None = None
    target: Slug | None = None
    ref: RefPattern | None = None
    connection: Slug | None = None
    needs_approval: bool | None = None
    most: Most | None = None
    ttl_s: TimeToLive | None = None


class Rollback(BaseModel):
    """`to`: a deployment that succeeded; the environment's newest but one where it is missing."""

    to: str | None = Field(default=None, max_length=64)


def _usual_ref(wanted: NewEnvironment) -> str:
    if wanted.follows == "change_requests":
        return "refs/heads/*"
    return "refs/heads/main" if wanted.slug == "production" else f"refs/heads/{wanted.slug}"


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
        ref=wanted.ref or _usual_ref(wanted),
        connection=wanted.connection,
        needs_approval=wanted.needs_approval,
        version=1,
        created_at=utc_now(),
        follows=wanted.follows,
        most=(wanted.most or previews.USUAL_MOST) if wanted.follows == "change_requests" else None,
        ttl_s=(wanted.ttl_s or previews.USUAL_TTL_S) if wanted.follows == "change_requests" else None,
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
    if not former.is_template and (wanted.most or wanted.ttl_s):
        raise Problem(422, "no-template", f"{environment} does not follow change requests: it has no `most` and no `ttl_s`.")
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
    found = await permitted(caller, "environment.delete", unit.reads, organization, project, environment)
    await unit.begin()
    if found.is_template and (there := await previews.like(unit.connection, organization, project, environment)):
        detail = f"{environment} has previews: {', '.join(there)}. Close their change requests, or remove them first."
        raise Problem(409, "has-previews", detail)
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
