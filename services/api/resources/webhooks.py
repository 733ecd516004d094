"""What only channels that are webhooks have: telling again, and the exchange of their signing secret without a break."""

import base64
import binascii
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from services.api.access import Asking, Caller, of_organization
from services.api.resources.channels import Channel, ChannelWithSecret, changed_to, permitted, seal, signing_secret
from services.api.store import channels
from services.api.store.channels import StoredChannel
from services.api.transaction import TransactionalRoute, Unit, Within
from shared.contracts.events import Event, MessageRequestedAgain
from shared.messages import Slug, utc_now
from shared.problems import Problem

router = APIRouter(prefix="/channels/{organization}/{name}", tags=["channels"], route_class=TransactionalRoute)


def _signs(secret: str) -> str:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValueError("a signing secret is whsec_ followed by 24 to 64 bytes in base64 (Standard Webhooks 1.0)")
    return secret


SigningSecret = Annotated[str, AfterValidator(_signs)]


class Again(BaseModel):
    """One event by its id, or a range of time: from `since` to before `until`, which is now where it is missing."""

    event: str | None = Field(default=None, min_length=1, max_length=100)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


class Rotation(BaseModel):
    """The new secret; made where it is missing."""

    secret: SigningSecret | None = None


@router.post("/again", status_code=202)
async def tell_again(organization: Slug, name: Slug, wanted: Again, caller: Asking, unit: Within) -> None:
    """Has a webhook told again of one event, or of all that it was to hear of in a range of time. Each keeps its `webhook-id`."""
    await _webhook(organization, name, caller, unit)
    if (wanted.event is None) == (wanted.since is None):
        raise Problem(422, "bad-range", "Say either the event, or since when (and until when, where not until now).")
    fact = MessageRequestedAgain(
        channel=name, event=wanted.event, since=wanted.since, until=wanted.until or (utc_now() if wanted.since else None), by=caller.id
    )
    await unit.send(Event.of(fact, organization))
    await unit.audit(caller, "channel.told_again", of_organization(organization), f"{name}: {wanted.event or wanted.since}")


@router.post("/rotate")
async def rotate_signing_secret(
    organization: Slug, name: Slug, caller: Asking, unit: Within, wanted: Rotation | None = None
) -> ChannelWithSecret:
    """A new signing secret, in this answer only; until the rotation is finished both sign, the new one first."""
    former = await _webhook(organization, name, caller, unit)
    secret = (wanted.secret if wanted else None) or signing_secret()
    sealed = await seal(unit, organization, channels.secret_of(organization, name), secret)
    rotating = replace(former, sealed_secret=sealed, sealed_former_secret=former.sealed_secret)
    return ChannelWithSecret(**(await changed_to(rotating, caller, unit, "a new signing secret")).model_dump(), secret=secret)


@router.post("/finish-rotation")
async def finish_signing_rotation(organization: Slug, name: Slug, caller: Asking, unit: Within) -> Channel:
    """Only the newest secret signs from now on."""
    former = await _webhook(organization, name, caller, unit)
    if former.sealed_former_secret is None:
        raise Problem(409, "not-rotating", f"The channel {name} has one secret only: there is nothing to finish.")
    return await changed_to(replace(former, sealed_former_secret=None), caller, unit, "the former signing secret is forgotten")


async def _webhook(organization: str, name: str, caller: Caller, unit: Unit) -> StoredChannel:
    channel = await permitted(organization, name, caller, unit)
    if channel.kind != "webhook":
        raise Problem(422, "no-webhook", f"The channel {name} is no webhook: it has no signing secret, and is not told again.")
    return channel
