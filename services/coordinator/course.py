"""The deployment's own course: how it begins, what people and the driver bring it, and what ends it before anything was touched."""

from collections.abc import Iterable
from dataclasses import replace

from services.coordinator import compensation
from services.coordinator import inputs as i
from services.coordinator.commands import command
from services.coordinator.graph import gates_before
from services.coordinator.move import Move
from services.coordinator.saga import DeploymentState, Step, StepState, Want
from shared.contracts import facts as f
from shared.contracts.answers import Failure
from shared.contracts.commands import Direction
from shared.contracts.events import (
    BuildPlanned,
    DeploymentCreated,
    DeploymentPlanned,
    DeploymentStarted,
    StepPlanned,
)
from shared.contracts.gates import Before

LARGEST_COMMAND = 1000 * 1024
"""In bytes; the bus takes 1 MiB, headers included."""


def begin(move: Move, begin: i.Begin) -> None:
    """Says what the deployment is, and asks whether it may be, unless it is the platform's own doing."""
    origin, source = move.saga.origin, move.saga.origin.source
    created = DeploymentCreated(
        kind=origin.kind,
        environment_kind=origin.environment_kind,
        target=origin.target,
        connection=origin.connection,
        repository=source.repository if source else None,
        ref=source.ref if source else None,
        commit=source.commit if source else None,
        title=origin.title,
        author=origin.author,
        pusher=origin.by,
        change=origin.change,
        request=origin.request,
        web_url=origin.web_url,
        change_request=origin.change_request,
    )
    move.emit(created, outcome=DeploymentState.AUTHORIZING, cause=begin.cause)
    if origin.allowed_by:
        move.emit(f.DeploymentAuthorized(rule=origin.allowed_by))
        authorised(move)
    else:
        move.add([Step("authorise", "authorise")])


def authorised(move: Move) -> None:
    """Permissions or an approver have let it go on."""
    saga = move.saga
    saga.authorised = True
    saga.waits_until = None
    saga.state = DeploymentState.BUILDING
    if saga.origin.source is not None and saga.origin.rollback_to is None:
        move.add([Step("inspect", "inspect", depends_on=("authorise",))])
    else:
        move.add(gates_before(saga.origin.gates, Before.DEPLOY, tuple(saga.steps)))


def approved(move: Move, decision: i.Approved) -> None:
    """Somebody decided, where it waits for that, not for gates."""
    if not move.saga.waits_for_approval:
        return
    if decision.approved:
        move.emit(f.DeploymentApproved(by=decision.by, reason=decision.reason), cause=decision.cause)
        move.saga.steps["authorise"].event = move.saga.event  # what comes next comes of this
        authorised(move)
    else:
        move.saga.failure = Failure(code="not approved", message=decision.reason or f"{decision.by} said no")
        move.end(DeploymentState.DENIED, reason=decision.reason or f"{decision.by} did not approve it", cause=decision.cause)


def cancelled(move: Move, wish: i.Cancelled) -> None:
    """Before the lock it ends, with it it turns back, and after the pivot it goes on: whoever asked is told."""
    saga = move.saga
    if saga.epoch is None:
        saga.by = wish.by
        move.end(DeploymentState.CANCELLED, reason=f"cancelled by {wish.by}", cause=wish.cause)
    elif saga.state in {DeploymentState.RUNNING, DeploymentState.WAITING} and not saga.past_pivot:
        saga.by = wish.by
        compensation.start(move, DeploymentState.CANCELLED, f"cancelled by {wish.by}", None, cause=wish.cause)
    else:
        reason = {
            DeploymentState.RUNNING: "the former release is being taken away: there is only the way forward; roll back afterwards",
            DeploymentState.STUCK: "it is stuck: retry the undo, or accept it as it stands",
        }.get(saga.state, "it is being rolled back already")
        move.refuse(wish.cause, reason)


def superseded(move: Move, by: i.Superseded) -> None:
    """A newer deployment takes its place, unless its build is at work, it holds the environment, or a person asked for it."""
    saga = move.saga
    if saga.epoch is not None or (by.queued_only and saga.state is not DeploymentState.QUEUED):
        return
    if saga.origin.by_hand and not by.by_hand:
        return
    if any(step.kind == "build" and step.state is StepState.ACCEPTED for step in saga.steps.values()):
        return
    saga.by = by.by
    move.end(DeploymentState.SUPERSEDED, reason=by.reason)


def builds_planned(move: Move, planned: i.BuildsPlanned) -> None:
    """Builds or fetches the images, each on its own, once the gates before them let it; a service that runs already what is wanted
    has no step."""
    saga = move.saga
    if saga.wants is not Want.BUILDS:
        return
    saga.wants = None
    saga.builds = dict(planned.builds)
    saga.images |= {service: built.kept for service, built in planned.builds.items() if built.kept is not None}
    steps = gates_before(saga.origin.gates, Before.BUILD, ("inspect",))
    ready = tuple(step.name for step in steps) or ("inspect",)
    for service, built in planned.builds.items():
        if built.kept is not None:
            continue
        needed = ready
        if built.build is not None:
            needed = (f"build-{service}",)
            steps.append(Step(*needed, "build", service, ready))
        steps.append(Step(f"push-{service}", "push", service, needed))
    steps += gates_before(saga.origin.gates, Before.DEPLOY, [step.name for step in steps] or ["inspect"])
    if (failure := _too_large(move, [step for step in steps if step.kind == "build"])) is not None:
        move.end(DeploymentState.FAILED, reason=failure.message, failure=failure)
        return
    fact = BuildPlanned(
        built=tuple(str(step.item) for step in steps if step.kind == "build"),
        unchanged=tuple(service for service, built in planned.builds.items() if built.kept is not None),
    )
    move.emit(fact, cause=saga.steps["inspect"].event)
    saga.steps["inspect"].event = saga.event  # what comes next comes of this
    move.add(steps)


def environment_taken(move: Move, taken: i.EnvironmentTaken) -> None:
    """It holds the environment from here on."""
    saga = move.saga
    if saga.wants is not Want.ENVIRONMENT:
        return
    saga.state = DeploymentState.RUNNING
    saga.epoch = taken.epoch
    saga.wants = Want.PLAN
    move.emit(DeploymentStarted(epoch=taken.epoch, former=taken.former))


def planned(move: Move, planned: i.Planned) -> None:
    """The steps with the lock."""
    saga = move.saga
    if saga.wants is not Want.PLAN:
        return
    saga.wants = None
    saga.plan = planned.plan
    if (failure := _too_large(move, [step for step in planned.steps if step.gate is None])) is not None:
        move.end(DeploymentState.FAILED, reason=failure.message, failure=failure)
        return
    steps = tuple(StepPlanned(step=step.name, title=step.row.title, stage=step.stage, depends_on=step.depends_on) for step in planned.steps)
    move.add(planned.steps)
    move.emit(DeploymentPlanned(steps=steps, notes=planned.plan.notes))


def _too_large(move: Move, steps: Iterable[Step]) -> Failure | None:
    """A command that the bus would not take: found before anything is touched."""
    for step in steps:
        size = len(command(move.saga, replace(step, attempt=1), Direction.DO, move.now).encode())
        if size > LARGEST_COMMAND:
            message = (
                f"the variables and secrets of {step.item} are too large: with those of the release that runs they take {size // 1024} KiB, "
                f"and {LARGEST_COMMAND // 1024} KiB are possible. Put large values into files of the image, or store them elsewhere."
            )
            return Failure(code="too_large", message=message)
    return None


def refused(move: Move, refused: i.Refused) -> None:
    """It cannot be planned: it ends before anything was touched."""
    if move.saga.wants in {Want.BUILDS, Want.PLAN}:
        move.end(DeploymentState.FAILED, reason=refused.failure.message, failure=refused.failure)
