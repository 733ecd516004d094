"""`/git/<org>/<project>.git`: the three requests of git's smart HTTP protocol (gitprotocol-http), and no others."""

import asyncio
import re
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from services.webhooks.git.access import Access, Refused, Visitor
from services.webhooks.git.backend import Call, serve
from services.webhooks.git.pushes import Pushes
from services.webhooks.git.repositories import Repositories, Repository
from services.webhooks.requests import headers_of

AT_ONCE = 24
"""Requests that git works on at the same time; a pusher who only listens to the pipeline counts too."""
_PATH = re.compile(r"/git/(?P<org>[^/]+)/(?P<project>[^/]+?)(?:\.git)?/(?P<what>info/refs|git-upload-pack|git-receive-pack)")
RECEIVE = "/git-receive-pack"
_SERVICES = ("git-upload-pack", "git-receive-pack")


class Remote:
    """Answers git clients. Errors are plain text: git shows that to the person who typed the command."""

    def __init__(self, repositories: Repositories, access: Access, pushes: Pushes) -> None:
        self._repositories = repositories
        self._access = access
        self._pushes = pushes
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        try:
            repository, service, path = self._asked(scope)
            visitor = await self._access.admit(repository, headers_of(scope), push=service == "git-receive-pack")
        except Refused as refused:
            await _refuse(refused)(scope, receive, send)
            return
        await self._repositories.make(repository)
        if self._slots.locked():
            await _refuse(Refused(503, "Too many clones and pushes at once. Nothing was changed; try again in a moment."))(
                scope, receive, send
            )
            return
        async with self._slots:
            if path == RECEIVE:
                await self._push(repository, visitor, scope, receive, send)
            else:
                environment = self._repositories.environment({"GIT_PROJECT_ROOT": str(repository.path)} | _remote_user(visitor))
                await serve(Call(path, _query(path, service), environment, left=lambda: None), scope, receive, send)

    def _asked(self, scope: Scope) -> tuple[Repository, str, str]:
        """Repository, service, and the path below the repository; raises `Refused`."""
        match = _PATH.fullmatch(scope["path"])
        if match is None:
            raise Refused(404, "The address of a repository here is /git/<organization>/<project>.git")
        what = match["what"]
        if what == "info/refs":
            named = parse_qs(scope["query_string"].decode("latin-1")).get("service", [])
            service, method = named[0] if len(named) == 1 else "", "GET"
        else:
            service, method = what, "POST"
        if service not in _SERVICES or scope["method"] != method:
            raise Refused(403, "Only git's smart HTTP protocol is served here; use a git client of version 1.6.6 or later.")
        try:
            return self._repositories.at(match["org"], match["project"]), service, f"/{what}"
        except ValueError:
            raise Refused(404, "Organizations and projects have names of lower-case letters, digits and hyphens.") from None

    async def _push(self, repository: Repository, visitor: Visitor, scope: Scope, receive: Receive, send: Send) -> None:
        with self._pushes.session(repository, visitor) as session:
            more = {"GIT_PROJECT_ROOT": str(repository.path)} | self._pushes.environment(session)
            call = Call(RECEIVE, "", self._repositories.environment(more), left=session.gone.set)
            await serve(call, scope, receive, send)


def _query(path: str, service: str) -> str:
    return f"service={service}" if path == "/info/refs" else ""


def _remote_user(visitor: Visitor) -> dict[str, str]:
    return {"REMOTE_USER": visitor.person.id} if visitor.person else {}


def _refuse(refused: Refused) -> PlainTextResponse:
    headers = {"WWW-Authenticate": 'Basic realm="Slipway", charset="UTF-8"'} if refused.status == 401 else {}
    if refused.status == 503:
        headers["Retry-After"] = "5"
    return PlainTextResponse(f"{refused}\n", status_code=refused.status, headers=headers)
