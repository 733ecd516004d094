"""Organizations: whose projects these are."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, StringConstraints

from services.api.access import Asking, of_organization
from services.api.dependencies import Using
from services.api.paging import Page, Paged
from services.api.refusals import not_found, referring, still_going, taken
from services.api.store import forgotten, places
from services.api.store.places import Organization
from services.api.transaction import TransactionalRoute, Within
from shared.messages import Slug
from shared.problems import Problem
from shared.proto import auth_pb2 as pb
from shared.rpc import CALL_S

router = APIRouter(prefix="/organizations", tags=["organizations"], route_class=TransactionalRoute)

DisplayName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
"""A name that may hold anything."""


class NewOrganization(BaseModel):
    """The slug never changes; the name is the slug where it is missing."""

    slug: Slug
    name: DisplayName | None = None


class Renaming(BaseModel):
    """A new display name."""

    name: DisplayName


@router.get("")
async def list_organizations(window: Paged, caller: Asking, using: Using) -> Page[Organization]:
    """Those in which you have a role."""
    rows = await places.organizations(using.pool, caller.organizations(), window.after, window.fetch)
    return Page.of(rows, window, lambda row: row.slug)


@router.post("", status_code=201)
async def create_organization(wanted: NewOrganization, caller: Asking, unit: Within) -> Organization:
    """Makes an organization; you are its admin.

    You are made its admin first: of two who make one of the same name at once, auth lets one be the first admin only.
    """
    resource = of_organization(wanted.slug)
    await caller.may("organization.create", resource)
    if await places.organization(unit.reads, wanted.slug) is not None:
        raise taken("organization", wanted.slug)
    if await forgotten.waits(unit.reads, resource):
        raise still_going("organization", wanted.slug)
    await caller.auth.stub.Grant(pb.RoleGrant(person=caller.id, role="admin", resource=resource, by=caller.id), timeout=CALL_S)
    made = await places.new_organization(await unit.begin(), wanted.slug, wanted.name or wanted.slug)
    if made is None:
        raise taken("organization", wanted.slug)
    await unit.changed(caller, "created", "organization", made.slug, made.slug)
    return made


@router.get("/{organization}")
async def get_organization(organization: Slug, caller: Asking, using: Using) -> Organization:
    """One organization."""
    await caller.may("organization.read", of_organization(organization))
    found = await places.organization(using.pool, organization)
    if found is None:
        raise not_found("organization", organization)
    return found


@router.patch("/{organization}")
async def rename_organization(organization: Slug, wanted: Renaming, caller: Asking, unit: Within) -> Organization:
    """Changes the display name."""
    await caller.may("organization.update", of_organization(organization))
    changed = await places.rename_organization(await unit.begin(), organization, wanted.name)
    if changed is None:
        raise not_found("organization", organization)
    await unit.changed(caller, "updated", "organization", organization, organization)
    return changed


@router.delete("/{organization}", status_code=204)
async def delete_organization(organization: Slug, caller: Asking, unit: Within) -> None:
    """Deletes an organization that is empty. All roles in it end with it."""
    await caller.may("organization.delete", of_organization(organization))
    detail = f"The organization {organization} still has projects or channels. Delete them first."
    with referring(Problem(409, "not-empty", detail)):
        if not await places.delete_organization(await unit.begin(), organization):
            raise not_found("organization", organization)
    await forgotten.add(unit.connection, of_organization(organization), caller.id)
    await unit.changed(caller, "deleted", "organization", organization, organization)
