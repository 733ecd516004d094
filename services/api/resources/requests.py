"""Requests: what people wished, and what became of it."""

from dataclasses import asdict
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from services.api.access import Asking, Caller, of_environment, of_organization
from services.api.dependencies import Using
from services.api.refusals import not_found
from services.api.store import audit, requests
from services.api.transaction import Unit
from shared.contracts.places import Place
from shared.contracts.requests import Request
from shared.messages import new_id
from shared.outbox import Outbox
from shared.postgres import Connection

router = APIRouter(prefix="/requests", tags=["deployments"])


class Accepted(BaseModel):
    """The wish is kept and will be done or refused; `url` tells which."""

    request: str
    url: str


class RequestPage(BaseModel):
    """`taken` once a deployment has come of it; `done` once the deployment that it is about does so; `refused` with the reason."""

    id: str
    verb: str
    organization: str
    project: str | None
    environment: str | None
    state: Literal["sent", "taken", "done", "refused"]
    deployment: str | None
    refusal: str | None


async def submit(unit: Unit, caller: Caller, request: Request, about: str | None = None) -> Accepted:
    """Keeps the wish and sends it with the commit; `about`: the deployment that it is about."""
    place: Place | None = getattr(request, "place", None)
    request = request.model_copy(update={"subject_name": caller.name})
    organization = request.organization
    resource = of_organization(organization) if place is None else of_environment(organization, place.project, place.environment)
    await keep(await unit.begin(), unit.parts.outbox, request, place, resource, about)
    return Accepted(request=request.id, url=f"/api/v1/requests/{request.id}")


async def keep(connection: Connection, outbox: Outbox, request: Request, place: Place | None, resource: str, about: str | None) -> None:
    """In one transaction: the wish, the message that carries it, and its entry in the audit log."""
    await requests.new(connection, request, place, about)
    await outbox.add(connection, [request])
    await audit.add(connection, new_id(), request.subject, f"deployment.{request.verb}", resource, about or "")


@router.get("/{request}")
async def get_request(request: str, caller: Asking, using: Using) -> RequestPage:
    """What became of a wish."""
    found = await requests.get(using.pool, request)
    if found is None or not (found.subject == caller.id or found.organization in caller.organizations()):
        raise not_found("request", request)
    fields = asdict(found)
    return RequestPage.model_validate(fields)
