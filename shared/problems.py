"""Errors to people and tools over HTTP: problem documents (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class Problem(Exception):
    """What is wrong, where, and what to do. `type` is a stable slug."""

    def __init__(
        self,
        status: int,
        type: str,  # noqa: A002 -- the RFC's member name
        detail: str,
        *,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: object,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.type = type
        self.title = title or HTTPStatus(status).phrase
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra

    def response(self, instance: str | None = None) -> Response:
        """The document as a response."""
        body = {"type": f"tag:slipway,2026:problems/{self.type}", "title": self.title, "status": self.status, "detail": self.detail}
        if instance:
            body["instance"] = instance
        return JSONResponse(body | self.extra, status_code=self.status, headers=self.headers, media_type="application/problem+json")


async def answer_problem(request: Request, error: Exception) -> Response:
    """Exception handler for `Problem` and for Starlette's own HTTP errors."""
    if isinstance(error, Problem):
        return error.response(request.url.path)
    if isinstance(error, HTTPException):
        slug = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        return Problem(error.status_code, slug, str(error.detail), headers=error.headers).response(request.url.path)
    raise error
