"""The comments of change request 7 of `acme/todo`, as each forge's API documentation has them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from tests.integration.notifier.receivers import Call

Json = dict[str, JsonValue]
Answer = Callable[[Request, "Call"], Response]
Guard = Callable[[Answer], Callable[[Request], Awaitable[Response]]]

_LONGEST = {"github": 65_536, "gitlab": 1_000_000, "bitbucket": 32_768, "bitbucket-data-center": 32_768, "gitea": 65_536}
_WHERE = {
    "github": ("issues/7/comments", "issues/7/comments", "issues/comments/{id:int}"),
    "gitlab": ("merge_requests/7/notes", "merge_requests/7/notes", "merge_requests/7/notes/{id:int}"),
    "bitbucket": ("pullrequests/7/comments", "pullrequests/7/comments", "pullrequests/7/comments/{id:int}"),
    "bitbucket-data-center": ("pull-requests/7/activities", "pull-requests/7/comments", "pull-requests/7/comments/{id:int}"),
    "gitea": ("issues/7/comments", "issues/7/comments", "issues/comments/{id:int}"),
}
"""Where all are listed, where one is made, and where one is read and changed."""


@dataclass
class Comments:
    """`texts` by id, in the order in which they were made; `foreign`: those of others, which the token may not change."""

    kind: str
    texts: dict[int, str] = field(default_factory=dict)
    foreign: set[int] = field(default_factory=set)
    versions: dict[int, int] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    """Every text that the token brought, made or changed."""

    def others(self, count: int) -> None:
        """So many comments of other people."""
        for number in range(len(self.texts) + 1, len(self.texts) + count + 1):
            self.texts[number] = "Looks good."
            self.foreign.add(number)

    def routes(self, below: str, guarded: Guard) -> list[Route]:
        """Below the repository's path."""
        listed, made, one = (f"{below}/{path}" for path in _WHERE[self.kind])
        change = "PATCH" if self.kind in ("github", "gitea") else "PUT"
        return [
            Route(listed, guarded(self._list), methods=["GET"]),
            Route(made, guarded(self.make), methods=["POST"]),
            Route(one, guarded(self._get), methods=["GET"]),
            Route(one, guarded(self._change), methods=[change]),
        ]

    @property
    def ours(self) -> list[str]:
        """Those that the token made."""
        return [text for number, text in self.texts.items() if number not in self.foreign]

    def _list(self, _: Request, call: "Call") -> Response:
        numbers = list(self.texts)
        if self.kind == "gitea":
            return JSONResponse([self._shown(number) for number in numbers])  # it knows `since` and `before`, and no pages
        if self.kind == "bitbucket-data-center":
            return self._activities(numbers[::-1], int(call.query.get("start", 0)), int(call.query.get("limit", 25)))
        size = int(call.query.get("pagelen" if self.kind == "bitbucket" else "per_page", 20))
        if self.kind == "gitlab" and call.query.get("sort") != "asc":
            numbers.reverse()
        at = (int(call.query.get("page", 1)) - 1) * size
        page = [self._shown(number) for number in numbers[at : at + size]]
        if self.kind != "bitbucket":
            return JSONResponse(page)
        more: Json = {"next": "https://api.bitbucket.org/…"} if at + size < len(numbers) else {}
        return JSONResponse({"pagelen": size, "values": page} | more)

    def _activities(self, newest_first: list[int], start: int, limit: int) -> Response:
        """Comments are among what else happened; the newest first."""
        everything: list[JsonValue] = [
            {"action": "COMMENTED", "commentAction": "ADDED", "comment": self._shown(number)} for number in newest_first
        ]
        everything.append({"action": "OPENED"})
        last = start + limit >= len(everything)
        page: Json = {"values": everything[start : start + limit], "start": start, "limit": limit, "isLastPage": last}
        return JSONResponse(page | {"nextPageStart": None if last else start + limit})

    def make(self, _: Request | None, call: "Call") -> Response:
        """A new one."""
        if (text := self._text(call.json)) is None:
            return JSONResponse({"message": "Validation Failed"}, 400 if self.kind.startswith("bitbucket") else 422)
        number = max(self.texts, default=0) + 1
        self.texts[number] = text
        self.changes.append(text)
        return JSONResponse(self._shown(number), 201)

    def _get(self, request: Request, _: "Call") -> Response:
        number = request.path_params["id"]
        return JSONResponse(self._shown(number)) if number in self.texts else JSONResponse({"message": "Not Found"}, 404)

    def _change(self, request: Request, call: "Call") -> Response:
        number, wanted = request.path_params["id"], call.json
        if number not in self.texts:
            return JSONResponse({"message": "Not Found"}, 404)
        if number in self.foreign:
            return JSONResponse({"message": "Forbidden"}, 403)
        if self.kind == "bitbucket-data-center" and wanted.pop("version", None) != self.versions.get(number, 0):
            return JSONResponse({"errors": [{"message": "You are attempting to modify a comment based on out-of-date information."}]}, 409)
        if (text := self._text(wanted)) is None:
            return JSONResponse({"message": "Validation Failed"}, 400)
        self.texts[number], self.versions[number] = text, self.versions.get(number, 0) + 1
        self.changes.append(text)
        return JSONResponse(self._shown(number))

    def _text(self, wanted: Json) -> str | None:
        """What the body says, where it has the form that the documentation says, and no more."""
        beside = dict(wanted)
        if self.kind == "bitbucket":
            content = beside.pop("content", None)
            text = content.pop("raw", None) if isinstance(content, dict) else None
            beside |= content if isinstance(content, dict) else {}
        else:
            text = beside.pop("text" if self.kind == "bitbucket-data-center" else "body", None)
        good = isinstance(text, str) and 0 < len(text) <= _LONGEST[self.kind] and not beside
        return str(text) if good else None

    def _shown(self, number: int) -> Json:
        text = self.texts[number]
        match self.kind:
            case "bitbucket":
                return {"id": number, "content": {"raw": text, "markup": "markdown"}, "deleted": False}
            case "bitbucket-data-center":
                return {"id": number, "version": self.versions.get(number, 0), "text": text, "state": "OPEN", "severity": "NORMAL"}
            case _:
                return {"id": number, "body": text, "created_at": "2026-11-29T10:00:00Z"}
