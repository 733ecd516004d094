"""Tokens of GitHub Apps: made for one repository and one use, with the least rights that it takes, good for an hour.

The app's private key signs who asks, and GitHub gives a token of the app's installation:
https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app
"""

import asyncio
import json
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from hashlib import sha256
from typing import TypeVar

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from services.api.forges.app_key import clock_difference, signed
from shared.forge_api import ForgeRepository
from shared.guarded_http import Failed, GuardedClient, Response
from shared.outbound import Refused
from shared.rate_limits import pause

LEFT_S = 300.0
"""A token that is kept is given out until so shortly before its end: whoever gets it has that long to use it."""
INSTALLED_S = 300.0
"""How long an installation that was found on a repository is believed to be there."""
LONGEST_S = 3600.0
"""A token is kept for so long at most, and a pause: whoever answers for GitHub may be anybody's server, and say anything."""
MOST = 4096
"""So many tokens, installations and pauses are kept: of more the oldest are forgotten, and asked for again."""
_UNSAID_PAUSE = timedelta(minutes=1)


class Use(Enum):
    """What a token is for: the rights that it gets (the names are those of the API)."""

    CLONE = {"contents": "read"}  # noqa: RUF012 -- never changed
    REQUESTS = {"pull_requests": "read"}  # noqa: RUF012
    STATUSES = {"statuses": "write", "deployments": "write"}  # noqa: RUF012
    COMMENTS = {"pull_requests": "write"}  # noqa: RUF012
    HOOKS = {"repository_hooks": "write"}  # noqa: RUF012
    KEYS = {"administration": "write"}  # noqa: RUF012


class NoToken(Exception):
    """GitHub gives none; the message says why, and what to do."""


class NotNow(Exception):
    """GitHub gives none now; another time it may."""

    def __init__(self, reason: str, wait: timedelta | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class App:
    """A GitHub App, as a connection names it. Without `installation` it is the one on the repository."""

    id: str
    installation: str
    private_key: str = field(repr=False)


@dataclass(frozen=True)
class Token:
    """A token, and when it ends, in seconds since 1970."""

    value: str = field(repr=False)
    until: float


class _Installation(BaseModel):
    id: int


class _Made(BaseModel):
    token: str = Field(min_length=1, max_length=4000)
    expires_at: AwareDatetime


_Key = tuple[str, ...]
M = TypeVar("M", bound=BaseModel)
V = TypeVar("V")


class AppTokens:
    """Makes tokens, and keeps each as long as it is good, but no more than some: those who want the same at the same time share one."""

    def __init__(self, client: GuardedClient) -> None:
        self._client = client
        self._tokens: dict[_Key, Token] = {}
        self._installations: dict[_Key, tuple[str, float]] = {}
        self._asking: dict[_Key, asyncio.Task[Token]] = {}
        self._pauses: dict[_Key, tuple[float, str]] = {}

    async def token(self, app: App, repository: ForgeRepository, use: Use, left_s: float = LEFT_S) -> Token:
        """One that is good for `left_s` seconds at least. Raises `NoToken` or `NotNow`; while GitHub wants a pause it is not asked."""
        key = (*_of(app, repository), use.name, str(left_s))
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._give(app, repository, use, left_s))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(asking)

    async def _give(self, app: App, repository: ForgeRepository, use: Use, left_s: float) -> Token:
        installation = app.installation or await self._installation(app, repository)
        key, now = (*_of(app, repository), installation, use.name), time.time()
        kept = self._tokens.get(key)
        if kept is not None and kept.until - now > left_s:
            return kept
        made = await self._make(app, repository, installation, use)
        _keep(self._tokens, key, made)
        return made

    async def _make(self, app: App, repository: ForgeRepository, installation: str, use: Use) -> Token:
        body = json.dumps({"repositories": [repository.name], "permissions": use.value}).encode()
        answer = await self._send("POST", app, repository, repository.api(f"app/installations/{installation}/access_tokens"), body)
        if answer.status == 404:
            self._installations.pop(_of(app, repository), None)
            raise NoToken(f"GitHub knows no installation {installation} of the app {app.id}: say the right one, or none.")
        self._good(answer, app, repository, use)
        made = _read(_Made, answer)
        return Token(made.token, min(made.expires_at.timestamp(), time.time() + LONGEST_S))

    async def _installation(self, app: App, repository: ForgeRepository) -> str:
        """The one on the repository, as it was minutes ago at most: with an installation its tokens end. Longer while GitHub is away."""
        key = _of(app, repository)
        known, at = self._installations.get(key, ("", 0.0))
        if known and time.monotonic() - at < INSTALLED_S:
            return known
        try:
            answer = await self._send("GET", app, repository, repository.url("installation"))
            if answer.status == 404:
                raise NoToken(
                    f"The app {app.id} is not installed on {repository.identity}: install it there, on GitHub's page of the app "
                    "(Install App), and give it this repository."
                )
            self._good(answer, app, repository)
        except NotNow:
            if known:
                return known
            raise
        found = str(_read(_Installation, answer).id)
        _keep(self._installations, key, (found, time.monotonic()))
        return found

    async def _send(self, method: str, app: App, repository: ForgeRepository, url: str, body: bytes | None = None) -> Response:
        asked = _of(app, repository)[:2]
        until, reason = self._pauses.get(asked, (0.0, ""))
        if (left := until - time.monotonic()) > 0:
            raise NotNow(reason, timedelta(seconds=left))
        try:
            headers = replace(repository, token=signed(app.id, app.private_key)).headers
            return await self._client.send(method, url, headers, body)
        except Refused as refused:
            raise NoToken(f"GitHub is not asked for a token: {refused}") from refused
        except Failed as failed:
            raise NotNow(f"GitHub cannot be asked for a token: {failed}") from failed

    def _good(self, answer: Response, app: App, repository: ForgeRepository, use: Use | None = None) -> None:
        """Raises `NoToken` or `NotNow` where it is a refusal. A pause that GitHub wants is kept from here on."""
        said = f"GitHub gives no token: it answered {answer.status}: {answer.text()}."
        if answer.status in (403, 429) and (wait := _rate_limit(answer)) is not None:
            _keep(self._pauses, _of(app, repository)[:2], (time.monotonic() + min(wait.total_seconds(), LONGEST_S), said))
            raise NotNow(said, wait)
        if answer.status >= 500 or answer.status == 408:
            raise NotNow(said, _pause(answer))
        if not 200 <= answer.status < 300:
            raise NoToken(f"{said}{_advice(answer, app, repository, use)}")


def _of(app: App, repository: ForgeRepository) -> _Key:
    """Whose tokens are the same: never those of another key, however the rest agrees. The first two are who asks whom."""
    key = sha256(app.private_key.encode()).hexdigest()
    return (repository.api(""), app.id, app.installation, key, repository.identity)


def _keep(kept: dict[_Key, V], key: _Key, value: V) -> None:
    """The newest come last, so the first are the oldest."""
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > MOST:
        del kept[next(iter(kept))]


def _read(model: type[M], answer: Response) -> M:
    try:
        return model.model_validate_json(answer.body)
    except ValidationError as error:
        raise NoToken(f"What answers for GitHub does not speak its API: {answer.text(100)}") from error


def _advice(answer: Response, app: App, repository: ForgeRepository, use: Use | None) -> str:
    match answer.status:
        case 401:
            return f" Is the private key one of the app {app.id}, and not deleted there?{clock_difference(answer.headers)}"
        case 403:
            return " Is the installation suspended?"
        case 422:
            rights = ", ".join(f"{name}: {right}" for name, right in (use.value if use else {}).items())
            needs = f" The app {app.id} needs the right {rights}, and its installation has to have accepted it"
            return f"{needs} and to include {repository.identity}."
        case 301 | 302 | 307 | 308:
            return " It redirects, which is not followed: have the connection lead to where the repository is now (slipway connections change)."
        case _:
            return ""


def _rate_limit(answer: Response) -> timedelta | None:
    """How long a rate limit asks to wait; None where the answer is none."""
    limited = answer.status == 429 or b"rate limit" in answer.body.lower()
    return _pause(answer) or (_UNSAID_PAUSE if limited else None)


def _pause(answer: Response) -> timedelta | None:
    return pause(answer.headers, datetime.now(UTC))
