"""Gates: outside tools that an environment asks before a stage."""

from dataclasses import replace
from datetime import datetime
from typing import Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.api.access import Asking, Caller, of_environment, of_organization, of_project
from services.api.dependencies import Parts, Using
from services.api.paging import Page, Paged
from services.api.refusals import not_found, referring, taken
from services.api.resources.subscribers import Connection, OnTheBus, new_password, server_entry
from services.api.store import gates, places
from services.api.store.gates import StoredGate
from services.api.transaction import TransactionalRoute, Unit, Within
from shared.contracts.gates import LONGEST_S, SHORTEST_S, Before, Verdict, subject_of
from shared.messages import Slug, new_id, utc_now
from shared.problems import Problem

router = APIRouter(prefix="/gates/{organization}", tags=["gates"], route_class=TransactionalRoute)

TOKEN = "slwgate_"  # noqa: S105 -- what all of them begin with
DEADLINE_S = 600.0


class NewGate(BaseModel):
    """What is asked, where, before what, how long it is waited for, and what counts where nobody answers."""

    name: Slug = Field(description="Unique in the organization")
    project: Slug
    environment: Slug
    before: Before
    deadline_s: float = Field(default=DEADLINE_S, ge=SHORTEST_S, le=LONGEST_S, description="An hour at most before the switch")
    default: Verdict = "fail"


class GateChange(BaseModel):
    """What shall change."""

    before: Before | None = None
    deadline_s: float | None = Field(default=None, ge=SHORTEST_S, le=LONGEST_S, description="An hour at most before the switch")
    default: Verdict | None = None


class GatePage(OnTheBus):
    """A gate, and its tool."""

    organization: str
    name: str
    project: str
    environment: str
    before: Before
    deadline_s: float
    default: Verdict
    created_at: datetime
    answers_url: str = Field(description="Where its tool answers over HTTP, with its password as bearer token")
    answers_subject: str = Field(description="Where its tool answers on the bus")

    @classmethod
    def of(cls, stored: StoredGate, parts: Parts) -> Self:
        """As people see it."""
        subscriber = stored.on_the_bus()
        return cls(
            organization=stored.organization,
            name=stored.name,
            project=stored.project,
            environment=stored.environment,
            before=Before(stored.before),
            deadline_s=stored.deadline_s,
            default=stored.fallback,
            created_at=stored.created_at,
            answers_url=f"{parts.settings.public_url.rstrip('/')}/api/v1/gates/{stored.organization}/{stored.name}/answers",
            answers_subject=subject_of(stored.organization, stored.name),
            connection=Connection.of(subscriber, parts),
            server_entry=server_entry(subscriber, parts),
        )


class GateWithPassword(GatePage):
    """As it is shown once."""

    password: str


@router.get("")
async def list_gates(
    organization: Slug, window: Paged, caller: Asking, using: Using, project: Slug | None = None, environment: Slug | None = None
) -> Page[GatePage]:
    """The gates of an organization, of a project, or of an environment."""
    if environment is not None and project is None:
        raise Problem(422, "no-project", "An environment is named with its project.")
    if project is None:
        await caller.may("gate.read", of_organization(organization))
    elif environment is None:
        await caller.may("gate.read", of_project(organization, project))
    else:
        await caller.may("gate.read", of_environment(organization, project, environment))
    rows = await gates.find(using.pool, organization, project or "", environment or "", window.after, window.fetch)
    return Page.of([GatePage.of(row, using) for row in rows], window, lambda row: row.name)


@router.post("", status_code=201)
async def create_gate(organization: Slug, wanted: NewGate, caller: Asking, unit: Within) -> GateWithPassword:
    """Makes a gate: deployments that are created from now on ask it. Its password, which is its token too, is in this answer only."""
    place = (organization, wanted.project, wanted.environment)
    found = await places.environment(unit.reads, *place)
    await caller.may("gate.write", of_environment(*place), "" if found is None else found.kind)
    if found is None:
        raise not_found("environment", "/".join(place))
    if found.preview_of is not None:
        raise Problem(422, "preview", f"{found.slug} goes with its change request: add the gate to {found.preview_of}, which it is like.")
    _check(wanted.before, wanted.deadline_s)
    password, password_hash = new_password(TOKEN)
    gate = StoredGate(
        *(organization, wanted.name, new_id(), wanted.project, wanted.environment),
        *(wanted.before, wanted.deadline_s, wanted.default, password_hash, utc_now()),
    )
    await unit.begin()
    with referring(not_found("environment", "/".join(place))):
        made = await gates.new(unit.connection, gate)
    if made is None:
        raise taken("gate", wanted.name, "Names of gates are unique in the organization.")
    await unit.changed(caller, "created", "gate", made.name, *place, details=_details(made))
    return GateWithPassword(**GatePage.of(made, unit.parts).model_dump(), password=password)


async def permitted(caller: Caller, action: str, parts: Parts, organization: str, name: str) -> StoredGate:
    """The gate, where the caller may do the action to its environment; 404 where they may not even see that."""
    found = await gates.get(parts.pool, organization, name)
    if found is None or not caller.sees(organization, found.project, found.environment):
        raise not_found("gate", name)
    environment = await places.environment(parts.pool, organization, found.project, found.environment)
    await caller.may(action, found.resource, "" if environment is None else environment.kind)
    return found


@router.get("/{name}")
async def get_gate(organization: Slug, name: Slug, caller: Asking, using: Using) -> GatePage:
    """One gate, and how far its tool has read on the bus."""
    found = await permitted(caller, "gate.read", using, organization, name)
    return await GatePage.of(found, using).as_it_is(using.consumers, found.id)


@router.patch("/{name}")
async def change_gate(organization: Slug, name: Slug, wanted: GateChange, caller: Asking, unit: Within) -> GatePage:
    """Changes what is named, for deployments that are created from now on: what counts for others is the gate as it was for them."""
    gate = await _locked(organization, name, caller, unit)
    changed = replace(
        gate,
        before=wanted.before or gate.before,
        deadline_s=wanted.deadline_s or gate.deadline_s,
        fallback=wanted.default or gate.fallback,
    )
    _check(Before(changed.before), changed.deadline_s)
    return await _update(changed, caller, unit, _details(changed))


@router.post("/{name}/password")
async def renew_password(organization: Slug, name: Slug, caller: Asking, unit: Within) -> GateWithPassword:
    """A new password, which is the gate's token too; in this answer only. The former one holds no more, and who came with it is cut off."""
    gate = await _locked(organization, name, caller, unit)
    password, password_hash = new_password(TOKEN)
    page = await _update(replace(gate, password_hash=password_hash), caller, unit, "a new password")
    return GateWithPassword(**page.model_dump(), password=password)


@router.delete("/{name}", status_code=204)
async def delete_gate(organization: Slug, name: Slug, caller: Asking, unit: Within) -> None:
    """Deployments that are created from now on do not ask it; its tool is cut off. Those that wait for it get its default."""
    found = await permitted(caller, "gate.write", unit.parts, organization, name)
    await unit.begin()
    if not await gates.delete(unit.connection, organization, name):
        raise not_found("gate", name)
    await unit.changed(caller, "deleted", "gate", name, organization, found.project, found.environment)


async def _locked(organization: str, name: str, caller: Caller, unit: Unit) -> StoredGate:
    await permitted(caller, "gate.write", unit.parts, organization, name)
    gate = await gates.lock(await unit.begin(), organization, name)
    if gate is None:
        raise not_found("gate", name)
    return gate


async def _update(gate: StoredGate, caller: Caller, unit: Unit, details: str) -> GatePage:
    stored = await gates.update(unit.connection, gate)
    await unit.changed(caller, "updated", "gate", gate.name, gate.organization, gate.project, gate.environment, details=details)
    return GatePage.of(stored, unit.parts)


def _check(before: Before, deadline_s: float) -> None:
    if deadline_s > before.longest_s:
        detail = f"Before the switch the environment is held: the deadline is {before.longest_s:g} s at most."
        raise Problem(422, "deadline-too-long", detail)


def _details(gate: StoredGate) -> str:
    return f"before {gate.before}, {gate.deadline_s:g} s, {gate.fallback} by default"
