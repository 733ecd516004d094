"""Deliveries: webhook requests of forges, what was made of each, and why. webhooks keeps them, for 60 days."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from services.api.access import Asking, Caller, of_organization, of_project
from services.api.concealing import concealed, headers_shown
from services.api.dependencies import Parts, Using
from services.api.paging import Page, Paged
from services.api.refusals import not_found
from services.api.store import connections
from services.api.transaction import TransactionalRoute, Within
from shared.contracts.deliveries import DeliveryPage, DeliveryQuestion, Told, Verb
from shared.messages import Slug

router = APIRouter(prefix="/deliveries/{organization}", tags=["connections"], route_class=TransactionalRoute)

Id = Annotated[str, Path(max_length=100)]


class WholeDelivery(DeliveryPage):
    """With what was sent. What could be a secret in it is not shown, and of a long body the beginning only."""

    headers: dict[str, str]
    body: str


class Redelivered(BaseModel):
    """What a delivery led to when it was read again."""

    delivery: str
    changes: list[str] = Field(description="The new changes, one a ref")
    reason: str = Field(description="Why there are none, or fewer than refs")


@router.get("")
async def list_deliveries(
    organization: Slug, window: Paged, caller: Asking, using: Using, connection: Slug | None = None
) -> Page[DeliveryPage]:
    """Webhook requests with a good signature, the newest first; of one connection where it is named."""
    if connection is None:
        await caller.may("delivery.read", of_organization(organization))
    else:
        found = await connections.get(using.pool, organization, connection)
        await caller.may("delivery.read", of_organization(organization) if found is None else of_project(organization, found.project))
        if found is None:
            raise not_found("connection", connection)
    question = DeliveryQuestion(verb=Verb.LIST, organization=organization, connection=connection, delivery=window.after, limit=window.fetch)
    told = await using.deliveries.ask(question)
    return Page.of([part.delivery for part in told if part.delivery], window, lambda page: page.id)


@router.get("/{delivery}")
async def get_delivery(organization: Slug, delivery: Id, caller: Asking, using: Using) -> WholeDelivery:
    """One delivery: what came, what was made of it and why."""
    told, page = await _permitted("delivery.read", organization, delivery, caller, using)
    return WholeDelivery(**page.model_dump(), headers=headers_shown(told.sent_headers), body=concealed(told.body))


@router.post("/{delivery}/redeliver", status_code=202)
async def redeliver(organization: Slug, delivery: Id, caller: Asking, unit: Within) -> Redelivered:
    """Has a delivery read again: each ref in it becomes a new change, with the rights of the person who asks."""
    _, page = await _permitted("delivery.redeliver", organization, delivery, caller, unit.parts)
    await unit.begin()  # before anything is done, so that the same key does it once
    question = DeliveryQuestion(verb=Verb.REDELIVER, organization=organization, delivery=delivery, person=caller.id)
    told = (await unit.parts.deliveries.ask(question))[-1]
    await unit.audit(caller, "delivery.redeliver", of_project(organization, page.project), f"{page.connection}: {delivery}")
    return Redelivered(delivery=delivery, changes=list(told.changes), reason=told.reason)


async def _permitted(action: str, organization: str, delivery: str, caller: Caller, parts: Parts) -> tuple[Told, DeliveryPage]:
    """The delivery, for who may do this in its project. To who sees nothing there, it does not exist."""
    if organization not in caller.organizations():
        await caller.may(action, of_organization(organization))
    told = (await parts.deliveries.ask(DeliveryQuestion(verb=Verb.SHOW, organization=organization, delivery=delivery)))[-1]
    if told.delivery is None:
        raise not_found("delivery", delivery)
    await caller.may(action, of_project(organization, told.delivery.project))
    return told, told.delivery
