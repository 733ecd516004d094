"""The comments of change request 17 of `acme/todo`, as each forge's API has them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.health import serve

PATHS = {
    "github": ("/repos/acme/todo/issues/17/comments", "/repos/acme/todo/issues/17/comments", "/repos/acme/todo/issues/comments/{id}"),
    "gitea": ("/repos/acme/todo/issues/17/comments", "/repos/acme/todo/issues/17/comments", "/repos/acme/todo/issues/comments/{id}"),
    "gitlab": (
        "/projects/acme/todo/merge_requests/17/notes",
        "/projects/acme/todo/merge_requests/17/notes",
        "/projects/acme/todo/merge_requests/17/notes/{id}",
    ),
    "bitbucket": (
        "/repositories/acme/todo/pullrequests/17/comments",
        "/repositories/acme/todo/pullrequests/17/comments",
        "/repositories/acme/todo/pullrequests/17/comments/{id}",
    ),
    "bitbucket-data-center": (
        "/projects/acme/repos/todo/pull-requests/17/activities",
        "/projects/acme/repos/todo/pull-requests/17/comments",
        "/projects/acme/repos/todo/pull-requests/17/comments/{id}",
    ),
}
"""Where all are, where one is made, and where one is changed."""


@dataclass
class CommentServer:
    """A forge's change request. `foreign`: ids of comments that the token may not change."""

    kind: str
    url: str = ""
    texts: dict[int, str] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    foreign: set[int] = field(default_factory=set)

    def app(self) -> Starlette:
        """Its routes."""
        listed, made, changed = PATHS[self.kind]
        method = "PATCH" if self.kind in ("github", "gitea") else "PUT"
        return Starlette(
            routes=[
                Route(listed, self._list, methods=["GET"]),
                Route(made, self._make, methods=["POST"]),
                Route(changed, self._change, methods=[method]),
            ]
        )

    async def _list(self, _: Request) -> Response:
        shown = [self._shown(number) for number in self.texts]
        if self.kind == "bitbucket-data-center":
            return JSONResponse({"values": [{"action": "OPENED"}, *({"action": "COMMENTED", "comment": each} for each in shown)]})
        return JSONResponse({"values": shown} if self.kind == "bitbucket" else shown)

    async def _make(self, request: Request) -> Response:
        number = len(self.texts) + 1
        self.texts[number], self.versions[number] = self._text(json.loads(await request.body())), 0
        return JSONResponse(self._shown(number), 201)

    async def _change(self, request: Request) -> Response:
        number, wanted = int(request.path_params["id"]), json.loads(await request.body())
        if number in self.foreign:
            return JSONResponse({"message": "Forbidden"}, 403)
        if self.kind == "bitbucket-data-center" and wanted["version"] != self.versions[number]:
            return JSONResponse({"errors": [{"message": "out of date"}]}, 409)
        self.texts[number] = self._text(wanted)
        self.versions[number] += 1
        return JSONResponse(self._shown(number))

    def _text(self, wanted: dict[str, Any]) -> str:
        if self.kind == "bitbucket":
            return str(wanted["content"]["raw"])
        return str(wanted["text" if self.kind == "bitbucket-data-center" else "body"])

    def _shown(self, number: int) -> dict[str, Any]:
        text = self.texts[number]
        match self.kind:
            case "bitbucket":
                return {"id": number, "content": {"raw": text, "markup": "markdown"}, "deleted": False}
            case "bitbucket-data-center":
                return {"id": number, "version": self.versions[number], "text": text}
            case _:
                return {"id": number, "body": text}


@asynccontextmanager
async def comment_server(kind: str) -> AsyncIterator[CommentServer]:
    """On a free port of 127.0.0.1."""
    server = CommentServer(kind)
    async with serve(server.app(), "127.0.0.1", 0) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server
