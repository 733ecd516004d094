"""The saga engine: `advance(saga, input, now) -> (saga, outputs)`. Pure, without I/O, so that a simulator can explore it.

A message that answers nothing awaited changes nothing. What happens with the lock held and fails goes to
`compensation`; everything here is about the way forward.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from services.coordinator import compensation
from services.coordinator import inputs as i
from services.coordinator.commands import command, is_of_its_participant
from services.coordinator.move import Move, Output, working_copy
from services.coordinator.saga import DeploymentState, Limits, Saga, Step, StepState, Want, is_after_pivot
from shared.contracts import facts as f
from shared.contracts.answers import Answer, Failure, Outcome
from shared.contracts.commands import Direction
from shared.contracts.events import (
    DeploymentCreated,
    DeploymentPlanned,
    DeploymentQueued,
    DeploymentStarted,
    RequestRefused,
    StepPlanned,
    StepStarted,
)

BEFORE_LOCK = frozenset({DeploymentState.AUTHORIZING, DeploymentState.WAITING, DeploymentState.BUILDING, DeploymentState.QUEUED})
_LIMITS = Limits()
LARGEST_COMMAND = 1000 * 1024
"""In bytes; the bus takes 1 MiB, headers included."""


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
            _answered(move, message)
        case Answer():
            compensation.undo_answered(move, message)
        case i.Begin():
            _begin(move, message)
        case i.Approved():
            _approved(move, message)
        case i.Cancelled():
            _cancelled(move, message)
        case i.Superseded():
            _superseded(move, message)
        case i.Retried():
            compensation.retried(move, message)
        case i.Accepted():
            compensation.accepted_as_it_is(move, message)
        case i.BuildsPlanned():
            _builds_planned(move, message)
        case i.EnvironmentTaken():
            _environment_taken(move, message)
        case i.Planned():
            _planned(move, message)
        case i.Refused():
            _refused(move, message)
        case i.Tick():
            _tick(move, message)


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
            move.send(step, Direction.DO)
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


# Answers on the way forward


def _answered(move: Move, answer: Answer) -> None:
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
            _failed_attempt(move, step, failure, answer.seconds)


def _awaited(saga: Saga, step: Step, answer: Answer) -> bool:
    """It counts if its attempt is the awaited one, or if it is a success of an earlier one."""
    if step.state not in {StepState.SENT, StepState.ACCEPTED} or not is_of_its_participant(saga, step, answer):
        return False
    if answer.epoch != step.epoch:
        return False
    return answer.attempt == step.attempt or (answer.outcome is Outcome.DONE and answer.attempt < step.attempt)


def _accepted(move: Move, step: Step, answer: Answer) -> None:
    if step.state is not StepState.SENT or step.retry_at is not None:
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
        _fail(move, step, Failure(code="nonsense", message=f"{answer.participant} answered what nobody asked", details=details))
        return
    step.state = StepState.DONE
    move.close(step, Direction.DO)
    if isinstance(fact, f.DeploymentDenied):
        move.saga.failure = Failure(code=fact.rule, message=fact.reason)
        move.end(DeploymentState.DENIED, reason=fact.reason)
        return
    move.emit(fact, step=step, outcome="done", cause=step.event or step.cause, seconds=answer.seconds)
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
            _authorised(move)
        case f.SourceInspected(stale=True) if not saga.origin.by_hand:
            move.end(DeploymentState.SUPERSEDED, reason="a newer commit of this environment has been authorised already")
        case f.SourceInspected():
            saga.inspected = fact
            saga.wants = Want.BUILDS
        case f.ImageBuilt() | f.ImagePushed():
            saga.images[str(step.item)] = fact.image
        case _:
            pass


def _failed_attempt(move: Move, step: Step, failure: Failure, seconds: float | None) -> None:
    compensating = move.saga.state in {DeploymentState.COMPENSATING, DeploymentState.STUCK}
    if failure.may_pass and step.attempt < step.row.attempts and not compensating:
        step.failure = failure
        step.accepted = False
        step.give_up_at = step.beat_at = None
        step.retry_at = move.backoff(step.attempt)
        return
    _fail(move, step, failure, seconds)


def _fail(move: Move, step: Step, failure: Failure, seconds: float | None = None) -> None:
    """A step failed for good."""
    saga = move.saga
    step.state = StepState.FAILED
    step.failure = failure
    move.close(step, Direction.DO)
    move.emit(
        step.row.failed(failure=failure, title=step.row.title), step=step, outcome="failed", cause=step.event or step.cause, seconds=seconds
    )
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
        compensation.start(move, DeploymentState.ROLLED_BACK, reason, failure, cause=step.event)


# The deployment's own course


def _begin(move: Move, begin: i.Begin) -> None:
    origin, source = move.saga.origin, move.saga.origin.source
    pusher = origin.pusher
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
        pusher=(pusher.login or pusher.person) if pusher else origin.subject_name or origin.subject,
        change=origin.change,
        request=origin.request,
        web_url=origin.web_url,
    )
    move.emit(created, outcome=DeploymentState.AUTHORIZING, cause=begin.cause)
    move.add([Step("authorise", "authorise")])


def _authorised(move: Move) -> None:
    saga = move.saga
    saga.authorised = True
    saga.waits_until = None
    saga.state = DeploymentState.BUILDING
    if saga.origin.source is not None and saga.origin.rollback_to is None:
        move.add([Step("inspect", "inspect", depends_on=("authorise",))])


def _approved(move: Move, decision: i.Approved) -> None:
    if move.saga.state is not DeploymentState.WAITING:
        return
    if decision.approved:
        move.emit(f.DeploymentApproved(by=decision.by, reason=decision.reason), cause=decision.cause)
        move.saga.steps["authorise"].event = move.saga.event  # what comes next comes of this
        _authorised(move)
    else:
        move.saga.failure = Failure(code="not approved", message=decision.reason or f"{decision.by} said no")
        move.end(DeploymentState.DENIED, reason=decision.reason or f"{decision.by} did not approve it", cause=decision.cause)


def _cancelled(move: Move, wish: i.Cancelled) -> None:
    saga = move.saga
    if saga.state in BEFORE_LOCK:
        saga.by = wish.by
        move.end(DeploymentState.CANCELLED, reason=f"cancelled by {wish.by}", cause=wish.cause)
    elif saga.state is DeploymentState.RUNNING and not saga.past_pivot:
        saga.by = wish.by
        compensation.start(move, DeploymentState.CANCELLED, f"cancelled by {wish.by}", None, cause=wish.cause)
    else:
        reason = {
            DeploymentState.RUNNING: "the former release is being taken away: there is only the way forward; roll back afterwards",
            DeploymentState.STUCK: "it is stuck: retry the undo, or accept it as it stands",
        }.get(saga.state, "it is being rolled back already")
        move.emit(RequestRefused(request=wish.cause or "", reason=reason), outcome=saga.state, cause=wish.cause)


def _superseded(move: Move, by: i.Superseded) -> None:
    saga = move.saga
    if saga.state not in BEFORE_LOCK or (by.queued_only and saga.state is not DeploymentState.QUEUED):
        return
    if any(step.kind == "build" and step.state is StepState.ACCEPTED for step in saga.steps.values()):
        return
    saga.by = by.by
    move.end(DeploymentState.SUPERSEDED, reason=by.reason)


def _builds_planned(move: Move, planned: i.BuildsPlanned) -> None:
    saga = move.saga
    if saga.wants is not Want.BUILDS:
        return
    saga.wants = None
    saga.builds = dict(planned.builds)
    steps: list[Step] = []
    for service, built in planned.builds.items():
        needed = "inspect"
        if built.build is not None:
            needed = f"build-{service}"
            steps.append(Step(needed, "build", service, ("inspect",)))
        steps.append(Step(f"push-{service}", "push", service, (needed,)))
    if (failure := _too_large(move, [step for step in steps if step.kind == "build"])) is not None:
        move.end(DeploymentState.FAILED, reason=failure.message, failure=failure)
        return
    move.add(steps)


def _environment_taken(move: Move, taken: i.EnvironmentTaken) -> None:
    saga = move.saga
    if saga.wants is not Want.ENVIRONMENT:
        return
    saga.state = DeploymentState.RUNNING
    saga.epoch = taken.epoch
    saga.wants = Want.PLAN
    move.emit(DeploymentStarted(epoch=taken.epoch, former=taken.former))


def _planned(move: Move, planned: i.Planned) -> None:
    saga = move.saga
    if saga.wants is not Want.PLAN:
        return
    saga.wants = None
    saga.plan = planned.plan
    if (failure := _too_large(move, planned.steps)) is not None:
        move.end(DeploymentState.FAILED, reason=failure.message, failure=failure)
        return
    steps = tuple(
        StepPlanned(step=step.name, title=step.row.title, stage=step.row.stage, depends_on=step.depends_on) for step in planned.steps
    )
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


def _refused(move: Move, refused: i.Refused) -> None:
    if move.saga.wants in {Want.BUILDS, Want.PLAN}:
        move.end(DeploymentState.FAILED, reason=refused.failure.message, failure=refused.failure)


# Timers


def _tick(move: Move, tick: i.Tick) -> None:
    saga = move.saga
    if saga.state is DeploymentState.WAITING and saga.waits_until is not None and saga.waits_until <= move.now:
        saga.failure = Failure(code="approval timed out", message="nobody decided in time")
        move.end(DeploymentState.DENIED, reason="nobody approved it in time")
        return
    for step in list(saga.steps.values()):
        if saga.state.final:
            return
        _hear(step, tick)
        due = step.due(move.limits.silence)
        if due is not None and due <= move.now:
            _time_is_over(move, step, tick)


def _hear(step: Step, tick: i.Tick) -> None:
    """Beats count, and silence only since the coordinator itself is connected."""
    heard = tick.heard.get(step.name)
    if step.accepted and step.beat_at is not None:
        step.beat_at = max(step.beat_at, tick.connected_since, heard or step.beat_at)


def _time_is_over(move: Move, step: Step, tick: i.Tick) -> None:
    compensating = move.saga.state in {DeploymentState.COMPENSATING, DeploymentState.STUCK}
    if step.state is StepState.UNDOING:
        compensation.undo_time_is_over(move, step, tick)
    elif step.retry_at is not None:
        move.send_again(step, Direction.DO, step.failure.message if step.failure else "again")
    elif compensating:
        compensation.counts_as_unknown(move, step)
    elif not step.accepted:
        _queued_too_long(move, step, tick)
    elif step.give_up_at is not None and step.give_up_at <= move.now:
        move.cancel(step, "its time is over")
        _fail(move, step, Failure(code="timed_out", message="no answer came within the step's time"))
    else:
        _silent(move, step)


def _queued_too_long(move: Move, step: Step, tick: i.Tick) -> None:
    end = tick.connected_since + move.limits.queue
    if end > move.now:
        step.give_up_at = end
        return
    move.cancel(step, "no worker took it in time")
    message = f"no {step.row.participant} took the step within {move.limits.queue.total_seconds():g} s; is one running for this target?"
    _fail(move, step, Failure(code="not_accepted", message=message))


def _silent(move: Move, step: Step) -> None:
    step.losses += 1
    if step.losses > move.limits.losses:
        _fail(move, step, Failure(code="worker_lost", message=f"workers went silent {step.losses} times at this step"))
    else:
        move.send_again(step, Direction.DO, "its worker went silent")
