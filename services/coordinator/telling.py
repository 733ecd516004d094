"""What operators see of deployments: metrics, a line in the log for each event, and spans. All of it after the commit; losing it is harmless."""

import math
from contextlib import suppress
from datetime import timedelta

import structlog
from prometheus_client import Counter, Gauge, Histogram

from services.coordinator.saga import DeploymentState, Saga, Step, StepState
from services.coordinator.spans import Moved, tell_deployment, tell_move, tell_step
from services.coordinator.store import sagas
from shared.contracts.commands import Command, Direction
from shared.contracts.events import CompensationStarted, Event
from shared.postgres import UNAVAILABLE, Pool
from shared.relay import MEASURE_S

log = structlog.get_logger()

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
PUT_OFF = Gauge("slipway_deployments_put_off", "Deployments that could not be read or moved, now or within the last minute")
_LATELY = timedelta(minutes=1)

_AT_IT = {StepState.SENT: Direction.DO, StepState.ACCEPTED: Direction.DO, StepState.UNDOING: Direction.UNDO}
_LEVELS = {
    "failed": "warning",
    "retried": "warning",
    DeploymentState.COMPENSATING: "warning",
    DeploymentState.ROLLED_BACK: "warning",
    "undo_failed": "error",
    DeploymentState.STUCK: "error",
}
"""How loud a line is, by the outcome of the event that it tells of."""


async def measure_live(pool: Pool) -> None:
    """Sets the gauges of deployments that have not ended, to NaN where the database does not say."""
    found: dict[str, int] | None = None
    put_off = math.nan
    with suppress(*UNAVAILABLE):
        found = await sagas.live(pool, MEASURE_S)
        put_off = await sagas.put_off_lately(pool, _LATELY, MEASURE_S)
    PUT_OFF.set(put_off)
    for state in DeploymentState:
        if not state.final:
            LIVE.labels(state).set(math.nan if found is None else found.get(state, 0))


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
    for output in moved.outputs:
        if isinstance(output, Event):
            _log_event(after, output)
            if output.name == CompensationStarted.__name__:  # it may have ended in the same move
                COMPENSATIONS.labels(after.ends_as or "").inc()
    tell_move(moved)


def _log_event(saga: Saga, event: Event) -> None:
    """One line an event: what an operator reads of a deployment, without the API. No user's text but a failure's message."""
    failure = event.data.get("failure")
    said = {"code": failure.get("code"), "message": failure.get("message")} if isinstance(failure, dict) else {}
    level = _LEVELS.get(event.outcome or "", "info")
    trace = {"trace_id": saga.origin.trace.split("-")[1]} if saga.origin.trace else {}
    where = {"deployment": saga.id, "step": event.step, "outcome": event.outcome, "seconds": event.seconds}
    about = {name: value for name, value in where.items() if value is not None}
    getattr(log, level)(event.name, place=str(saga.origin.place), **about, **said, **trace)


def _kind(saga: Saga, command: Command) -> str:
    return saga.steps[command.step or ""].kind


def _step_moved(moved: Moved, former: Step, step: Step) -> None:
    direction = _AT_IT.get(former.state)
    if direction is None or direction is _AT_IT.get(step.state) or former.began_at is None:
        return
    outcome = str(step.state)
    seconds = (moved.clock - former.began_at).total_seconds()
    STEP_SECONDS.labels(step.kind, direction, outcome).observe(max(seconds, 0.0))
    tell_step(moved.after, former, step, direction, moved.clock)


def _deployment_moved(moved: Moved) -> None:
    saga = moved.after
    if saga.state is DeploymentState.STUCK:
        STUCK.inc()
    if not saga.state.final:
        return
    ENDED.labels(saga.state).inc()
    DEPLOYMENT_SECONDS.labels(saga.state).observe((moved.clock - saga.created_at).total_seconds())
    tell_deployment(saga, moved.clock)
