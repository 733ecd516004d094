"""What a timer means: the next attempt is due, nobody took a command, its worker went silent, or the step's time is over."""

from services.coordinator import answers, compensation, gates
from services.coordinator.inputs import Tick
from services.coordinator.move import Move
from services.coordinator.saga import DeploymentState, Step, StepState, is_after_pivot
from shared.contracts.answers import Failure
from shared.contracts.commands import Direction


def tick(move: Move, tick: Tick) -> None:
    """Every timer of the deployment that is due."""
    saga = move.saga
    if saga.waits_for_approval and saga.waits_until is not None and saga.waits_until <= move.now:
        saga.failure = Failure(code="approval timed out", message="nobody decided in time")
        move.end(DeploymentState.DENIED, reason="nobody approved it in time")
        return
    # What is over comes first: where it ends the deployment or turns it back, no other step is sent again.
    for step in sorted(saga.steps.values(), key=lambda step: _has_another_attempt(move, step)):
        if saga.state.final:
            return
        _hear(step, tick)
        due = step.due(move.limits.silence)
        if due is not None and due <= move.now:
            _time_is_over(move, step, tick)


def _has_another_attempt(move: Move, step: Step) -> bool:
    if step.retry_at is not None:
        return True
    in_time = step.give_up_at is None or step.give_up_at > move.now
    return step.accepted and in_time and step.losses < move.limits.losses


def _hear(step: Step, tick: Tick) -> None:
    """Beats count, and silence only since the coordinator itself is connected."""
    heard = tick.heard.get(step.name)
    if step.accepted and step.beat_at is not None:
        step.beat_at = max(step.beat_at, tick.connected_since, heard or step.beat_at)


def _time_is_over(move: Move, step: Step, tick: Tick) -> None:
    compensating = move.saga.state in {DeploymentState.COMPENSATING, DeploymentState.STUCK}
    if step.state is StepState.UNDOING:
        compensation.undo_time_is_over(move, step, tick)
    elif step.gate is not None:
        gates.time_is_over(move, step, tick)
    elif step.retry_at is not None:
        move.send_again(step, Direction.DO, step.failure.message if step.failure else "again")
    elif compensating:
        compensation.counts_as_unknown(move, step)
    elif not step.accepted:
        _queued_too_long(move, step, tick)
    elif step.give_up_at is not None and step.give_up_at <= move.now:
        move.cancel(step, "its time is over")
        answers.fail(move, step, Failure(code="timed_out", message="no answer came within the step's time"))
    else:
        _silent(move, step)


def _queued_too_long(move: Move, step: Step, tick: Tick) -> None:
    end = tick.connected_since + move.limits.queue
    if end > move.now:
        step.give_up_at = end
        return
    message = f"no {step.row.participant} took the step within {move.limits.queue.total_seconds():g} s; is one running for this target?"
    if is_after_pivot(step.kind):  # not taken off: nothing else would ever remove the leftover. A later deployment's epoch is its end
        answers.fail(move, step, Failure(code="not_accepted", message=f"{message} The step stays in its queue, and is done when one comes"))
        return
    move.cancel(step, "no worker took it in time")
    if step.wants_source:
        answers.fail(move, step, Failure(code="clone_denied", message="no credential to clone with could be had in time"))
        return
    answers.fail(move, step, Failure(code="not_accepted", message=message))


def _silent(move: Move, step: Step) -> None:
    step.losses += 1
    if step.losses > move.limits.losses:
        answers.fail(move, step, Failure(code="worker_lost", message=f"workers went silent {step.losses} times at this step"))
    else:
        move.send_again(step, Direction.DO, "its worker went silent")
