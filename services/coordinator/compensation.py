"""The way back: every step whose command was sent is undone, done or not, in reverse order of dependencies.

An undo starts when its step has answered or its time has passed, and when all that depends on the
step is undone. The epoch grows first, so that a worker that wakes up late is refused.
"""

from services.coordinator.commands import command, is_of_its_participant
from services.coordinator.completing import completed
from services.coordinator.inputs import Accepted, Retried, Tick
from services.coordinator.move import Move
from services.coordinator.saga import DeploymentState, Saga, Step, StepState
from shared.contracts.answers import Answer, Failure, Outcome
from shared.contracts.commands import Direction
from shared.contracts.events import CompensationFailed, CompensationStarted, DeploymentStuck, DeploymentUnstuck, UndoStarted
from shared.contracts.facts import NothingToUndo


def start(move: Move, ends_as: DeploymentState, reason: str, failure: Failure | None, *, cause: str | None = None) -> None:
    """Turns the deployment back: nothing new starts, what runs is cancelled, a new epoch fences late workers off."""
    saga = move.saga
    assert saga.epoch is not None
    for step in saga.steps.values():
        if step.at_work and step.gate is not None:
            step.state, step.give_up_at = StepState.SKIPPED, None  # no answer is awaited any more
        elif step.at_work:
            move.cancel(step, reason)
            if not step.accepted:
                step.give_up_at = move.now + move.limits.purged
        elif step.retry_at is not None:
            step.state = StepState.FAILED
            move.close(step, Direction.DO)
    saga.state = DeploymentState.COMPENSATING
    saga.wants = None
    saga.ends_as, saga.reason, saga.failure = ends_as, reason, failure
    saga.epoch += 1
    names = tuple(step.name for step in reversed(saga.steps.values()) if has_undo(step))
    move.emit(CompensationStarted(epoch=saga.epoch, reason=reason, failure=failure, steps=names), outcome=saga.state, cause=cause)


def has_undo(step: Step) -> bool:
    """Its command was sent, and it may have changed something."""
    return step.attempt > 0 and step.row.undone is not None


def settle(move: Move) -> None:
    """Sends the undos that may start, and recognises the end."""
    saga = move.saga
    for step in reversed(list(saga.steps.values())):
        if has_undo(step) and step.state in {StepState.DONE, StepState.FAILED} and _dependents_are_undone(saga, step):
            step.cause = _newest_event_above(saga, step)
            move.send(step, Direction.UNDO)
    if saga.state is DeploymentState.COMPENSATING and all(_is_back(step) for step in saga.steps.values()):
        assert saga.ends_as is not None
        move.end(saga.ends_as)


def _is_back(step: Step) -> bool:
    if has_undo(step):
        return step.state is StepState.UNDONE
    return not step.at_work


def _dependents(saga: Saga, step: Step) -> list[Step]:
    """All that depends on the step, directly or not."""
    found: dict[str, Step] = {}
    names = {step.name}
    while names:
        names = {other.name for other in saga.steps.values() if names & set(other.depends_on)} - set(found)
        found |= {name: saga.steps[name] for name in names}
    return list(found.values())


def _dependents_are_undone(saga: Saga, step: Step) -> bool:
    return all(_is_back(dependent) for dependent in _dependents(saga, step))


def _newest_event_above(saga: Saga, step: Step) -> str | None:
    events = [other.event for other in _dependents(saga, step) if other.state is StepState.UNDONE and other.event]
    return max(events, key=lambda event: int(event.rsplit(".", 1)[1]), default=saga.event)


def undo_answered(move: Move, answer: Answer) -> None:
    """An answer to an undo; it counts by the same rule as on the way forward.

    A success that comes after the undo was given up counts as well: what a person was asked to mend has mended itself.
    """
    saga = move.saga
    step = saga.steps.get(answer.step or "")
    if step is None or step.state not in {StepState.UNDOING, StepState.UNDO_FAILED} or not is_of_its_participant(saga, step, answer):
        return
    if answer.epoch != step.epoch:
        return
    awaited = answer.attempt == step.undo_attempt and step.state is StepState.UNDOING and step.retry_at is None
    if answer.outcome is Outcome.DONE and answer.attempt <= step.undo_attempt:
        _undone(move, step, answer)
    elif answer.outcome is Outcome.ACCEPTED and awaited and not step.accepted:
        move.accepted(step, command(saga, step, Direction.UNDO, move.now).timeout_s)
        move.emit(UndoStarted(attempt=step.undo_attempt, title=step.row.title), step=step, outcome="undoing", cause=step.cause)
    elif answer.outcome in {Outcome.FAILED, Outcome.REFUSED} and awaited:
        move.follow(answer)
        _undo_failed(move, step, answer.failure or Failure(code="unknown", message="the participant gave no reason"))


def _undone(move: Move, step: Step, answer: Answer) -> None:
    try:
        fact = answer.fact()
    except ValueError:
        fact = None
    assert step.row.undone is not None
    was_given_up = step.state is StepState.UNDO_FAILED
    if not isinstance(fact, (step.row.undone, NothingToUndo)):
        if not was_given_up and answer.attempt == step.undo_attempt:
            _undo_failed(move, step, Failure(code="nonsense", message=f"{answer.participant} answered what nobody asked"))
        return
    step.state = StepState.UNDONE
    move.close(step, Direction.UNDO)
    move.emit(completed(move.saga, step, fact), step=step, outcome="undone", cause=step.event or step.cause, seconds=answer.seconds)
    if was_given_up and not any(other.state is StepState.UNDO_FAILED for other in move.saga.steps.values()):
        move.saga.state = DeploymentState.COMPENSATING
        move.emit(DeploymentUnstuck(by="", action="undone"), outcome=move.saga.state, cause=step.event)


def _undo_failed(move: Move, step: Step, failure: Failure) -> None:
    """Tried again, since nothing else will; at last a person is asked."""
    step.failure = failure
    step.accepted = False
    step.give_up_at = step.beat_at = None
    if step.undo_attempt < move.limits.undo_attempts:
        step.retry_at = move.backoff(step.undo_attempt)
        return
    _stuck(move, step, failure)


def _stuck(move: Move, step: Step, failure: Failure) -> None:
    move.close(step, Direction.UNDO)
    step.state = StepState.UNDO_FAILED
    move.emit(CompensationFailed(failure=failure, title=step.row.title), step=step, outcome="undo_failed", cause=step.event)
    move.saga.state = DeploymentState.STUCK
    move.emit(DeploymentStuck(step=step.name, failure=failure), outcome=DeploymentState.STUCK, cause=step.event)


def undo_time_is_over(move: Move, step: Step, tick: Tick) -> None:
    """The timer of an undo fired: its next attempt is due, nobody took it, its worker went silent, or it takes too long."""
    if step.retry_at is not None:
        move.send_again(step, Direction.UNDO, step.failure.message if step.failure else "again")
    elif not step.accepted:
        end = tick.connected_since + move.limits.queue
        if end > move.now:
            step.give_up_at = end
        else:
            move.cancel(step, "no worker took it in time", Direction.UNDO)
            message = f"no {step.row.participant} took the undo; is one running for this target?"
            _stuck(move, step, Failure(code="not_accepted", message=message))
    else:
        _undo_failed(move, step, Failure(code="worker_lost", message="no answer came from the undo's worker"))


def counts_as_unknown(move: Move, step: Step) -> None:
    """A step that was at work when the deployment turned back gave no answer in its time: it is undone like any other."""
    step.state = StepState.FAILED
    step.failure = Failure(code="unknown", message="it did not answer before it was undone")
    move.close(step, Direction.DO)


def retried(move: Move, wish: Retried) -> None:
    """A person has mended what kept an undo from working."""
    saga = move.saga
    if saga.state is not DeploymentState.STUCK:
        return
    saga.state = DeploymentState.COMPENSATING
    move.emit(DeploymentUnstuck(by=wish.by, action="retry"), outcome=saga.state, cause=wish.cause)
    for step in saga.steps.values():
        if step.state is StepState.UNDO_FAILED:
            step.state = StepState.FAILED


def accepted_as_it_is(move: Move, wish: Accepted) -> None:
    """A person takes the environment as it stands: what could not be undone is recorded, the rest goes on being undone."""
    saga = move.saga
    if saga.state is not DeploymentState.STUCK:
        return
    saga.state = DeploymentState.COMPENSATING
    move.emit(DeploymentUnstuck(by=wish.by, action="accept"), outcome=saga.state, cause=wish.cause)
    for step in saga.steps.values():
        if step.state is StepState.UNDO_FAILED:
            step.state = StepState.UNDONE
            reason = step.failure.message if step.failure else "unknown"
            saga.accepted_as_is += (f"{step.row.title} {step.item or ''} was not undone, accepted by {wish.by}: {reason}",)
