"""GitHub's API for apps, as its documentation says: it gives tokens to whoever signs with the app's key, and to nobody else.

https://docs.github.com/rest/apps/apps and …/generating-a-json-web-token-jwt-for-a-github-app
"""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.health import serve
from tests.forge_apis.contract import Contract

APP = "4711"
INSTALLATION = 99
REPOSITORY = "acme/todo"
LONGEST_S = 600
HOUR = 3600.0


@cache
def keys(name: str) -> RSAKey:
    """A key of the app, by what a test calls it."""
    return RSAKey.generate_key(2048, {"kid": name})


def pem(name: str = "first") -> str:
    """Its private half, as GitHub hands it out."""
    return keys(name).as_pem(private=True).decode()


@dataclass
class GitHubApps:
    """One app, installed on one repository, with these rights; and what it was asked."""

    url: str = ""
    rights: dict[str, str] = field(
        default_factory=lambda: {
            "contents": "read",
            "pull_requests": "write",
            "statuses": "write",
            "deployments": "write",
            "repository_hooks": "write",
        }
    )
    lives_s: float = HOUR
    refusal: Response | None = None
    installed: bool = True
    installation: int = INSTALLATION
    tokens: dict[str, tuple[dict[str, str], float]] = field(default_factory=dict)
    """Each token's rights, and when it ends."""
    asked: list[str] = field(default_factory=list)
    contract: Contract = field(default_factory=lambda: Contract("github"))

    def routes(self) -> list[Route]:
        """Below `/api/v3`, as on a server of one's own."""
        return [
            Route(f"/api/v3/repos/{REPOSITORY}/installation", self._guarded(self._installation), methods=["GET"]),
            Route("/api/v3/app/installations/{id:int}/access_tokens", self._guarded(self._token), methods=["POST"]),
        ]

    def allows(self, token: str, right: str, level: str) -> bool:
        """Whether a request with this token may do that now."""
        rights, until = self.tokens.get(token, ({}, 0.0))
        return time.time() < until and rights.get(right) in ({"read": ("read", "write"), "write": ("write",)}[level])

    def _guarded(self, answer: Callable[[Request, bytes], Response]) -> Callable[[Request], Any]:
        async def respond(request: Request) -> Response:
            self.asked.append(f"{request.method} {request.url.path.removeprefix('/api/v3')}")
            if self.refusal is not None:
                return self.refusal
            assert request.headers["x-github-api-version"] == "2022-11-28"
            if (wrong := _wrong(request.headers.get("authorization", ""))) is not None:
                return JSONResponse({"message": wrong, "documentation_url": "https://docs.github.com/rest"}, 401)
            body = await request.body()
            return self.contract.checked(request, body, answer(request, body))

        return respond

    def _installation(self, _request: Request, _body: bytes) -> Response:
        if not self.installed:
            return JSONResponse({"message": "Not Found"}, 404)
        return JSONResponse({"id": self.installation, "app_id": int(APP), "permissions": self.rights, "suspended_at": None})

    def _token(self, request: Request, body: bytes) -> Response:
        if request.path_params["id"] != self.installation:
            return JSONResponse({"message": "Not Found"}, 404)
        wanted = json.loads(body)
        assert set(wanted) == {"repositories", "permissions"}, "a token for everything that the app may"
        if wanted["repositories"] != [REPOSITORY.partition("/")[2]]:
            message = "There is at least one repository that does not exist or is not accessible to the parent installation."
            return JSONResponse({"message": message}, 422)
        if any(self.rights.get(name) not in (level, "write") for name, level in wanted["permissions"].items()):
            return JSONResponse({"message": "The permissions requested are not granted to this installation."}, 422)
        token, until = f"ghs_canary_{len(self.tokens)}", time.time() + self.lives_s
        self.tokens[token] = (wanted["permissions"], until)
        expires_at = datetime.fromtimestamp(until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return JSONResponse({"token": token, "expires_at": expires_at, "permissions": wanted["permissions"]}, 201)


def _wrong(authorization: str) -> str | None:
    """What GitHub says of a signature that it does not take."""
    scheme, _, signed = authorization.partition(" ")
    try:
        claims = jwt.decode(signed, keys("first"), algorithms=["RS256"]).claims
    except (JoseError, ValueError):
        return "A JSON web token could not be decoded"
    now = time.time()
    if scheme != "Bearer" or claims["iss"] != APP:
        return "Integration not found"
    if claims["iat"] > now:
        return "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
    if not now < claims["exp"] <= now + LONGEST_S:
        return "'Expiration time' claim ('exp') is too far in the future"
    return None


@asynccontextmanager
async def github_apps() -> AsyncIterator[GitHubApps]:
    """On a free port of 127.0.0.1."""
    made = GitHubApps()
    async with serve(Starlette(routes=made.routes()), "127.0.0.1", 0) as port:
        made.url = f"http://127.0.0.1:{port}"
        yield made
    made.contract.assert_kept()
