"""Targets: where services run. Secret values are sealed to a target's public key."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel

from services.api.access import Asking, Caller, of_organization
from services.api.dependencies import Using
from services.api.paging import Page, Paged
from services.api.projection import Deployment
from services.api.recorded import database_differences, place_of, release_differences
from services.api.refusals import not_found
from services.api.store import archive, audit, places
from services.api.store.places import Target
from services.api.transaction import TransactionalRoute, Within
from shared.contracts.examination import Difference, Question, Told
from shared.contracts.places import Place
from shared.messages import Slug, new_id
from shared.problems import Problem

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


class Held(BaseModel):
    """An environment that a deployment holds: what differs there may be its work."""

    place: Place
    deployment: str
    state: str


class Examined(BaseModel):
    """What is not as recorded on a target. `held` environments were left out; `places` is how many were looked at."""

    target: str
    places: int
    differences: list[Difference]
    held: list[Held]
    done: list[str] = []


class MendWanted(BaseModel):
    """One environment, or (none) what belongs to no environment."""

    place: Place | None = None


@router.get("/{target}/examination")
async def examine_target(target: Slug, caller: Asking, using: Using) -> Examined:
    """Compares containers, networks, volumes, routes and certificates with the target's records, and those with what deployments left."""
    await caller.may("target.read", of_organization(using.settings.organization))
    if await places.target(using.pool, target) is None:
        raise not_found("target", target)
    told = await using.targets.ask(target, Question())
    found = _examined(target, told, await archive.holding(using.pool), await archive.last_succeeded(using.pool))
    return found.model_copy(update={"differences": [each for each in found.differences if _sees(caller, each.place)]})


@router.post("/{target}/mend")
async def mend_target(target: Slug, wanted: MendWanted, caller: Asking, unit: Within) -> Examined:
    """Sets right what can be in one environment. Refused while a deployment holds it."""
    organization = unit.parts.settings.organization
    await caller.may("target.write", of_organization(organization))
    if await places.target(unit.reads, target) is None:
        raise not_found("target", target)
    for deployment in await archive.holding(unit.reads):
        if place_of(deployment) == wanted.place:
            detail = f"Deployment {deployment.id} is {deployment.state} in {wanted.place}: it sets things right itself, or waits for you."
            raise Problem(409, "environment-held", detail)
    async with unit.reads.acquire() as connection, connection.transaction():  # on record before anything is done
        await audit.add(connection, new_id(), caller.id, "target.mend", of_organization(organization), f"{target} {wanted.place or ''}")
    told = await unit.parts.targets.ask(target, Question(place=wanted.place, mend=True))
    await unit.begin_if_keyed()
    return _examined(target, told, await archive.holding(unit.reads), [])


def _later(stray: Difference) -> Difference:
    return stray.model_copy(update={"mendable": False, "remedy": "left alone until the releases are as recorded: it may be of use"})


def _sees(caller: Caller, place: Place | None) -> bool:
    return place is None or caller.sees(place.organization, place.project, place.environment)


def _examined(target: str, told: Sequence[Told], holding: Sequence[Deployment], recorded: Sequence[Deployment]) -> Examined:
    held = {place_of(deployment): deployment for deployment in holding if deployment.target == target}
    live = {place: releases for part in told for place, releases in part.releases.items()}
    releases = list(release_differences(recorded, live, target))
    found = [*(each for part in told for each in part.differences), *releases]
    if all(part.databases is not None for part in told):
        there = {place: databases for part in told for place, databases in (part.databases or {}).items()}
        found += database_differences(recorded, there, target)
    if releases:  # where the target has lost records, their routes still lead to what runs
        found = [each if each.place is not None else _later(each) for each in found]
    return Examined(
        target=target,
        places=len({place for part in told for place in part.places}),
        differences=[each for each in found if each.place is None or each.place not in held],
        held=[Held(place=place, deployment=deployment.id, state=deployment.state) for place, deployment in held.items()],
        done=[line for part in told for line in part.done],
    )
