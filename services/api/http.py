"""The HTTP application: REST under /api/v1, and the console at /."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from grpc import aio
from starlette.exceptions import HTTPException

from services.api.adapters.auth import problem_of
from services.api.console import pages
from services.api.dependencies import Parts
from services.api.hardening import Hardened
from services.api.resources import (
    answers,
    audit,
    cdevents,
    channels,
    connections,
    deliveries,
    deploy_keys,
    deployments,
    environments,
    events,
    gates,
    hooks,
    letters,
    organizations,
    people,
    projects,
    requests,
    secrets,
    services,
    streams,
    subscribers,
    targets,
    tokens,
    variables,
    webhooks,
)
from services.api.tracing import Traced
from shared.health import Check, health_app
from shared.postgres import UNAVAILABLE
from shared.problems import Problem, answer_problem

PREFIX = "/api/v1"
LARGEST_BODY = 1024 * 1024

DESCRIPTION = """
A deployment platform that a team runs itself. Lists are paged: pass `next` as `after`. Errors are problem documents (RFC 9457).
A POST with an `Idempotency-Key` is done once and answered the same for a day.
"""


_PROBLEM_SCHEMA = {
    "description": "What is wrong, where, and what to do (RFC 9457)",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "instance": {"type": "string"},
                },
            }
        }
    },
}


def build(parts: Parts, checks: dict[str, Check] | None = None) -> FastAPI:
    """The application over its parts; `checks` are the readiness checks that /readyz tells."""
    app = _Application(
        title="Slipway",
        version="1",
        description=DESCRIPTION,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        max_body_size=LARGEST_BODY,
        exception_handlers={
            Problem: answer_problem,
            HTTPException: answer_problem,
            RequestValidationError: _invalid,
            aio.AioRpcError: _refused,
            **dict.fromkeys(UNAVAILABLE, _database_away),
        },
    )
    app.state.parts = parts
    app.router.routes.extend(_REST.routes)
    app.include_router(pages.router)
    app.mount("/static", pages.static_files())
    app.add_middleware(Hardened)
    app.add_middleware(Traced)
    for route in health_app(checks or {}).routes:
        app.router.routes.append(route)
    return app


class _Application(FastAPI):
    """Describes itself in OpenAPI 3.1: FastAPI puts `itemSchema`, which is of 3.2, on streams."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            for path in document["paths"].values():
                for operation in path.values():
                    for response in operation["responses"].values():
                        stream = response.get("content", {}).get("text/event-stream", {})
                        if stream.pop("itemSchema", None):
                            stream["schema"] = {"type": "string", "description": "Server-sent events"}
        return super().openapi()


def _rest() -> APIRouter:
    """All resources, side by side: a router within a router is looked through for each request."""
    resources = APIRouter()
    for module in (
        organizations,
        secrets,
        services,
        variables,
        environments,
        projects,
        connections,
        hooks,
        deploy_keys,
        deliveries,
        channels,
        webhooks,
        subscribers,
        gates,
        answers,
        targets,
        streams,
        cdevents,
        events,
        requests,
        deployments,
        people,
        tokens,
        audit,
        letters,
    ):
        resources.routes.extend(module.router.routes)
    rest = APIRouter(generate_unique_id_function=lambda route: route.name)
    rest.include_router(resources, prefix=PREFIX, responses={"default": _PROBLEM_SCHEMA})
    return rest


_REST = _rest()
"""Made once a process: FastAPI looks at each route for milliseconds before it is asked the first time."""


async def _invalid(request: Request, error: Exception) -> Response:
    """422 with each place that is wrong."""
    assert isinstance(error, RequestValidationError)
    errors = [{"at": ".".join(str(part) for part in found["loc"]), "message": found["msg"]} for found in error.errors()]
    detail = "; ".join(f"{found['at']}: {found['message']}" for found in errors[:5])
    return Problem(422, "invalid", detail, title="The request is not valid", errors=errors).response(request.url.path)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, aio.AioRpcError)
    return problem_of(error).response(request.url.path)


async def _database_away(request: Request, _error: Exception) -> Response:
    detail = "The database cannot be reached. Try again in a moment."
    return Problem(503, "database-unavailable", detail, headers={"Retry-After": "2"}).response(request.url.path)
