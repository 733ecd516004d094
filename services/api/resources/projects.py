"""Projects: what is deployed together."""

from fastapi import APIRouter
from pydantic import BaseModel

from services.api.access import Asking, of_organization, of_project
from services.api.dependencies import Using
from services.api.paging import Page, Paged
from services.api.refusals import not_found, referring, still_going, taken
from services.api.resources.organizations import DisplayName, Renaming
from services.api.store import forgotten, places
from services.api.store.places import Project
from services.api.transaction import TransactionalRoute, Within
from shared.messages import Slug
from shared.problems import Problem

router = APIRouter(prefix="/projects/{organization}", tags=["projects"], route_class=TransactionalRoute)


class NewProject(BaseModel):
    """The slug never changes; the name is the slug where it is missing."""

    slug: Slug
    name: DisplayName | None = None


@router.get("")
async def list_projects(organization: Slug, window: Paged, caller: Asking, using: Using) -> Page[Project]:
    """The organization's projects in which you have a role."""
    rows = await places.projects(using.pool, organization, window.after, window.fetch)
    page = Page.of(rows, window, lambda row: row.slug)
    return page.model_copy(update={"items": [row for row in page.items if caller.sees(organization, row.slug)]})


@router.post("", status_code=201)
async def create_project(organization: Slug, wanted: NewProject, caller: Asking, unit: Within) -> Project:
    """Makes a project."""
    await caller.may("project.create", of_organization(organization))
    with referring(not_found("organization", organization)):
        made = await places.new_project(await unit.begin(), organization, wanted.slug, wanted.name or wanted.slug)
    if made is None:
        raise taken("project", f"{organization}/{wanted.slug}")
    if await forgotten.waits(unit.connection, of_project(organization, wanted.slug)):
        raise still_going("project", f"{organization}/{wanted.slug}")
    await unit.changed(caller, "created", "project", made.slug, organization, made.slug)
    return made


@router.get("/{project}")
async def get_project(organization: Slug, project: Slug, caller: Asking, using: Using) -> Project:
    """One project."""
    if not caller.sees(organization, project):
        await caller.may("project.read", of_project(organization, project))
    found = await places.project(using.pool, organization, project)
    if found is None:
        raise not_found("project", f"{organization}/{project}")
    return found


@router.patch("/{project}")
async def rename_project(organization: Slug, project: Slug, wanted: Renaming, caller: Asking, unit: Within) -> Project:
    """Changes the display name."""
    await caller.may("project.update", of_project(organization, project))
    changed = await places.rename_project(await unit.begin(), organization, project, wanted.name)
    if changed is None:
        raise not_found("project", f"{organization}/{project}")
    await unit.changed(caller, "updated", "project", project, organization, project)
    return changed


@router.delete("/{project}", status_code=204)
async def delete_project(organization: Slug, project: Slug, caller: Asking, unit: Within) -> None:
    """Deletes a project without environments and connections; its secrets and the roles on it go with it, for good."""
    await caller.may("project.delete", of_project(organization, project))
    detail = f"The project {organization}/{project} still has environments or connections. Remove them first."
    with referring(Problem(409, "not-empty", detail)):
        if not await places.delete_project(await unit.begin(), organization, project):
            raise not_found("project", f"{organization}/{project}")
    await forgotten.add(unit.connection, of_project(organization, project), caller.id)
    await unit.changed(caller, "deleted", "project", project, organization, project)
