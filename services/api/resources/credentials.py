"""What lets a connection in at its forge, sealed at rest: a token, or a GitHub App that makes tokens."""

from dataclasses import replace
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from services.api.access import Caller, of_organization, of_project
from services.api.dependencies import Parts
from services.api.forges.app_key import read_key
from services.api.forges.github_app import App, NotNow, NoToken, Token, Use
from services.api.refusals import not_found
from services.api.safe import Safe, project_scope
from services.api.store import connections
from services.api.store.connections import StoredConnection
from services.api.transaction import Unit
from shared.forge_api import ForgeRepository
from shared.postgres import Connection
from shared.problems import Problem

AccessToken = Annotated[str, StringConstraints(min_length=1, max_length=4000)]


def _app_key(pem: str) -> str:
    try:
        read_key(pem)
    except ValueError as error:
        raise ValueError(f"{error}: give the .pem that GitHub made for the app (the app's page, Private keys)") from None
    return pem


class NewApp(BaseModel):
    """A GitHub App, on github.com or on a server of your own."""

    id: str = Field(pattern=r"^[A-Za-z0-9.]{1,100}$", description="Its app id or client id")
    installation: str = Field(
        default="", pattern=r"^[0-9]{0,20}$", description="Its installation; the one on the repository where it is missing"
    )
    private_key: Annotated[str, StringConstraints(max_length=20_000), AfterValidator(_app_key)] = Field(
        description="As GitHub made it: an RSA key in PEM", repr=False
    )


class ShownApp(BaseModel):
    """A GitHub App without its key."""

    id: str
    installation: str = Field(description="Empty: the one on the repository")


async def permitted(organization: str, name: str, caller: Caller, parts: Parts) -> StoredConnection:
    """The connection that the caller may change; raises `Problem`, and says that there is none only to who might have changed it."""
    found = await connections.get(parts.pool, organization, name)
    where = of_organization(organization) if found is None else of_project(organization, found.project)
    await caller.may("connection.write", where)
    if found is None:
        raise not_found("connection", name)
    return found


def shown_app(stored: StoredConnection) -> ShownApp | None:
    """The app of a connection, where it has one."""
    return ShownApp(id=stored.app_id, installation=stored.installation) if stored.app_id else None


_PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418}


def origin(url: str) -> tuple[str, str, int | None]:
    """Where a request with a token goes: scheme, host and port (RFC 6454)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)


def has_any(stored: StoredConnection) -> bool:
    """Whether something is shown to the forge that another must not see."""
    return stored.sealed_token is not None or bool(stored.app_id)


async def with_token(unit: Unit, wanted: StoredConnection, token: str | None) -> StoredConnection:
    """The connection with this token, and no app; without one, it forgets what it had."""
    sealed = None if token is None else await _seal(unit, wanted, connections.token_of(wanted.name), token)
    return replace(wanted, sealed_token=sealed, app_id="", installation="", sealed_app_key=None)


async def with_app(unit: Unit, wanted: StoredConnection, app: NewApp | None) -> StoredConnection:
    """The connection with this app, and no token; without one, it forgets what it had."""
    if app is None:
        return await with_token(unit, wanted, None)
    if wanted.forge != "github":
        raise Problem(422, "app-not-github", f"A GitHub App is of no use at {wanted.forge}: give the connection a token.")
    key = await _seal(unit, wanted, connections.app_key_of(wanted.name), app.private_key)
    return replace(wanted, sealed_token=None, app_id=app.id, installation=app.installation, sealed_app_key=key)


def only_one(token: str | None, app: NewApp | None) -> None:
    """Raises where both are given."""
    if token is not None and app is not None:
        raise Problem(422, "two-credentials", "A connection has a token or a GitHub App: give one of them.")


async def opened_token(safe: Safe, connection: Connection, stored: StoredConnection) -> str:
    """The connection's own token; empty where it has none."""
    if stored.sealed_token is None:
        return ""
    return await safe.open(connection, _scope(stored), connections.token_of(stored.name), stored.sealed_token)


async def opened_deploy_key(safe: Safe, connection: Connection, stored: StoredConnection) -> str:
    """The private half of the connection's deploy key; empty where it has none."""
    if stored.sealed_deploy_key is None:
        return ""
    return await safe.open(connection, _scope(stored), connections.deploy_key_of(stored.name), stored.sealed_deploy_key)


async def opened_app(safe: Safe, connection: Connection, stored: StoredConnection) -> App | None:
    """The connection's app with its key; None where it has none."""
    if stored.sealed_app_key is None:
        return None
    key = await safe.open(connection, _scope(stored), connections.app_key_of(stored.name), stored.sealed_app_key)
    return App(stored.app_id, stored.installation, key)


def repository_of(stored: StoredConnection, token: str = "") -> ForgeRepository:
    """The connection's repository at its forge."""
    return ForgeRepository(stored.forge, stored.repository, stored.api_url, token)


async def token_for(parts: Parts, stored: StoredConnection, use: Use) -> str:
    """What the forge's API is shown; empty where there is nothing. Raises `Problem` where the forge gives none."""
    async with parts.pool.acquire() as connection:
        token, app = await opened_token(parts.safe, connection, stored), await opened_app(parts.safe, connection, stored)
    if app is None:
        return token
    return (await _made(parts, stored, app, use)).value


async def _made(parts: Parts, stored: StoredConnection, app: App, use: Use) -> Token:
    try:
        return await parts.apps.token(app, repository_of(stored), use)
    except NoToken as error:
        raise Problem(422, "app-refused", str(error)) from error
    except NotNow as error:
        wait = {"Retry-After": str(round(error.wait.total_seconds()))} if error.wait else {}
        raise Problem(503, "forge-away", f"{error} Try again later.", headers=wait) from error


def _scope(stored: StoredConnection) -> str:
    return project_scope(stored.organization, stored.project)


async def _seal(unit: Unit, stored: StoredConnection, place: str, value: str) -> bytes:
    return await unit.parts.safe.seal(unit.connection, _scope(stored), place, value)
