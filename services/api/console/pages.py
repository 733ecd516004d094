"""The console's pages. They only read; a token in a cookie (HttpOnly, SameSite=Strict) says who looks."""

from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from services.api.access import COOKIE, Caller, caller_with, of_organization
from services.api.console import views
from services.api.dependencies import Using, parts_of
from services.api.filters import OfPlace
from services.api.projection import FINAL, Deployment
from services.api.resources.deployments import permitted, scopes_of
from services.api.store import archive, letters, logs
from shared.problems import Problem

_HERE = Path(__file__).parent
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SHOWN = 30
TAIL = 400

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    enable_async=False,
)
_templates.filters["seconds"] = views.seconds
_templates.filters["ref"] = views.short_ref
_templates.filters["state"] = views.words
_templates.filters["ago"] = views.ago


def static_files() -> StaticFiles:
    """Style sheet and script."""
    return StaticFiles(directory=_HERE / "static")


class NotLoggedIn(Problem):
    """Leads to the login page."""

    def __init__(self, back: str) -> None:
        super().__init__(303, "login", "Log in first.", headers={"Location": f"/login?back={back}"})


async def _reader(request: Request) -> Caller:
    caller = await caller_with(request.cookies.get(COOKIE, ""), parts_of(request))
    if caller is None:
        raise NotLoggedIn(request.url.path)
    return caller


Reader = Annotated[Caller, Depends(_reader)]


def _page(name: str, status: int = 200, **values: object) -> Response:
    body = _templates.get_template(name).render(**values)
    return HTMLResponse(body, status, headers={"Content-Security-Policy": _CSP})


def _local(path: str) -> str:
    """A path on this server, nothing that leads elsewhere."""
    parts = urlsplit(path)
    safe = not parts.scheme and not parts.netloc and path.startswith("/") and "\\" not in path
    return path if safe else "/"


@router.get("/login")
async def login_page(back: str = "/") -> Response:
    """Asks for a token."""
    return _page("login.html", back=_local(back), wrong=False, caller=None)


@router.post("/login")
async def log_in(request: Request, using: Using) -> Response:
    """Keeps a good token in a cookie that no script can read and no other site can use."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"))
    token, back = fields.get("token", [""])[0].strip(), fields.get("back", ["/"])[0]
    if await caller_with(token, using) is None:
        return _page("login.html", 401, back=_local(back), wrong=True, caller=None)
    response = RedirectResponse(_local(back), 303)
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, token, max_age=30 * 86400, httponly=True, samesite="strict", secure=secure)
    return response


@router.post("/logout")
async def log_out() -> Response:
    """Forgets the token."""
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


@router.get("/")
async def projects_page(caller: Reader, using: Using) -> Response:
    """Projects with their environments, and what runs there."""
    projects = await views.projects(using.pool, caller)
    recent = await archive.deployments(using.pool, scopes_of(caller), "", 8)
    ours = of_organization(using.settings.organization) in caller.resources
    waiting = await letters.waiting(using.pool) if ours else 0
    return _page("projects.html", caller=caller, projects=projects, recent=recent, letters=waiting)


@router.get("/deployments")
async def deployments_page(
    caller: Reader,
    using: Using,
    place: OfPlace,
    after: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Deployments, the newest first."""
    rows = await archive.deployments(using.pool, scopes_of(caller), after, SHOWN + 1, **place)
    following = rows[SHOWN - 1].id if len(rows) > SHOWN else None
    return _page("deployments.html", caller=caller, deployments=rows[:SHOWN], following=following, place=place)


@router.get("/deployments/{deployment}")
async def deployment_page(deployment: str, caller: Reader, using: Using) -> Response:
    """One deployment, live."""
    found = await _seen(deployment, caller, using)
    lines = await logs.tail(using.pool, deployment, "", TAIL)
    pipeline = views.pipeline(found, await archive.steps(using.pool, deployment))
    last_line = lines[-1].position if lines else 0
    return _page(
        "deployment.html",
        caller=caller,
        deployment=found,
        pipeline=pipeline,
        lines=lines,
        last_line=last_line,
        live=found.state not in FINAL,
    )


@router.get("/deployments/{deployment}/pipeline")
async def pipeline_part(deployment: str, caller: Reader, using: Using) -> Response:
    """The part of the page that changes."""
    found = await _seen(deployment, caller, using)
    pipeline = views.pipeline(found, await archive.steps(using.pool, deployment))
    return _page("pipeline.html", deployment=found, pipeline=pipeline)


async def _seen(deployment: str, caller: Caller, using: Using) -> Deployment:
    return await permitted(caller, "deployment.read", using.pool, deployment)
