"""The saga engine: `advance(saga, input, now) -> (saga, outputs)`. Pure, without I/O, so that a simulator can explore it.

A message that answers nothing awaited changes nothing. `answers` takes what participants say on the way forward, `course` what
people and the driver bring, `gates` what outside tools say, `deadlines` what timers mean, and `compensation` is the way back.
"""

from datetime import datetime

from services.coordinator import answers, compensation, course, credentials, deadlines, gates
from services.coordinator import inputs as i
from services.coordinator.move import Move, Output, working_copy
from services.coordinator.saga import DeploymentState, Limits, Saga, Step, StepState, Want, is_after_pivot
from shared.contracts.answers import Answer
from shared.contracts.commands import Direction
from shared.contracts.events import DeploymentQueued

_LIMITS = Limits()


def advance(saga: Saga, message: i.Input, now: datetime, limits: Limits = _LIMITS) -> tuple[Saga, tuple[Output, ...]]:
    """The saga after the message, and what has to be sent. The saga that was given is not changed."""
    if saga.state.final:
        return saga, ()
    move = Move(working_copy(saga), now, limits)
    _take(move, message)
    _settle(move)
    return move.saga, tuple(move.outputs)


def _take(move: Move, message: i.Input) -> None:  # noqa: C901, PLR0912 -- one line a kind of input
    match message:
        case Answer(direction=Direction.DO):
            answers.answered(move, message)
        case Answer():
            compensation.undo_answered(move, message)
        case i.Begin():
            course.begin(move, message)
        case i.Approved():
            course.approved(move, message)
        case i.Cancelled():
            course.cancelled(move, message)
        case i.Superseded():
            course.superseded(move, message)
        case i.Retried():
            compensation.retried(move, message)
        case i.Accepted():
            compensation.accepted_as_it_is(move, message)
        case i.GateAnswered():
            gates.answered(move, message)
        case i.BuildsPlanned():
            course.builds_planned(move, message)
        case i.EnvironmentTaken():
            course.environment_taken(move, message)
        case i.Planned():
            course.planned(move, message)
        case i.Refused():
            course.refused(move, message)
        case i.SourceGiven():
            credentials.given(move, message)
        case i.SourceDenied():
            credentials.denied(move, message)
        case i.Tick():
            deadlines.tick(move, message)


def _settle(move: Move) -> None:
    """Sends what may start now, and recognises the end of a stage."""
    saga = move.saga
    if saga.state in {DeploymentState.COMPENSATING, DeploymentState.STUCK}:
        compensation.settle(move)
        return
    if saga.state not in {DeploymentState.AUTHORIZING, DeploymentState.BUILDING, DeploymentState.RUNNING}:
        return
    for step in saga.steps.values():
        if step.state is StepState.PENDING and all(_ended(saga.steps[name]) for name in step.depends_on):
            step.cause = _newest_cause(saga, step)
            if step.gate is None:
                move.send(step, Direction.DO)
            else:
                gates.ask(move, step)
    if all(_ended(step) for step in saga.steps.values()):
        _stage_done(move)


def _ended(step: Step) -> bool:
    """What depends on it may start: it is done, or it is a leftover that cannot be removed, past which there is only forward."""
    return step.satisfied or (step.state is StepState.FAILED and is_after_pivot(step.kind))


def _newest_cause(saga: Saga, step: Step) -> str | None:
    """The event that made the step start: the newest of those that it depends on, else the deployment's own."""
    events = [event for name in step.depends_on if (event := saga.steps[name].event) is not None]
    return max(events, key=lambda event: int(event.rsplit(".", 1)[1]), default=saga.event)


def _stage_done(move: Move) -> None:
    saga = move.saga
    if saga.state is DeploymentState.BUILDING and saga.wants is None:
        saga.state = DeploymentState.QUEUED
        saga.wants = Want.ENVIRONMENT
        move.emit(DeploymentQueued(), cause=_last_step_event(saga))
    elif saga.state is DeploymentState.RUNNING and saga.plan is not None:
        move.end(DeploymentState.SUCCEEDED)


def _last_step_event(saga: Saga) -> str | None:
    events = [step.event for step in saga.steps.values() if step.event]
    return max(events, key=lambda event: int(event.rsplit(".", 1)[1]), default=saga.event)
