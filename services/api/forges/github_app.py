"""Tokens of GitHub Apps: made for one repository and one use, with the least rights that it takes, good for an hour.

The app's private key signs who asks, and GitHub gives a token of the app's installation:
https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from hashlib import sha256

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from shared.forge_api import ForgeRepository
from shared.guarded_http import Failed, GuardedClient, Response
from shared.outbound import Refused
from shared.rate_limits import pause

LEFT_S = 300.0
"""A token that is kept is given out until so shortly before its end: whoever gets it has that long to use it."""
_BACKDATED_S, _ASKING_S = 60, 540
"""GitHub's clock may be behind ours; and it takes no signature for longer than ten minutes."""
_SHORTEST_KEY = 2048
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
    token: str = Field(min_length=1)
    expires_at: AwareDatetime


_Key = tuple[str, ...]


def read_key(pem: str) -> RSAKey:
    """An app's private key; raises `ValueError` for what is none."""
    try:
        key = RSAKey.import_key(pem.strip())
    except (ValueError, TypeError, JoseError) as error:
        raise ValueError("it is no RSA key in PEM without a passphrase") from error
    if not key.is_private:
        raise ValueError("it is a public key")
    if key.raw_value.key_size < _SHORTEST_KEY:
        raise ValueError(f"it has fewer than {_SHORTEST_KEY} bits")
    return key


class AppTokens:
    """Makes tokens, and keeps each as long as it is good: those who want the same at the same time share one."""

    def __init__(self, client: GuardedClient) -> None:
        self._client = client
        self._tokens: dict[_Key, Token] = {}
        self._installations: dict[_Key, str] = {}
        self._asking: dict[_Key, asyncio.Task[Token]] = {}
        self._pauses: dict[_Key, tuple[float, str]] = {}

    async def token(self, app: App, repository: ForgeRepository, use: Use, left_s: float = LEFT_S) -> Token:
        """One that is good for `left_s` seconds at least. Raises `NoToken` or `NotNow`; while GitHub wants a pause it is not asked."""
        key = (*_of(app, repository), use.name)
        kept = self._tokens.get(key)
        if kept is not None and kept.until - time.time() > left_s:
            return kept
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(app, repository, use, key))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(asking)

    async def _ask(self, app: App, repository: ForgeRepository, use: Use, key: _Key) -> Token:
        self._keep_pause(key[:2])
        try:
            made = await self._make(app, repository, use)
        except NotNow as not_now:
            if not_now.wait is not None:
                self._pauses[key[:2]] = (time.monotonic() + not_now.wait.total_seconds(), str(not_now))
            raise
        now = time.time()
        self._tokens = {each: token for each, token in self._tokens.items() if token.until > now} | {key: made}
        return made

    def _keep_pause(self, asked: _Key) -> None:
        until, reason = self._pauses.get(asked, (0.0, ""))
        left = until - time.monotonic()
        if left > 0:
            raise NotNow(reason, timedelta(seconds=left))
        self._pauses.pop(asked, None)

    async def _make(self, app: App, repository: ForgeRepository, use: Use) -> Token:
        signed = ForgeRepository(repository.kind, repository.identity, repository.api_url, _signed(app))
        installation = app.installation or await self._installation(app, signed)
        body = json.dumps({"repositories": [signed.name], "permissions": use.value}).encode()
        answer = await self._send("POST", signed, signed.api(f"app/installations/{installation}/access_tokens"), body)
        if answer.status == 404:
            self._installations.pop(_of(app, repository), None)
            raise NoToken(f"GitHub knows no installation {installation} of the app {app.id}: say the right one, or none.")
        made = _Made.model_validate_json(_good(answer, app, signed, use).body)
        return Token(made.token, made.expires_at.timestamp())

    async def _installation(self, app: App, signed: ForgeRepository) -> str:
        key = _of(app, signed)
        if key not in self._installations:
            answer = await self._send("GET", signed, signed.url("installation"))
            if answer.status == 404:
                raise NoToken(
                    f"The app {app.id} is not installed on {signed.identity}: install it there, on GitHub's page of the app "
                    "(Install App), and give it this repository."
                )
            self._installations[key] = str(_Installation.model_validate_json(_good(answer, app, signed, None).body).id)
        return self._installations[key]

    async def _send(self, method: str, signed: ForgeRepository, url: str, body: bytes | None = None) -> Response:
        try:
            return await self._client.send(method, url, signed.headers, body)
        except Refused as refused:
            raise NoToken(f"GitHub is not asked for a token: {refused}") from refused
        except Failed as failed:
            raise NotNow(f"GitHub cannot be asked for a token: {failed}") from failed


def _of(app: App, repository: ForgeRepository) -> _Key:
    """Whose tokens are the same: never those of another key, however the rest agrees. The first two are who asks whom."""
    key = sha256(app.private_key.encode()).hexdigest()
    return (repository.api(""), app.id, app.installation, key, repository.identity)


def _signed(app: App) -> str:
    now = int(time.time())
    claims = {"iss": app.id, "iat": now - _BACKDATED_S, "exp": now + _ASKING_S}
    return jwt.encode({"alg": "RS256", "typ": "JWT"}, claims, read_key(app.private_key))


def _good(answer: Response, app: App, repository: ForgeRepository, use: Use | None) -> Response:
    """The answer, where it is one; raises `NoToken` or `NotNow` else."""
    said = f"GitHub gives no token: it answered {answer.status}: {answer.text()}."
    if 200 <= answer.status < 300:
        return _readable(answer, _Made if use else _Installation)
    if answer.status in (403, 429) and (answer.status == 429 or b"rate limit" in answer.body.lower() or _pause(answer)):
        raise NotNow(said, _pause(answer) or _UNSAID_PAUSE)
    if answer.status >= 500 or answer.status == 408:
        raise NotNow(said, _pause(answer))
    if answer.status == 401:
        raise NoToken(f"{said} Is the private key one of the app {app.id}, and not deleted there?{_clock(answer.headers)}")
    if answer.status == 422:
        rights = ", ".join(f"{name}: {right}" for name, right in (use.value if use else {}).items())
        raise NoToken(
            f"{said} The app {app.id} needs the right {rights}, and its installation has to have accepted it and to include "
            f"{repository.identity}."
        )
    if 300 <= answer.status < 400:
        raise NoToken(f"{said} It redirects, which is not followed: connect the repository's present address.")
    raise NoToken(f"{said} Is the installation suspended?" if answer.status == 403 else said)


def _readable(answer: Response, model: type[BaseModel]) -> Response:
    try:
        model.model_validate_json(answer.body)
    except ValidationError as error:
        raise NoToken(f"What answers for GitHub does not speak its API: {answer.text(100)}") from error
    return answer


def _pause(answer: Response) -> timedelta | None:
    return pause(answer.headers, datetime.now(UTC))


def _clock(headers: Mapping[str, str]) -> str:
    """GitHub refuses a signature of the future, too."""
    try:
        off = datetime.now(UTC) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):
        return ""
    seconds = round(off.total_seconds())
    return f" The clock here is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} GitHub's: set it." if abs(seconds) > 60 else ""
