"""Previews come and go with change requests: the coordinator says of these, and what nobody updates is removed after a while."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.api.store import previews
from services.api.store.places import Environment
from services.api.store.previews import Expired, Request
from shared.contracts.events import CatalogueChanged, Event
from shared.contracts.places import Place
from shared.contracts.requests import ExpireRequested
from shared.outbox import Outbox
from shared.postgres import UNAVAILABLE, Connection, Pool
from shared.ref_patterns import matches

log = structlog.get_logger()

LOOK_S = 15.0
RETRY_S = 3600.0
"""A removal that did not succeed is asked for again after this."""


@dataclass(frozen=True)
class Opened:
    """The environments that a change request has, those that were made now, and why others were not."""

    environments: Sequence[Environment]
    made: Sequence[Environment]
    refused: Sequence[str]


async def open_request(connection: Connection, request: Request) -> Opened:
    """Makes what follows the change request, within the limits. One that is there already stays, wherever the request goes now."""
    templates = await previews.lock_templates(connection, request)
    there = {found.preview_of: found for found in await previews.of_request(connection, request)}
    found: list[Environment] = []
    made: list[Environment] = []
    refused: list[str] = []
    for template in templates:
        if template.slug in there:
            found.append(await previews.update(connection, template, request, there[template.slug].slug))
        elif matches(template.ref, request.target):
            new = await _make(connection, template, request)
            if isinstance(new, str):
                refused.append(new)
            else:
                made.append(new)
    return Opened([*found, *made], made, refused)


async def _make(connection: Connection, template: Environment, request: Request) -> Environment | str:
    most = template.most or previews.USUAL_MOST
    if len(await previews.like(connection, template.organization, template.project, template.slug)) >= most:
        return (
            f"{template.slug} has {most} previews already, as many as it may: close a change request, or allow more "
            f"(slipway environment change {template.slug} --most {most + 1}); the next commit is tried again"
        )
    for slug in (f"pr-{request.number}", f"{template.slug[:27].rstrip('-')}-{request.number}"):
        new = await previews.new(connection, template, request, slug)
        if new is not None:
            return new
    return f"{template.slug} cannot have a preview of it: the environments pr-{request.number} and {slug} are something else"


def made_known(made: Sequence[Environment]) -> list[Event]:
    """The events that tell of new environments."""
    fact = [CatalogueChanged(kind="environment", name=one.slug, action="created", by="") for one in made]
    return [Event.of(said, one.organization, one.project, one.slug) for said, one in zip(fact, made, strict=True)]


async def expire(pool: Pool, outbox: Outbox) -> None:
    """Has previews removed whose time is over, for ever. Several replicas share the work."""
    while True:
        try:
            await expire_now(pool, outbox)
        except UNAVAILABLE as error:
            log.warning("previews are not looked at", reason=str(error) or type(error).__name__)
        await asyncio.sleep(LOOK_S)


async def expire_now(pool: Pool, outbox: Outbox) -> None:
    """One look: asks the coordinator for the removal, by the database's clock; asked for again until the entry is gone."""
    async with pool.acquire() as connection, connection.transaction():
        due = await previews.expired(connection, RETRY_S)
        await outbox.add(connection, [_wish(one) for one in due])
    if due:
        outbox.wake()


def _wish(due: Expired) -> ExpireRequested:
    ttl = timedelta(seconds=due.ttl_s)
    reason = "its removal did not succeed before" if due.again else f"nobody has updated it for {_words(ttl)}"
    place = Place(organization=due.organization, project=due.project, environment=due.slug)
    return ExpireRequested(organization=due.organization, subject="slipway", subject_name="Slipway", place=place, reason=reason)


def _words(ttl: timedelta) -> str:
    for name, seconds in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        number = int(ttl.total_seconds()) // seconds
        if number and number * seconds == int(ttl.total_seconds()):
            return f"{number} {name}{'s' if number != 1 else ''}"
    return f"{ttl}"
