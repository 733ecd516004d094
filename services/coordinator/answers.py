"""Answers on the way forward: which of them count, and what they mean for their step and for the deployment."""

from services.coordinator import compensation, course
from services.coordinator.commands import command, is_of_its_participant
from services.coordinator.completing import completed
from services.coordinator.move import Move
from services.coordinator.saga import DeploymentState, Saga, Step, StepState, Want, is_after_pivot
from shared.contracts import facts as f
from shared.contracts.answers import Answer, Failure, Outcome
from shared.contracts.commands import Direction
from shared.contracts.events import StepFailed, StepStarted

PATIENCE = {"clone_unreachable": 24}
"""Attempts at what fails because a forge is away: with the pauses between them, about ten minutes. Elsewhere the step's row says how many."""


def answered(move: Move, answer: Answer) -> None:
    """An answer to a step that was sent; one that nothing awaits changes nothing."""
    saga = move.saga
    step = saga.steps.get(answer.step or "")
    if step is None or not _awaited(saga, step, answer):
        return
    match answer.outcome:
        case Outcome.ACCEPTED:
            _accepted(move, step, answer)
        case Outcome.DONE:
            _done(move, step, answer)
        case Outcome.FAILED | Outcome.REFUSED:
            move.follow(answer)
            failure = answer.failure or Failure(code="unknown", message="the participant gave no reason")
            if failure.code == "clone_denied" and not saga.may_clone_until(move.now):
                failure = failure.model_copy(update={"may_pass": True})  # the credential ended on its way: the next one is good
            failed_attempt(move, step, failure, answer.seconds)


def _awaited(saga: Saga, step: Step, answer: Answer) -> bool:
    """It counts if its attempt is the awaited one, or if it is a success of an earlier one.

    Between a failed attempt and the next no attempt is awaited: a command that was delivered twice fails twice.
    """
    if step.state not in {StepState.SENT, StepState.ACCEPTED} or not is_of_its_participant(saga, step, answer):
        return False
    if answer.epoch != step.epoch:
        return False
    if answer.outcome is Outcome.DONE:
        return answer.attempt <= step.attempt
    return answer.attempt == step.attempt and step.retry_at is None


def _accepted(move: Move, step: Step, answer: Answer) -> None:
    if step.state is not StepState.SENT:
        return
    step.state = StepState.ACCEPTED
    move.accepted(step, command(move.saga, step, Direction.DO, move.now).timeout_s)
    if move.saga.state in {DeploymentState.COMPENSATING, DeploymentState.STUCK}:
        move.cancel(step, "the deployment is being rolled back")
    started = StepStarted(attempt=step.attempt, title=step.row.title, worker=answer.worker)
    move.emit(started, step=step, outcome="started", cause=step.cause)


def _done(move: Move, step: Step, answer: Answer) -> None:
    try:
        fact = answer.fact()
    except ValueError as error:
        fact, details = None, str(error)
    else:
        details = f"{answer.name} is no answer to this step"
    if not isinstance(fact, step.row.done):
        fail(move, step, Failure(code="nonsense", message=f"{answer.participant} answered what nobody asked", details=details))
        return
    step.state = StepState.DONE
    move.close(step, Direction.DO)
    if isinstance(fact, f.DeploymentDenied):
        move.saga.failure = Failure(code=fact.rule, message=fact.reason)
        move.end(DeploymentState.DENIED, reason=fact.reason)
        return
    move.emit(completed(move.saga, step, fact), step=step, outcome="done", cause=step.event or step.cause, seconds=answer.seconds)
    if move.saga.state not in {DeploymentState.COMPENSATING, DeploymentState.STUCK}:
        _apply(move, step, fact)


def _apply(move: Move, step: Step, fact: f.Fact) -> None:
    """What a fact means for the deployment, besides that its step is done."""
    saga = move.saga
    match fact:
        case f.ApprovalRequested():
            saga.state = DeploymentState.WAITING
            saga.waits_until = move.now + move.limits.approval
            saga.event = step.event
        case f.DeploymentAuthorized():
            saga.event = step.event
            course.authorised(move)
        case f.SourceInspected(stale=True) if not saga.origin.by_hand:
            move.end(DeploymentState.SUPERSEDED, reason=_stale(saga))
        case f.SourceInspected():
            saga.inspected = fact
            saga.wants = Want.BUILDS
        case f.ImageBuilt() | f.ImagePushed():
            saga.images[str(step.item)] = fact.image
        case _:
            pass


def failed_attempt(move: Move, step: Step, failure: Failure, seconds: float | None = None) -> None:
    """An attempt failed: another follows where that may pass, else the step has failed."""
    compensating = move.saga.state in {DeploymentState.COMPENSATING, DeploymentState.STUCK}
    attempts = PATIENCE.get(failure.code, step.row.attempts)
    if failure.may_pass and step.attempt < attempts and not compensating:
        step.failure = failure
        step.accepted = False
        step.give_up_at = step.beat_at = None
        step.retry_at = move.backoff(step.attempt)
        return
    fail(move, step, failure, seconds)


def fail(
    move: Move, step: Step, failure: Failure, seconds: float | None = None, *, fact: StepFailed | None = None, cause: str | None = None
) -> None:
    """A step failed for good. `fact`: what is published, where that is more than the failure."""
    saga = move.saga
    step.state = StepState.FAILED
    step.failure = failure
    move.close(step, Direction.DO)
    fact = fact or step.row.failed(failure=failure, title=step.row.title)
    move.emit(fact, step=step, outcome="failed", cause=cause or step.event or step.cause, seconds=seconds)
    if saga.state in {DeploymentState.COMPENSATING, DeploymentState.STUCK}:
        return
    if is_after_pivot(step.kind):
        saga.alerts += (f"{step.row.title} {step.item or ''}: {failure.message}",)
        return
    what = f"{step.row.title} {step.item}" if step.item else step.row.title
    reason = f"{what} failed: {failure.message}"
    if saga.epoch is None:
        move.end(DeploymentState.FAILED, reason=reason, failure=failure)
    else:
        saga.failed_step = step.name
        compensation.start(move, DeploymentState.ROLLED_BACK, reason, failure, cause=step.event)


def _stale(saga: Saga) -> str:
    commit = saga.origin.source.commit if saga.origin.source else "ID"
    return f"a newer commit of this environment has been authorised already; to go back on purpose: slipway deploy --commit {commit}"
