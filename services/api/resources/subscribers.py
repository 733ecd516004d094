"""Subscribers: outside tools that read events from the bus, each as a user of its own that may read one filtered consumer."""

import secrets
from datetime import datetime
from typing import Annotated, Self
from urllib.parse import urlsplit

import bcrypt
from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from services.api.access import Asking, of_organization
from services.api.adapters.consumers import Consumers
from services.api.dependencies import Parts, Using
from services.api.paging import Page, Paged
from services.api.refusals import not_found, referring, taken
from services.api.store import subscribers
from services.api.store.subscribers import StoredSubscriber
from services.api.transaction import TransactionalRoute, Within
from shared.messages import Slug, new_id, utc_now
from shared.problems import Problem
from shared.subscribers import MOST_FILTERS, BadFilter, Subscriber, stream_of

router = APIRouter(prefix="/subscribers/{organization}", tags=["subscribers"], route_class=TransactionalRoute)

_ROUNDS = 4
"""bcrypt's fewest: a password of 256 bits cannot be guessed, and the server compares at each connection."""

Filter = Annotated[str, StringConstraints(max_length=200)]


class NewSubscriber(BaseModel):
    """Reads from now on, where neither `since` nor `from_start` says otherwise."""

    name: Slug
    filters: list[Filter] = Field(min_length=1, max_length=MOST_FILTERS, description="slipway.evt.<org>.> or cdevents.<org>.>, or narrower")
    since: AwareDatetime | None = None
    from_start: bool = Field(default=False, description="Everything that is kept: 30 days")


class Connection(BaseModel):
    """What a NATS client is given."""

    url: str
    user: str
    stream: str
    consumer: str
    inbox_prefix: str

    @classmethod
    def of(cls, subscriber: Subscriber, parts: Parts) -> Self:
        """Of a subscriber or of a gate."""
        return cls(
            url=_address(parts.settings.nats_url),
            user=subscriber.user,
            stream=subscriber.stream,
            consumer=subscriber.user,
            inbox_prefix=subscriber.inbox,
        )


class OnTheBus(BaseModel):
    """A tool that reads there. `ready`: it can; the numbers are missing where the bus does not say."""

    connection: Connection
    server_entry: str = Field(description="Where the bus is not Slipway's own: what its operator adds to authorization.users")
    ready: bool = False
    waiting: int | None = None
    unacknowledged: int | None = None

    async def as_it_is(self, consumers: Consumers, identity: str) -> Self:
        """With how far it has read."""
        state = await consumers.state(self.connection.stream, self.connection.user, identity)
        if state is None:
            return self
        return self.model_copy(update={"ready": True, "waiting": state.waiting, "unacknowledged": state.unacknowledged})


class SubscriberPage(OnTheBus):
    """A subscriber."""

    organization: str
    name: str
    stream: str
    filters: list[str]
    starts_at: datetime | None = Field(description="Null: the start of the stream")
    created_at: datetime

    @classmethod
    def of(cls, stored: StoredSubscriber, parts: Parts) -> Self:
        """As people see it."""
        subscriber = stored.on_the_bus()
        return cls(
            organization=stored.organization,
            name=stored.name,
            stream=stored.stream,
            filters=list(stored.subjects),
            starts_at=stored.starts_at,
            created_at=stored.created_at,
            connection=Connection.of(subscriber, parts),
            server_entry=server_entry(subscriber, parts),
        )


class SubscriberWithPassword(SubscriberPage):
    """As it is shown once."""

    password: str


@router.get("")
async def list_subscribers(organization: Slug, window: Paged, caller: Asking, using: Using) -> Page[SubscriberPage]:
    """The organization's subscribers."""
    await caller.may("subscriber.read", of_organization(organization))
    rows = await subscribers.find(using.pool, organization, window.after, window.fetch)
    return Page.of([SubscriberPage.of(row, using) for row in rows], window, lambda row: row.name)


@router.post("", status_code=201)
async def create_subscriber(organization: Slug, wanted: NewSubscriber, caller: Asking, unit: Within) -> SubscriberWithPassword:
    """Makes a subscriber. Its password is in this answer only; it can read once it is `ready`."""
    await caller.may("subscriber.write", of_organization(organization))
    password, password_hash = new_password("slwsub_")
    subscriber = Subscriber(
        organization=organization,
        name=wanted.name,
        id=new_id(),
        subjects=_filters(organization, wanted),
        password_hash=password_hash,
        start=_start(wanted),
    )
    await unit.begin()
    with referring(not_found("organization", organization)):
        made = await subscribers.new(unit.connection, subscriber)
    if made is None:
        raise taken("subscriber", wanted.name)
    await unit.changed(caller, "created", "subscriber", made.name, organization, details=", ".join(made.subjects))
    return SubscriberWithPassword(**SubscriberPage.of(made, unit.parts).model_dump(), password=password)


@router.get("/{name}")
async def get_subscriber(organization: Slug, name: Slug, caller: Asking, using: Using) -> SubscriberPage:
    """One subscriber, and how far it is."""
    await caller.may("subscriber.read", of_organization(organization))
    found = await subscribers.get(using.pool, organization, name)
    if found is None:
        raise not_found("subscriber", name)
    return await SubscriberPage.of(found, using).as_it_is(using.consumers, found.id)


@router.delete("/{name}", status_code=204)
async def delete_subscriber(organization: Slug, name: Slug, caller: Asking, unit: Within) -> None:
    """It is cut off: its connections are closed, its consumer is deleted, and what it has not read is not kept for it."""
    await caller.may("subscriber.write", of_organization(organization))
    await unit.begin()
    if not await subscribers.delete(unit.connection, organization, name):
        raise not_found("subscriber", name)
    await unit.changed(caller, "deleted", "subscriber", name, organization)


def new_password(prefix: str) -> tuple[str, str]:
    """A password for the bus, and what is kept of it."""
    password = f"{prefix}{secrets.token_urlsafe(32)}"
    return password, bcrypt.hashpw(password.encode(), bcrypt.gensalt(_ROUNDS)).decode()


def server_entry(subscriber: Subscriber, parts: Parts) -> str:
    """What the operator of a bus that is not Slipway's own adds to its users; else empty."""
    return "" if parts.settings.own_bus else subscriber.rights().entry(subscriber.password_hash)


def _filters(organization: str, wanted: NewSubscriber) -> tuple[str, ...]:
    filters = tuple(dict.fromkeys(wanted.filters))
    try:
        stream_of(organization, filters)
    except BadFilter as error:
        raise Problem(422, "bad-filter", str(error)) from error
    return filters


def _start(wanted: NewSubscriber) -> datetime | None:
    if wanted.from_start and wanted.since is not None:
        raise Problem(422, "two-starts", "Say either since or from_start.")
    return None if wanted.from_start else wanted.since or utc_now()


def _address(nats_url: str) -> str:
    """Without the credentials that it may hold."""
    parts = urlsplit(nats_url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
