"""People, their forge accounts and roles. auth keeps them; it checks each change and writes the audit log."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.api.access import Asking, of_organization
from services.api.dependencies import Using
from services.api.paging import Page, Paged
from services.api.resources.organizations import DisplayName
from services.api.store import connections
from services.api.transaction import TransactionalRoute, Within
from shared.forges import server_named, server_of
from shared.messages import Slug
from shared.problems import Problem
from shared.proto import auth_pb2 as pb
from shared.rpc import CALL_S

router = APIRouter(tags=["people"], route_class=TransactionalRoute)


class Identity(BaseModel):
    """An account on a forge; pushes from it are this person's."""

    forge: str = Field(
        min_length=1,
        max_length=300,
        description="github, gitlab or bitbucket for github.com, gitlab.com and bitbucket.org; <kind>:<host> for a server of your own",
    )
    login: str = Field(default="", max_length=200)
    account_id: str = Field(default="", max_length=200)


class RoleGrant(BaseModel):
    """A role on `organization/<o>`, `project/<o>/<p>` or `environment/<o>/<p>/<e>`, and everything inside."""

    role: Literal["viewer", "deployer", "admin"]
    resource: str = Field(max_length=200)


class Person(BaseModel):
    """Somebody."""

    id: str
    name: str
    email: str
    identities: list[Identity]
    roles: list[RoleGrant]


class NewPerson(BaseModel):
    """Somebody new; they can do nothing before they have a role and a token."""

    name: DisplayName
    email: str = Field(default="", max_length=320)


def _person(found: pb.Person) -> Person:
    return Person(
        id=found.id,
        name=found.name,
        email=found.email,
        identities=[Identity(forge=i.forge, login=i.login, account_id=i.account_id) for i in found.identities],
        roles=[RoleGrant.model_validate({"role": g.role, "resource": g.resource}) for g in found.grants],
    )


@router.get("/people")
async def list_people(organization: Slug, window: Paged, caller: Asking, using: Using) -> Page[Person]:
    """Those with a role in an organization."""
    await caller.may("person.read", of_organization(organization))
    request = pb.ListPeopleRequest(organization=organization, after=window.after, limit=window.limit)
    found = await using.auth.stub.ListPeople(request, timeout=CALL_S)
    return Page(items=[_person(person) for person in found.people], next=found.next or None)


@router.post("/people", status_code=201)
async def create_person(wanted: NewPerson, caller: Asking, using: Using, unit: Within) -> Person:
    """Adds somebody."""
    await unit.begin_if_keyed()
    request = pb.CreatePersonRequest(name=wanted.name, email=wanted.email, by=caller.id)
    return _person(await using.auth.stub.CreatePerson(request, timeout=CALL_S))


@router.delete("/people/{person}", status_code=204)
async def delete_person(person: str, caller: Asking, using: Using) -> None:
    """Removes somebody; their tokens are worth nothing from then on."""
    await using.auth.stub.DeletePerson(pb.DeletePersonRequest(id=person, by=caller.id), timeout=CALL_S)


@router.put("/people/{person}/identities")
async def link_identity(person: str, wanted: Identity, caller: Asking, using: Using) -> Identity:
    """Pushes from this account are theirs. The forge is one that a connection leads to, which the caller sees."""
    forge = await _connected(wanted.forge, caller, using)
    request = pb.Identity(person=person, forge=forge, login=wanted.login, account_id=wanted.account_id, by=caller.id)
    linked = await using.auth.stub.LinkIdentity(request, timeout=CALL_S)
    return Identity(forge=linked.forge, login=linked.login, account_id=linked.account_id)


@router.delete("/people/{person}/identities", status_code=204)
async def unlink_identity(person: str, caller: Asking, using: Using, forge: str, login: str = "", account_id: str = "") -> None:
    """No longer theirs."""
    request = pb.Identity(person=person, forge=server_named(forge), login=login, account_id=account_id, by=caller.id)
    await using.auth.stub.UnlinkIdentity(request, timeout=CALL_S)


async def _connected(forge: str, caller: Asking, using: Using) -> str:
    """The server that is meant; raises a 422 that names those there are. Elsewhere nobody pushes from: it would be a slip of the pen."""
    found = [each for organization in caller.organizations() for each in await connections.everywhere(using.pool, organization)]
    servers = sorted({server_of(each.forge, each.clone_url) for each in found if caller.sees(each.organization, each.project)})
    if (named := server_named(forge)) in servers:
        return named
    there = f"connections lead to {', '.join(servers)}" if servers else "there is no connection yet"
    usage = "A server of your own is written <kind>:<host>, as in gitlab:git.acme.example. Make the connection first."
    raise Problem(422, "unknown-forge", f"No connection leads to {forge}; {there}. {usage}")


@router.put("/people/{person}/roles")
async def grant_role(person: str, wanted: RoleGrant, caller: Asking, using: Using) -> RoleGrant:
    """Gives a role; it replaces the one that they have on that resource."""
    request = pb.RoleGrant(person=person, role=wanted.role, resource=wanted.resource, by=caller.id)
    await using.auth.stub.Grant(request, timeout=CALL_S)
    return wanted


@router.delete("/people/{person}/roles", status_code=204)
async def revoke_role(person: str, caller: Asking, using: Using, resource: Annotated[str, Query(max_length=200)]) -> None:
    """Takes the role on that resource away."""
    await using.auth.stub.Revoke(pb.RoleGrant(person=person, resource=resource, by=caller.id), timeout=CALL_S)
