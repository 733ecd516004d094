"""Who asks, and what they may do: a token in the header (or, for the console, in a cookie), and one check a route."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from services.api.adapters.auth import Auth
from services.api.dependencies import Parts, parts_of
from shared.problems import Problem

COOKIE = "slipway_token"
APPROVE_BY_POLICY = "deployment.approve_policy"
"""The action that an environment whose deployments all need approval asks for."""


def of_organization(organization: str) -> str:
    """The resource that an organization is in the table of permissions."""
    return f"organization/{organization}"


def of_project(organization: str, project: str) -> str:
    """The resource that a project is."""
    return f"project/{organization}/{project}"


def of_environment(organization: str, project: str, environment: str) -> str:
    """The resource that an environment is."""
    return f"environment/{organization}/{project}/{environment}"


@dataclass(frozen=True)
class Caller:
    """The person who asks. `resources`: where they have a role."""

    id: str
    name: str
    resources: frozenset[str]
    auth: Auth

    async def may(self, action: str, resource: str, kind: str = "") -> None:
        """Passes, or raises a 403 that names the rule."""
        decision = await self.auth.check(self.id, action, resource, kind)
        if not decision.allowed:
            raise Problem(403, "forbidden", f"You may not do this: {decision.rule}.", action=action, resource=resource)

    def organizations(self) -> list[str]:
        """The organizations in which they have any role."""
        return sorted({resource.split("/")[1] for resource in self.resources})

    def sees(self, organization: str, project: str, environment: str = "") -> bool:
        """Whether some role of theirs holds there, or (for a project) inside it. Lists show what this lets through."""
        above = {of_organization(organization), of_project(organization, project)}
        if environment:
            return bool(self.resources & {*above, of_environment(organization, project, environment)})
        inside = f"environment/{organization}/{project}/"
        return bool(self.resources & above) or any(resource.startswith(inside) for resource in self.resources)

    def seen_scopes(self) -> tuple[list[str], list[str], list[str]]:
        """Organizations, projects (`o/p`) and environments (`o/p/e`) on which they have a role, for filters in SQL."""
        return (
            _under("organization/", self.resources),
            _under("project/", self.resources),
            _under("environment/", self.resources),
        )


def _under(prefix: str, resources: Iterable[str]) -> list[str]:
    return sorted(resource.removeprefix(prefix) for resource in resources if resource.startswith(prefix))


bearer = HTTPBearer(auto_error=False, description="A token made with `slipway token create`")


def token_of(request: Request) -> str:
    """The token of a request, empty where there is none. The cookie counts for reading only: a form elsewhere sends it too."""
    scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
    if scheme.lower() == "bearer":
        return token
    return request.cookies.get(COOKIE, "") if request.method in ("GET", "HEAD") else ""


async def caller_with(token: str, parts: Parts) -> Caller | None:
    """The person whose token this is."""
    subject = await parts.auth.authenticate(token) if token else None
    if subject is None:
        return None
    return Caller(subject.id, subject.name, frozenset(grant.resource for grant in subject.grants), parts.auth)


async def asking(request: Request) -> Caller:
    """The person who asks; a 401 where there is none."""
    token = token_of(request)
    caller = await caller_with(token, parts_of(request))
    if caller is None:
        detail = "The token is unknown, expired or revoked." if token else "This needs a token: Authorization: Bearer slw_…"
        raise Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": "Bearer"})
    request.state.caller = caller
    return caller


async def _caller(request: Request, _scheme: Annotated[object, Depends(bearer)]) -> Caller:
    return await asking(request)


Asking = Annotated[Caller, Depends(_caller)]
"""The route's caller."""
