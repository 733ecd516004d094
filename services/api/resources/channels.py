"""Channels: whom to tell what. Signed webhooks, chat and mail, and statuses on a forge."""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints

from services.api.access import Asking, Caller, of_organization
from services.api.dependencies import Using
from services.api.paging import Page, Paged
from services.api.refusals import not_found, referring, taken
from services.api.resources import credentials
from services.api.safe import organization_scope
from services.api.store import channels, connections
from services.api.store.channels import StoredChannel
from services.api.transaction import TransactionalRoute, Unit, Within
from shared.contracts.cdevents import KINDS
from shared.forge_api import NAMES, api_url_of, identity_of
from shared.messages import Slug, utc_now
from shared.problems import Problem

router = APIRouter(prefix="/channels/{organization}", tags=["channels"], route_class=TransactionalRoute)

Pattern = Annotated[str, StringConstraints(max_length=100, pattern=r"^(\*|[a-z]+)\.(\*|[a-z_]+)$")]
"""`deployment.succeeded`, `deployment.*`, `*.*`."""
Format = Literal["events", "cdevents"]


class NewChannel(BaseModel):
    """A webhook's signing secret (Standard Webhooks) is made where it is missing; a chat's address is an apprise URL."""

    name: Slug
    project: Slug | None = Field(default=None, description="All projects where it is missing")
    kind: Literal["webhook", "chat", "forge"]
    url: str = Field(default="", max_length=2000)
    secret: str | None = Field(
        default=None,
        max_length=4000,
        description="webhook: whsec_…; forge: token, or none where a connection to the repository has a GitHub App",
    )
    events: list[Pattern] = Field(default=[], max_length=50, description="Empty: the end of each deployment")
    format: Format = Field(
        default="events", description="webhook: cdevents are told as such, and `events` names them: pipelinerun.finished"
    )
    forge: str = Field(default="", max_length=100)
    api_url: str = Field(default="", max_length=2000)
    repository: str = Field(default="", max_length=500)


class ChannelChange(BaseModel):
    """What shall change."""

    project: Slug | None = None
    url: str | None = Field(default=None, max_length=2000)
    secret: str | None = Field(default=None, max_length=4000)
    events: list[Pattern] | None = Field(default=None, max_length=50)
    repository: str | None = Field(default=None, max_length=500, description="forge: where it is now")
    api_url: str | None = Field(default=None, max_length=2000, description="forge: on another host it needs the secret anew")


class Channel(BaseModel):
    """A channel without its secret; of a chat's address only what is no credential."""

    organization: str
    name: str
    project: str | None
    kind: str
    url: str
    events: list[str]
    format: str
    forge: str
    api_url: str
    repository: str
    rotating: bool = Field(description="webhook: the former secret signs, too")
    version: int
    created_at: datetime


class ChannelWithSecret(Channel):
    """As it is shown once."""

    secret: str


def _safe_url(kind: str, url: str) -> str:
    return url if kind == "webhook" else f"{urlsplit(url).scheme}://…" if url else ""


async def _shown(stored: StoredChannel, using: Using) -> Channel:
    place = channels.url_of(stored.organization, stored.name)
    async with using.pool.acquire() as connection:
        url = await using.safe.open(connection, organization_scope(stored.organization), place, stored.sealed_url)
    return _page(stored, url)


def _page(stored: StoredChannel, url: str) -> Channel:
    return Channel(
        organization=stored.organization,
        name=stored.name,
        project=stored.project or None,
        kind=stored.kind,
        url=_safe_url(stored.kind, url),
        events=list(stored.events),
        format=stored.format,
        forge=stored.forge,
        api_url=stored.api_url,
        repository=stored.repository,
        rotating=stored.sealed_former_secret is not None,
        version=stored.version,
        created_at=stored.created_at,
    )


def _check(wanted: NewChannel) -> None:
    scheme = urlsplit(wanted.url).scheme
    if wanted.kind == "webhook" and scheme not in ("https", "http"):
        raise Problem(422, "bad-url", "A webhook needs the address that it is sent to: url https://…")
    if wanted.kind == "chat" and not scheme:
        raise Problem(422, "bad-url", "A chat needs an apprise address as url, e.g. slack://… or mailto://…")
    if wanted.kind == "forge" and not (wanted.forge and wanted.repository):
        raise Problem(422, "incomplete", "A forge channel needs forge and repository.")
    if wanted.kind == "forge" and wanted.forge not in NAMES:
        raise Problem(422, "bad-forge", f"There is no forge of the kind {wanted.forge!r}: take one of {', '.join(NAMES)}.")
    if wanted.kind == "forge" and not _api_url(wanted):
        raise Problem(422, "api-unknown", "Where the forge's API is cannot be told from the repository: say it as api_url.")


def _check_format(kind: str, format_: str, events: Sequence[str]) -> None:
    if format_ == "cdevents" and kind != "webhook":
        raise Problem(422, "bad-format", f"CDEvents are told to webhooks; a {kind} has words of its own.")
    for pattern in events if format_ == "cdevents" else ():
        if not any(fnmatchcase(known, pattern) for known in KINDS):
            raise Problem(422, "bad-events", f"No CDEvent is {pattern}: there are {', '.join(KINDS)}.")


def _identity(repository: str) -> str:
    """Host and path, also where somebody gave the address."""
    return identity_of(repository) if "://" in repository else repository


def _api_url(wanted: NewChannel) -> str:
    return wanted.api_url or (api_url_of(wanted.forge, f"https://{_identity(wanted.repository)}") if wanted.kind == "forge" else "")


async def _needs_app(unit: Unit, organization: str, wanted: NewChannel) -> None:
    if await connections.with_app(unit.connection, organization, wanted.forge, _identity(wanted.repository)) is None:
        detail = "A forge channel needs a token as secret, or a connection to the repository with a GitHub App that makes tokens."
        raise Problem(422, "incomplete", detail)


def signing_secret() -> str:
    """A new one, as Standard Webhooks has them."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


@router.get("")
async def list_channels(organization: Slug, window: Paged, caller: Asking, using: Using) -> Page[Channel]:
    """The organization's channels."""
    await caller.may("channel.read", of_organization(organization))
    rows = await channels.find(using.pool, organization, window.after, window.fetch)
    return Page.of([await _shown(row, using) for row in rows], window, lambda row: row.name)


@router.post("", status_code=201)
async def create_channel(organization: Slug, wanted: NewChannel, caller: Asking, unit: Within) -> ChannelWithSecret:
    """Makes a channel. A made secret is in this answer only."""
    await caller.may("channel.write", of_organization(organization))
    _check(wanted)
    _check_format(wanted.kind, wanted.format, wanted.events)
    await unit.begin()
    if wanted.kind == "forge" and not wanted.secret:
        await _needs_app(unit, organization, wanted)
    secret = wanted.secret or (signing_secret() if wanted.kind == "webhook" else "")
    entry = StoredChannel(
        organization=organization,
        name=wanted.name,
        project=wanted.project or "",
        kind=wanted.kind,
        sealed_url=await seal(unit, organization, channels.url_of(organization, wanted.name), wanted.url),
        sealed_secret=await seal(unit, organization, channels.secret_of(organization, wanted.name), secret),
        events=tuple(wanted.events),
        forge=wanted.forge,
        api_url=_api_url(wanted),
        repository=_identity(wanted.repository),
        version=1,
        created_at=utc_now(),
        format=wanted.format,
    )
    with referring(not_found("organization", organization)):
        made = await channels.new(unit.connection, entry)
    if made is None:
        raise taken("channel", wanted.name)
    await unit.changed(caller, "created", "channel", made.name, organization)
    shown = secret if wanted.kind == "webhook" and wanted.secret is None else ""
    return ChannelWithSecret(**_page(made, wanted.url).model_dump(), secret=shown)


@router.get("/{name}")
async def get_channel(organization: Slug, name: Slug, caller: Asking, using: Using) -> Channel:
    """One channel."""
    await caller.may("channel.read", of_organization(organization))
    found = await channels.get(using.pool, organization, name)
    if found is None:
        raise not_found("channel", name)
    return await _shown(found, using)


@router.patch("/{name}")
async def change_channel(organization: Slug, name: Slug, wanted: ChannelChange, caller: Asking, unit: Within) -> Channel:
    """Changes what is named."""
    former = await permitted(organization, name, caller, unit)
    changed = former
    if wanted.url is not None:
        place = channels.url_of(organization, name)
        changed = replace(changed, sealed_url=await seal(unit, organization, place, wanted.url))
    if wanted.secret is not None:
        place = channels.secret_of(organization, name)
        changed = replace(changed, sealed_secret=await seal(unit, organization, place, wanted.secret), sealed_former_secret=None)
    if wanted.events is not None:
        _check_format(former.kind, former.format, wanted.events)
        changed = replace(changed, events=tuple(wanted.events))
    if wanted.repository or wanted.api_url:
        changed = _leading(changed, wanted)
    if "project" in wanted.model_fields_set:
        changed = replace(changed, project=wanted.project or "")
    return await changed_to(changed, caller, unit)


def _leading(former: StoredChannel, wanted: ChannelChange) -> StoredChannel:
    """A forge's channel to where its repository is now. Its token goes to no other host than it was given for."""
    if former.kind != "forge":
        raise Problem(422, "not-a-forge", f"The channel {former.name} is a {former.kind}: only a forge's leads to a repository.")
    repository, api_url = _identity(wanted.repository or former.repository), wanted.api_url or former.api_url
    if wanted.secret is None and credentials.origin(api_url) != credentials.origin(former.api_url):
        detail = (
            "api_url leads to another host, and the stored token is not shown there: give secret anew, or empty where an app makes tokens."
        )
        raise Problem(422, "token-needed", detail)
    return replace(former, repository=repository, api_url=api_url)


@router.delete("/{name}", status_code=204)
async def delete_channel(organization: Slug, name: Slug, caller: Asking, unit: Within) -> None:
    """Nobody is told through it any more."""
    await permitted(organization, name, caller, unit)
    await channels.delete(unit.connection, organization, name)
    await unit.changed(caller, "deleted", "channel", name, organization)


async def changed_to(wanted: StoredChannel, caller: Caller, unit: Unit, details: str = "") -> Channel:
    """Stores a channel that is locked, and tells of the change."""
    stored = await channels.update(unit.connection, wanted)
    if stored is None:
        raise not_found("channel", wanted.name)
    await unit.changed(caller, "updated", "channel", stored.name, stored.organization, details=details)
    scope, place = organization_scope(stored.organization), channels.url_of(stored.organization, stored.name)
    return _page(stored, await unit.parts.safe.open(unit.connection, scope, place, stored.sealed_url))


async def permitted(organization: str, name: str, caller: Caller, unit: Unit) -> StoredChannel:
    """The channel, locked, where the caller may change it."""
    await caller.may("channel.write", of_organization(organization))
    found = await channels.lock(await unit.begin(), organization, name)
    if found is None:
        raise not_found("channel", name)
    return found


async def seal(unit: Unit, organization: str, place: str, value: str) -> bytes:
    """A value as it is stored, bound to its place."""
    return await unit.parts.safe.seal(unit.connection, organization_scope(organization), place, value)
