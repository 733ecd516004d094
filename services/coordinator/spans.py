"""The spans of deployments, of their steps, and of each move that sends something, for a viewer of traces.

A deployment's span and its steps' spans have ids that follow from their names (`shared.telemetry.named`), so a command carries
its step's span although that is told only when the step has ended. Names of attributes are OpenTelemetry's where it has any.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from opentelemetry.trace import SpanKind

from services.coordinator.move import Output
from services.coordinator.saga import DeploymentState, Saga, Step, StepState
from shared.contracts.commands import Command, Direction
from shared.contracts.events import Event, Stage
from shared.forges import kind_of
from shared.telemetry import exports, named, record, well_formed

_RESULTS = {
    DeploymentState.SUCCEEDED: "success",
    DeploymentState.CANCELLED: "cancellation",
    DeploymentState.SUPERSEDED: "skip",
}
"""OpenTelemetry's words for the result of a pipeline's run; what is not here is a failure."""
_TYPES = {Stage.BUILD: "build"}


@dataclass(frozen=True)
class Moved:
    """One move of a saga. `clock` is the database's, `begin_ns` this process's; `came_with` the traceparent of the message."""

    before: Saga
    after: Saga
    outputs: Sequence[Output]
    clock: datetime
    begin_ns: int
    came_with: str | None


def span_of(saga: Saga, output: Output) -> str | None:
    """The span that a message of a deployment belongs to: a command to its step's, an event to the deployment's."""
    trace = saga.origin.trace
    if trace is None:
        return None
    return named(trace, _step_name(saga, output.step or "", output.direction) if isinstance(output, Command) else saga.id)


def _step_name(saga: Saga, step: str, direction: Direction) -> str:
    return f"{saga.id}-{step}.{direction}"


def tell_step(saga: Saga, former: Step, step: Step, direction: Direction, end: datetime) -> None:
    """A step, or its undo, has ended."""
    if saga.origin.trace is None or former.began_at is None or not exports():
        return
    title = f"{step.row.title} {step.item}" if step.item else step.row.title
    good = step.state in {StepState.DONE, StepState.UNDONE}
    failure = step.failure if step.state in {StepState.FAILED, StepState.UNDO_FAILED} else None
    record(
        f"undo: {title}" if direction is Direction.UNDO else title,
        named(saga.origin.trace, _step_name(saga, step.name, direction)),
        named(saga.origin.trace, saga.id),
        _ns(former.began_at),
        {
            "cicd.pipeline.task.name": step.name,
            "cicd.pipeline.task.type": _TYPES.get(step.stage, "deploy"),
            "cicd.pipeline.task.run.id": f"{saga.id}-{step.name}",
            "cicd.pipeline.task.run.result": "success" if good else "skip" if step.state is StepState.SKIPPED else "failure",
            "slipway.step.kind": step.kind,
            "slipway.step.direction": direction,
            "slipway.step.state": step.state,
            "slipway.step.attempts": step.undo_attempt if direction is Direction.UNDO else step.attempt,
        },
        end_ns=_ns(end),
        error=f"{failure.code}: {failure.message}" if failure else "",
    )


def tell_deployment(saga: Saga, end: datetime) -> None:
    """A deployment has ended."""
    origin, trace = saga.origin, saga.origin.trace
    if trace is None or not exports():
        return
    source = origin.source
    result = _RESULTS.get(saga.state, "failure")
    about: dict[str, str | int] = {
        "cicd.pipeline.name": f"{origin.kind} {origin.place}",
        "cicd.pipeline.run.id": saga.id,
        "cicd.pipeline.result": result,
        "deployment.id": saga.id,
        "deployment.environment.name": origin.place.environment,
        "slipway.organization": origin.place.organization,
        "slipway.project": origin.place.project,
        "slipway.deployment.state": saga.state,
    }
    if result in {"success", "failure"}:
        about["deployment.status"] = "succeeded" if result == "success" else "failed"
    if source is not None:
        about["vcs.repository.url.full"] = source.clone_url
        about["vcs.ref.head.name"] = source.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
        about["vcs.ref.head.revision"] = source.commit
    if origin.pusher is not None:
        about["vcs.provider.name"] = kind_of(origin.pusher.forge)
    error = (saga.reason or saga.state) if result == "failure" else ""
    record(f"{origin.kind} {origin.place}", named(trace, saga.id), trace, _ns(saga.created_at), about, end_ns=_ns(end), error=error)


def tell_move(moved: Moved) -> None:
    """The coordinator's own work at one message: from reading it to the commit of what it led to."""
    saga = moved.after
    if saga.origin.trace is None or not exports():
        return
    events = [output.name for output in moved.outputs if isinstance(output, Event)]
    sent = [output.step or "" for output in moved.outputs if isinstance(output, Command)]
    if not events and not sent:
        return
    record(
        ", ".join(dict.fromkeys(events)) if events else f"send {', '.join(sent)}",
        None,
        well_formed(moved.came_with) or named(saga.origin.trace, saga.id),
        moved.begin_ns,
        {"deployment.id": saga.id, "slipway.deployment.state": saga.state, "slipway.steps.sent": ", ".join(sent)},
        kind=SpanKind.CONSUMER,
    )


def _ns(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
