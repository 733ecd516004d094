"""The webhook APIs of forges, each for one repository, `acme/todo` until it is renamed, as their documentation says: they call the hooks that they are given.

What is sent to them and what they answer has to be as the forges publish it: `forge_apis.contract`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.authorities import nobody
from shared.health import serve
from tests.component.api.github_apps import GitHubApps
from tests.component.webhooks.forge_deliveries import send
from tests.forge_apis.contract import Contract

Json = dict[str, Any]


@dataclass
class HookServer:
    """A forge with hooks. `older`: it has no tests of hooks yet, or no commit to test with; `silent`: its deliveries never leave it."""

    kind: str
    url: str = ""
    token: str = "forge-token"
    refusal: Response | None = None
    apps: GitHubApps | None = None
    """Whose tokens it takes, besides."""
    ssh_url: str = ""
    """Where it is cloned from over SSH, as it says itself."""
    keys: dict[str, Json] = field(default_factory=dict)
    """Deploy keys by id, as they were given."""
    name: str = "todo"
    older: bool = False
    silent: bool = False
    hooks: dict[str, Json] = field(default_factory=dict)
    """By id, as they were given."""
    calls: list[str] = field(default_factory=list)
    sending: set["asyncio.Task[object]"] = field(default_factory=set)
    contract: Contract = field(init=False)

    def __post_init__(self) -> None:
        self.contract = Contract(self.kind)

    @property
    def address(self) -> str:
        """The repository's."""
        return f"{self.url}/{'scm/' if self.kind == 'bitbucket-data-center' else ''}acme/{self.name}.git"

    def app(self) -> Starlette:
        """Its routes."""
        base = _BASES[self.kind].replace("/todo", "/{name}")
        changes = "PATCH" if self.kind in ("github", "gitea") else "PUT"
        tests = {
            "github": "{id}/pings",
            "gitlab": "{id}/test/resource_access_token_events",
            "bitbucket-data-center": "test",
            "gitea": "{id}/tests",
        }
        routes = [
            Route(base, self._guarded(self._list), methods=["GET"]),
            Route(base, self._guarded(self._make), methods=["POST"]),
            Route(f"{base}/{{id}}", self._guarded(self._change), methods=[changes]),
            Route(f"{base}/{{id}}", self._guarded(self._remove), methods=["DELETE"]),
        ]
        keys = _KEYS[self.kind].replace("/todo", "/{name}")
        routes += [
            Route(base.rpartition("/")[0], self._guarded(self._about), methods=["GET"]),
            Route(keys, self._guarded(self._add_key), methods=["POST"]),
            Route(f"{keys}/{{id}}", self._guarded(self._remove_key), methods=["DELETE"]),
        ]
        if self.apps is not None:
            routes += self.apps.routes()
        if self.kind in tests:
            routes.insert(0, Route(f"{base}/{tests[self.kind]}", self._guarded(self._test), methods=["POST"]))
        return Starlette(routes=routes)

    def _guarded(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            self.calls.append(f"{request.method} {request.url.path.removeprefix(_BASES[self.kind])}")
            scheme = "token" if self.kind == "gitea" else "Bearer"
            given = request.headers.get("authorization", "")
            made = self.apps is not None and self.apps.allows(given.removeprefix("Bearer "), "repository_hooks", "write")
            if given != f"{scheme} {self.token}" and not made:
                return JSONResponse({"message": "Bad credentials"}, 401)
            if request.path_params["name"] != self.name:
                return JSONResponse({"message": "Not Found"}, 404)
            return self.refusal or self.contract.checked(request, await request.body(), await answer(request))

        return respond

    async def _list(self, _: Request) -> Response:
        all_of_them = [self._shown(number) for number in self.hooks]
        return JSONResponse({"values": all_of_them} if self.kind.startswith("bitbucket") else all_of_them)

    async def _make(self, request: Request) -> Response:
        wanted = json.loads(await request.body())
        if not self._good(wanted):
            return JSONResponse({"message": "Validation Failed"}, 422)
        number = f"{{{len(self.hooks) + 1}a-b}}" if self.kind == "bitbucket" else str(len(self.hooks) + 1)
        self.hooks[number] = wanted
        if self.kind == "github":
            self._send(number, "ping-repository")
        return JSONResponse(self._shown(number), 200 if self.kind == "bitbucket-data-center" else 201)

    async def _change(self, request: Request) -> Response:
        self.hooks[request.path_params["id"]] |= json.loads(await request.body())
        return JSONResponse(self._shown(request.path_params["id"]))

    async def _remove(self, request: Request) -> Response:
        return Response(status_code=204 if self.hooks.pop(request.path_params["id"], None) else 404)

    async def _test(self, request: Request) -> Response:
        if self.older:
            gitea = self.kind == "gitea"
            return JSONResponse(
                {"message": "repository is empty" if gitea else "trigger does not have a valid value"}, 404 if gitea else 400
            )
        number = request.path_params.get("id") or request.query_params["webhookId"]
        file = {"github": "ping-repository", "gitlab": "other-event", "bitbucket-data-center": "ping", "gitea": "test"}[self.kind]
        self._send(number, file)
        match self.kind:
            case "gitlab":
                return JSONResponse({"message": "201 Created"}, 201)
            case "bitbucket-data-center":
                return JSONResponse({"request": {"method": "POST"}, "response": {"statusCode": 202}})
            case _:
                return Response(status_code=204)

    async def _about(self, _: Request) -> Response:
        if self.kind.startswith("bitbucket"):
            return JSONResponse({"links": {"clone": [{"name": "http", "href": self.address}, {"name": "ssh", "href": self.ssh_url}]}})
        return JSONResponse({"id": 1, "ssh_url_to_repo" if self.kind == "gitlab" else "ssh_url": self.ssh_url})

    async def _add_key(self, request: Request) -> Response:
        """Each key once, and to read with only."""
        wanted = json.loads(await request.body())
        reads = {
            "gitlab": wanted.get("can_push") is False and "title" in wanted,
            "bitbucket": set(wanted) == {"key", "label"},
            "bitbucket-data-center": wanted.get("permission") == "REPO_READ" and "label" in wanted["key"],
        }.get(self.kind, wanted.get("read_only") is True and "title" in wanted)
        if not reads or wanted in self.keys.values():
            return JSONResponse({"message": "key is already in use"}, 422)
        number = len(self.calls)
        self.keys[str(number)] = wanted
        if self.kind == "bitbucket-data-center":
            return JSONResponse({"key": {"id": number}, "permission": "REPO_READ"}, 201)
        return JSONResponse({"id": number}, 200 if self.kind == "bitbucket" else 201)

    async def _remove_key(self, request: Request) -> Response:
        return Response(status_code=204 if self.keys.pop(request.path_params["id"], None) else 404)

    def push(self) -> None:
        """Somebody pushes."""
        for number in self.hooks:
            self._send(number, "push")

    def _send(self, number: str, file: str) -> None:
        if self.silent:
            return
        hook = self.hooks[number]
        task = asyncio.create_task(self._deliver(_url(hook), _secret(hook), file))
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)

    async def _deliver(self, url: str, secret: str, file: str) -> None:
        parts = urlsplit(url)
        async with httpx.AsyncClient(base_url=f"{parts.scheme}://{parts.netloc}", verify=nobody()) as http:
            name, fresh = parts.path.removeprefix("/hooks/"), dict.fromkeys(_IDS, uuid4().hex)
            await send(http, self.kind, file, to=name, secret=secret, headers=fresh)

    def _good(self, wanted: Json) -> bool:
        """With a secret, over JSON, and with the events that Slipway reads."""
        if self.kind == "gitlab":
            return bool(wanted["token"]) and all(wanted[f"{each}_events"] for each in ("push", "tag_push", "merge_requests"))
        events = {"github": "push", "gitea": "push", "bitbucket": "repo:push", "bitbucket-data-center": "repo:refs_changed"}
        json_asked = wanted.get("config", {}).get("content_type", "json") == "json"
        return bool(_secret(wanted)) and json_asked and bool(wanted["active"]) and events[self.kind] in wanted["events"]

    def _shown(self, number: str) -> Json:
        """Never with the secret."""
        url = _url(self.hooks[number])
        if self.kind == "bitbucket":
            return {"uuid": number, "url": url}
        return {"id": int(number), "config": {"url": url}} if self.kind in ("github", "gitea") else {"id": int(number), "url": url}


_IDS = ("X-GitHub-Delivery", "Idempotency-Key", "X-Request-UUID", "X-Request-Id", "X-Gitea-Delivery", "X-Gogs-Delivery")
"""Headers with a delivery's id."""
_BASES = {
    "github": "/api/v3/repos/acme/todo/hooks",
    "gitlab": "/api/v4/projects/acme/todo/hooks",
    "bitbucket": "/2.0/repositories/acme/todo/hooks",
    "bitbucket-data-center": "/rest/api/latest/projects/acme/repos/todo/webhooks",
    "gitea": "/api/v1/repos/acme/todo/hooks",
}
_KEYS = {
    "github": "/api/v3/repos/acme/todo/keys",
    "gitlab": "/api/v4/projects/acme/todo/deploy_keys",
    "bitbucket": "/2.0/repositories/acme/todo/deploy-keys",
    "bitbucket-data-center": "/rest/keys/latest/projects/acme/repos/todo/ssh",
    "gitea": "/api/v1/repos/acme/todo/keys",
}
"""Deploy keys, which Bitbucket Data Center has in an API of their own."""


def _url(hook: Json) -> str:
    return str(hook.get("url") or hook["config"]["url"])


def _secret(hook: Json) -> str:
    inside = hook.get("config") or hook.get("configuration") or {}
    return str(hook.get("token") or hook.get("secret") or inside.get("secret") or "")


@asynccontextmanager
async def hook_server(kind: str, apps: GitHubApps | None = None) -> AsyncIterator[HookServer]:
    """On a free port of 127.0.0.1."""
    server = HookServer(kind, apps=apps)
    async with serve(server.app(), "127.0.0.1", 0) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server
        await asyncio.gather(*server.sending, return_exceptions=True)
    server.contract.assert_kept()
