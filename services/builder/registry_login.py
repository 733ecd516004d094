"""Logging in to a registry: Basic, or the token that it sends one to fetch.

Sources: https://distribution.github.io/distribution/spec/auth/token/, and Docker's config.json (credentials by host; a
helper program that keeps them elsewhere is not asked).
"""

import base64
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import BaseModel, ConfigDict

_PARAMETER = re.compile(r'([a-z_]+)="([^"]*)"')


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore")
    auth: str = ""
    username: str = ""
    password: str = ""


class _DockerConfig(BaseModel):
    model_config = ConfigDict(extra="ignore")
    auths: dict[str, _Entry] = {}


class _Token(BaseModel):
    model_config = ConfigDict(extra="ignore")
    token: str = ""
    access_token: str = ""


@dataclass(frozen=True)
class Login:
    """Who we are at a registry."""

    username: str
    password: str

    @property
    def basic(self) -> str:
        """As the header has it."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def login_of(host: str, docker_config: Path | None) -> Login | None:
    """The login that Docker's configuration has for a host."""
    if docker_config is None or not (docker_config / "config.json").exists():
        return None
    entry = _DockerConfig.model_validate_json((docker_config / "config.json").read_bytes()).auths.get(host)
    if entry is None:
        return None
    if entry.auth:
        username, _, password = base64.b64decode(entry.auth).decode().partition(":")
        return Login(username, password)
    return Login(entry.username, entry.password)


class RegistryLogin(httpx.Auth):
    """Answers a registry's challenge; a token that was fetched is used until it is refused."""

    requires_response_body = True

    def __init__(self, login: Login | None) -> None:
        self._login = login
        self._held: dict[str, str] = {}

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """As httpx wants it."""
        place = request.url.path.rpartition("/")[0].rpartition("/")[0]
        if held := self._held.get(place):
            request.headers["Authorization"] = held
        answer = yield request
        if answer.status_code != httpx.codes.UNAUTHORIZED:
            return
        challenge = answer.headers.get("WWW-Authenticate", "")
        if challenge.lower().startswith("bearer "):
            granted = yield self._token_request(challenge)
            if granted.status_code != httpx.codes.OK:
                return
            token = _Token.model_validate_json(granted.content)
            self._held[place] = f"Bearer {token.token or token.access_token}"
        elif self._login is not None and held != self._login.basic:
            self._held[place] = self._login.basic
        else:
            return
        request.headers["Authorization"] = self._held[place]
        yield request

    def _token_request(self, challenge: str) -> httpx.Request:
        parameters = dict(_PARAMETER.findall(challenge))
        realm = parameters.pop("realm", "")
        headers = {"Authorization": self._login.basic} if self._login else {}
        return httpx.Request("GET", httpx.URL(realm).copy_merge_params(parameters), headers=headers)
