"""Deployments: runs of the pipeline, with steps, events and logs; and what people may do to them."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from services.api import access
from services.api.access import APPROVE_BY_POLICY, Asking, Caller
from services.api.dependencies import Using
from services.api.filters import OfPlace
from services.api.paging import Page, Paged
from services.api.projection import Deployment, Step
from services.api.refusals import not_found
from services.api.resources.requests import Accepted, submit
from services.api.store import archive, logs, places
from services.api.store.archive import Scopes
from services.api.store.logs import LogLine
from services.api.store.places import Reads
from services.api.transaction import TransactionalRoute, Unit, Within
from shared.contracts.events import Event
from shared.contracts.places import Place
from shared.contracts.requests import (
    AcceptRequested,
    ApproveRequested,
    CancelRequested,
    DeployRequested,
    RetryRequested,
)
from shared.messages import Slug
from shared.problems import Problem

router = APIRouter(prefix="/deployments", tags=["deployments"], route_class=TransactionalRoute)


def _not_none(commit: str) -> str:
    if not commit.strip("0"):
        raise ValueError("git writes zeros for no commit at all")
    return commit


Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$"), AfterValidator(_not_none)]


class NewDeployment(BaseModel):
    """What to deploy: the newest change of what the environment follows, unless a ref, a commit or a former deployment is named."""

    organization: Slug
    project: Slug
    environment: Slug
    ref: str | None = Field(default=None, max_length=1000, description="Full name: refs/heads/…")
    commit: Commit | None = Field(default=None, description="Full object name")
    again: str | None = Field(default=None, max_length=64, description="Deployment whose commit is deployed again")
    rebuild: bool = Field(default=False, description="Build every image anew, with the newest base images, and replace every service")


class Approval(BaseModel):
    """Yes, or no with the reason."""

    approved: bool = True
    reason: str = Field(default="", max_length=1000)


class DeploymentPage(BaseModel):
    """A deployment with its steps."""

    deployment: Deployment
    steps: list[Step]


def scopes_of(caller: Caller) -> Scopes:
    """Where the caller may look."""
    return Scopes(*caller.seen_scopes())


async def permitted(caller: Caller, action: str, reads: Reads, deployment: str) -> Deployment:
    """The deployment, where the caller may do the action to its environment; else 404, or 403 where they may see it."""
    found = await archive.deployment(reads, deployment)
    if found is None or not caller.sees(found.organization, found.project, found.environment):
        raise not_found("deployment", deployment)
    resource = access.of_environment(found.organization, found.project, found.environment)
    await caller.may(action, resource, found.environment_kind)
    return found


@router.get("")
async def list_deployments(
    window: Paged,
    caller: Asking,
    using: Using,
    place: OfPlace,
    state: Annotated[str, Query(max_length=20)] = "",
) -> Page[Deployment]:
    """Those that you may see, the newest first."""
    rows = await archive.deployments(
        using.pool,
        scopes_of(caller),
        window.after,
        window.fetch,
        **place,
        state=state,
    )
    return Page.of(rows, window, lambda row: row.id)


@router.post("", status_code=202)
async def create_deployment(wanted: NewDeployment, caller: Asking, unit: Within) -> Accepted:
    """Asks for a deployment. Its id stands in the request's page once the coordinator has taken it."""
    place = Place(organization=wanted.organization, project=wanted.project, environment=wanted.environment)
    await _may_ask(caller, unit, place)
    if wanted.again is not None:
        former = await permitted(caller, "deployment.read", unit.reads, wanted.again)
        if (former.organization, former.project) != (place.organization, place.project):
            raise Problem(422, "other-project", f"{wanted.again} is a deployment of another project.")
    request = DeployRequested(
        organization=wanted.organization,
        subject=caller.id,
        place=place,
        ref=wanted.ref,
        commit=wanted.commit,
        again=wanted.again,
        rebuild=wanted.rebuild,
    )
    return await submit(unit, caller, request)


async def _may_ask(caller: Caller, unit: Unit, place: Place) -> None:
    """Passes too where somebody else may approve: the pipeline asks them."""
    found = await places.environment(unit.reads, place.organization, place.project, place.environment)
    kind = "" if found is None else found.kind
    resource = access.of_environment(place.organization, place.project, place.environment)
    decision = await caller.auth.check(caller.id, "deployment.create", resource, kind)
    if not (decision.allowed or decision.approval):
        raise Problem(403, "forbidden", f"You may not do this: {decision.rule}.", action="deployment.create")
    if found is None:
        raise not_found("environment", str(place))


@router.get("/{deployment}")
async def get_deployment(deployment: str, caller: Asking, using: Using) -> DeploymentPage:
    """One deployment with its steps."""
    found = await permitted(caller, "deployment.read", using.pool, deployment)
    return DeploymentPage(deployment=found, steps=list(await archive.steps(using.pool, deployment)))


@router.get("/{deployment}/events")
async def list_deployment_events(deployment: str, window: Paged, caller: Asking, using: Using) -> Page[Event]:
    """All its events as they were published; `sequence` tells the order, `cause` what led to each."""
    await permitted(caller, "event.read", using.pool, deployment)
    rows = await archive.events_of(using.pool, deployment, window.position, window.fetch)
    page = Page.of(rows, window, lambda row: row.position)
    return Page(items=[row.event for row in page.items], next=page.next)


@router.get("/{deployment}/logs")
async def list_deployment_logs(
    deployment: str,
    window: Paged,
    caller: Asking,
    using: Using,
    step: Annotated[str, Query(max_length=200)] = "",
    tail: Annotated[int, Query(ge=0, le=5000, description="The last lines instead of a page")] = 0,
) -> Page[LogLine]:
    """Its log lines, of one step where it is named."""
    await permitted(caller, "log.read", using.pool, deployment)
    if tail:
        return Page(items=list(await logs.tail(using.pool, deployment, step, tail)))
    rows = await logs.find(using.pool, deployment, step, window.position, window.fetch)
    return Page.of(rows, window, lambda row: row.position)


@router.post("/{deployment}/cancel", status_code=202)
async def cancel(deployment: str, caller: Asking, unit: Within) -> Accepted:
    """Ends it: before the lock it is dropped, with the lock everything is undone."""
    found = await permitted(caller, "deployment.cancel", unit.reads, deployment)
    request = CancelRequested(organization=found.organization, subject=caller.id, target_deployment=deployment)
    return await submit(unit, caller, request, deployment)


@router.post("/{deployment}/approve", status_code=202)
async def approve(deployment: str, caller: Asking, unit: Within, wanted: Approval | None = None) -> Accepted:
    """Lets a waiting deployment go on, or refuses it."""
    found = await permitted(caller, "deployment.approve", unit.reads, deployment)
    await _may_by_policy(caller, unit.reads, found)
    said = wanted or Approval()
    request = ApproveRequested(
        organization=found.organization,
        subject=caller.id,
        target_deployment=deployment,
        approved=said.approved,
        reason=said.reason,
    )
    return await submit(unit, caller, request, deployment)


async def _may_by_policy(caller: Caller, reads: Reads, found: Deployment) -> None:
    """Where every deployment needs approval, it takes somebody whom that does not stop."""
    place = (found.organization, found.project, found.environment)
    environment = await places.environment(reads, *place)
    if environment is not None and environment.needs_approval:
        await caller.may(APPROVE_BY_POLICY, access.of_environment(*place), environment.kind)


@router.post("/{deployment}/retry", status_code=202)
async def retry(deployment: str, caller: Asking, unit: Within) -> Accepted:
    """Tries again the undo at which it is stuck."""
    found = await permitted(caller, "deployment.retry", unit.reads, deployment)
    request = RetryRequested(organization=found.organization, subject=caller.id, target_deployment=deployment)
    return await submit(unit, caller, request, deployment)


@router.post("/{deployment}/accept", status_code=202)
async def accept(deployment: str, caller: Asking, unit: Within) -> Accepted:
    """Accepts a stuck one as it stands: the environment is free again."""
    found = await permitted(caller, "deployment.accept", unit.reads, deployment)
    request = AcceptRequested(organization=found.organization, subject=caller.id, target_deployment=deployment)
    return await submit(unit, caller, request, deployment)
