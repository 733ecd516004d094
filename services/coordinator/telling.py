"""What operators see of deployments: metrics, and the spans of deployments, of their steps, and of each move that sends something.

A deployment's span and its steps' spans have ids that follow from their names (`shared.telemetry.named`), so a command carries
its step's span although that is told only when the step has ended. Everything here happens after the commit; losing it is harmless.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Gauge, Histogram

from services.coordinator.move import Output
from services.coordinator.saga import DeploymentState, Saga, Step, StepState
from shared.contracts.commands import Command, Direction
from shared.contracts.events import Event, Stage
from shared.telemetry import exports, named, record, well_formed

_STEP_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
_DEPLOYMENT_BUCKETS = (1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
STEP_SECONDS = Histogram(
    "slipway_step_seconds", "From the first attempt's command to the end of a step or of its undo", ["kind", "direction", "outcome"],
    buckets=_STEP_BUCKETS,
)  # fmt: skip
ATTEMPTS = Counter("slipway_step_attempts_total", "Commands sent, the first attempt of a step and every further one", ["kind", "direction"])
ENDED = Counter("slipway_deployments_ended_total", "Deployments that reached a final state", ["state"])
DEPLOYMENT_SECONDS = Histogram(
    "slipway_deployment_seconds", "From a deployment's creation to its end", ["state"], buckets=_DEPLOYMENT_BUCKETS
)
COMPENSATIONS = Counter("slipway_compensations_total", "Deployments that turned back, by what they end as", ["ends_as"])
STUCK = Counter("slipway_deployments_stuck_total", "Times that a deployment was parked because an undo kept failing")
LIVE = Gauge("slipway_deployments_live", "Deployments that have not ended", ["state"])

_AT_IT = {StepState.SENT: Direction.DO, StepState.ACCEPTED: Direction.DO, StepState.UNDOING: Direction.UNDO}
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


def observe(moved: Moved) -> None:
    """Counts what the move did, and tells of the spans that it ended."""
    before, after = moved.before, moved.after
    for output in moved.outputs:
        if isinstance(output, Command):
            ATTEMPTS.labels(_kind(after, output), output.direction).inc()
    for name, step in after.steps.items():
        former = before.steps.get(name)
        if former is not None and former.state is not step.state:
            _step_moved(moved, former, step)
    if after.state is not before.state:
        _deployment_moved(moved)
    if exports() and moved.outputs:
        _tell_move(moved)


def _kind(saga: Saga, command: Command) -> str:
    return saga.steps[command.step or ""].kind


def _step_moved(moved: Moved, former: Step, step: Step) -> None:
    direction = _AT_IT.get(former.state)
    if direction is None or direction is _AT_IT.get(step.state) or former.began_at is None:
        return
    outcome = str(step.state)
    seconds = (moved.clock - former.began_at).total_seconds()
    STEP_SECONDS.labels(step.kind, direction, outcome).observe(max(seconds, 0.0))
    saga = moved.after
    if saga.origin.trace is None or not exports():
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
            "cicd.pipeline.task.type": _TYPES.get(step.row.stage, "deploy"),
            "cicd.pipeline.task.run.id": f"{saga.id}-{step.name}",
            "cicd.pipeline.task.run.result": "success" if good else "skip" if step.state is StepState.SKIPPED else "failure",
            "slipway.step.kind": step.kind,
            "slipway.step.direction": direction,
            "slipway.step.state": outcome,
            "slipway.step.attempts": step.undo_attempt if direction is Direction.UNDO else step.attempt,
        },
        end_ns=_ns(moved.clock),
        error=f"{failure.code}: {failure.message}" if failure else "",
    )


def _deployment_moved(moved: Moved) -> None:
    saga = moved.after
    if saga.state is DeploymentState.COMPENSATING and moved.before.state is not DeploymentState.STUCK:
        COMPENSATIONS.labels(saga.ends_as or "").inc()
    elif saga.state is DeploymentState.STUCK:
        STUCK.inc()
    if not saga.state.final:
        return
    ENDED.labels(saga.state).inc()
    DEPLOYMENT_SECONDS.labels(saga.state).observe((moved.clock - saga.created_at).total_seconds())
    if saga.origin.trace is not None and exports():
        _tell_deployment(saga, saga.origin.trace, moved.clock)


def _tell_deployment(saga: Saga, trace: str, end: datetime) -> None:
    origin = saga.origin
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
        about["vcs.provider.name"] = origin.pusher.forge
    error = (saga.reason or saga.state) if result == "failure" else ""
    record(f"{origin.kind} {origin.place}", named(trace, saga.id), trace, _ns(saga.created_at), about, end_ns=_ns(end), error=error)


def _tell_move(moved: Moved) -> None:
    """The coordinator's own work at one message: from reading it to the commit of what it led to."""
    saga = moved.after
    if saga.origin.trace is None:
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
