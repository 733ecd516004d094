"""Gates: outside tools that an environment asks before a stage; who may answer, and how."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Self

import bcrypt
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from services.api.access import Asking, Caller, asking, bearer, of_environment, of_organization, of_project, token_of
from services.api.dependencies import Parts, Using, parts_of
from services.api.gate_answers import answer
from services.api.paging import Page, Paged
from services.api.refusals import not_found, referring, taken
from services.api.resources.requests import Accepted, RequestPage, keep
from services.api.resources.subscribers import Connection, OnTheBus, new_password, server_entry
from services.api.store import gates, places, requests
from services.api.store.gates import StoredGate
from services.api.transaction import TransactionalRoute, Within
from shared.contracts.gates import LONGEST_S, SHORTEST_S, Before, GateAnswer, Verdict, subject_of
from shared.messages import Slug, new_id, utc_now
from shared.problems import Problem

router = APIRouter(prefix="/gates/{organization}", tags=["gates"], route_class=TransactionalRoute)

TOKEN = "slwgate_"  # noqa: S105 -- what all of them begin with
DEADLINE_S = 600.0
_BCRYPT_TAKES = 72
"""Bytes."""


class NewGate(BaseModel):
    """What is asked, where, before what, how long it is waited for, and what counts where nobody answers."""

    name: Slug = Field(description="Unique in the organization")
    project: Slug
    environment: Slug
    before: Before
    deadline_s: float = Field(default=DEADLINE_S, ge=SHORTEST_S, le=LONGEST_S, description="An hour at most before the switch")
    default: Verdict = "fail"


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
    if wanted.deadline_s > wanted.before.longest_s:
        limit = f"{wanted.before.longest_s:g} s"
        raise Problem(422, "deadline-too-long", f"Before the switch the environment is held: the deadline is {limit} at most.")
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
    details = f"before {made.before}, {made.deadline_s:g} s, {made.fallback} by default"
    await unit.changed(caller, "created", "gate", made.name, *place, details=details)
    return GateWithPassword(**GatePage.of(made, unit.parts).model_dump(), password=password)


async def _permitted(caller: Caller, action: str, parts: Parts, organization: str, name: str) -> StoredGate:
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
    found = await _permitted(caller, "gate.read", using, organization, name)
    return await GatePage.of(found, using).as_it_is(using.consumers, found.id)


@router.delete("/{name}", status_code=204)
async def delete_gate(organization: Slug, name: Slug, caller: Asking, unit: Within) -> None:
    """Deployments that are created from now on do not ask it; its tool is cut off. Those that wait for it get its default."""
    found = await _permitted(caller, "gate.write", unit.parts, organization, name)
    await unit.begin()
    if not await gates.delete(unit.connection, organization, name):
        raise not_found("gate", name)
    await unit.changed(caller, "deleted", "gate", name, organization, found.project, found.environment)


@dataclass(frozen=True)
class Answerer:
    """Who answers a gate: its tool, by the gate's own token, or somebody who may in its place."""

    gate: StoredGate
    subject: str
    name: str


async def _answerer(organization: Slug, name: Slug, request: Request, _scheme: Annotated[object, Depends(bearer)]) -> Answerer:
    parts, token = parts_of(request), token_of(request)
    if token.startswith(TOKEN):
        gate = await gates.get(parts.pool, organization, name)
        if gate is None or not _is_right(token.encode(), gate):
            raise Problem(401, "unauthenticated", "This is not the gate's token.", headers={"WWW-Authenticate": "Bearer"})
        return Answerer(gate=gate, subject=gate.subject, name=f"gate {gate.name}")
    caller = await asking(request)
    gate = await _permitted(caller, "gate.answer", parts, organization, name)
    return Answerer(gate=gate, subject=caller.id, name=caller.name)


def _is_right(password: bytes, gate: StoredGate) -> bool:
    return len(password) <= _BCRYPT_TAKES and bcrypt.checkpw(password, gate.password_hash.encode())


@router.post("/{name}/answers", status_code=202)
async def answer_gate(said: GateAnswer, who: Annotated[Answerer, Depends(_answerer)], unit: Within) -> Accepted:
    """Answers the gate for a deployment that waits for it. The answer is kept; `url` tells whether it counted, or why not."""
    connection = await unit.begin()
    request = await answer(connection, who.gate, said, who.subject, who.name)
    await keep(connection, unit.parts.outbox, request, None, who.gate.resource, said.deployment)
    return Accepted(request=request.id, url=f"/api/v1/gates/{who.gate.organization}/{who.gate.name}/answers/{request.id}")


@router.get("/{name}/answers/{request}")
async def get_answer(request: str, who: Annotated[Answerer, Depends(_answerer)], using: Using) -> RequestPage:
    """What became of an answer: `done` where it counted, `refused` with the reason where it did not."""
    found = await requests.get(using.pool, request)
    if found is None or (found.organization, found.subject) != (who.gate.organization, who.subject):
        raise not_found("answer", request)
    return RequestPage.model_validate(asdict(found))
