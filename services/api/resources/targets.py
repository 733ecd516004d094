"""Targets: where services run. Secret values are sealed to a target's public key."""

import base64
import binascii
from typing import Annotated

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel

from services.api.access import Asking, of_organization
from services.api.dependencies import Using
from services.api.paging import Page, Paged
from services.api.refusals import not_found
from services.api.store import places
from services.api.store.places import Target
from services.api.transaction import TransactionalRoute, Within
from shared.messages import Slug

router = APIRouter(prefix="/targets", tags=["targets"], route_class=TransactionalRoute)


def _x25519(text: str) -> str:
    try:
        key = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise ValueError("not base64") from None
    if len(key) != 32:
        raise ValueError("an X25519 public key has 32 bytes")
    return text


class TargetWanted(BaseModel):
    """The key's private half never leaves the target."""

    public_key: Annotated[str, AfterValidator(_x25519)]


@router.get("")
async def list_targets(window: Paged, caller: Asking, using: Using) -> Page[Target]:
    """All targets."""
    await caller.may("target.read", of_organization(using.settings.organization))
    rows = await places.targets(using.pool, window.after, window.fetch)
    return Page.of(rows, window, lambda row: row.name)


@router.get("/{target}")
async def get_target(target: Slug, caller: Asking, using: Using) -> Target:
    """One target."""
    await caller.may("target.read", of_organization(using.settings.organization))
    found = await places.target(using.pool, target)
    if found is None:
        raise not_found("target", target)
    return found


@router.put("/{target}")
async def put_target(target: Slug, wanted: TargetWanted, caller: Asking, unit: Within) -> Target:
    """Makes a target or gives it another key; its own machine has the private half."""
    organization = unit.parts.settings.organization
    await caller.may("target.write", of_organization(organization))
    stored, made = await places.set_target(await unit.begin(), target, wanted.public_key)
    await unit.changed(caller, "created" if made else "updated", "target", target, organization)
    return stored
