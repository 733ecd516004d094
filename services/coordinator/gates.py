"""Gates: outside tools are asked before a stage, and the deployment waits for all that stand there; who does not answer in time has a default."""

from datetime import datetime, timedelta

from services.coordinator import answers
from services.coordinator.inputs import GateAnswered, Tick
from services.coordinator.move import Move
from services.coordinator.saga import DeploymentState, Step, StepState
from shared.contracts.answers import Failure
from shared.contracts.events import GateFailed, GatePassed, GateRequested
from shared.contracts.gates import Verdict, step_of

_ANSWERS = {StepState.DONE: "has passed", StepState.FAILED: "has failed"}


def ask(move: Move, step: Step) -> None:
    """Asks the gate's tool; from now on the deployment waits. The gate's time starts."""
    saga, gate = move.saga, step.gate
    assert gate is not None
    origin, source = saga.origin, saga.origin.source
    step.state, step.attempt, step.began_at = StepState.ACCEPTED, 1, move.now
    step.give_up_at = _deadline(step) + move.limits.underway
    saga.state = DeploymentState.WAITING
    question = GateRequested(
        gate=gate.name,
        before=gate.before,
        deadline=_deadline(step),
        default=gate.default,
        kind=origin.kind,
        environment_kind=origin.environment_kind,
        repository=source.repository if source else None,
        ref=source.ref if source else None,
        commit=source.commit if source else None,
        title=origin.title,
        author=origin.author,
        pusher=origin.by,
        services=tuple(saga.inspected.manifest.services) if saga.inspected else (),
        images=saga.images,
    )
    move.emit(question, step=step, outcome="started", cause=step.cause)


def answered(move: Move, answer: GateAnswered) -> None:
    """An answer counts if it came in time, is the first, and is for this very gate; whoever gave another is told why it does not."""
    step = move.saga.steps.get(step_of(answer.gate))
    if step is not None and _is_of(step, answer) and step.at_work and answer.at <= _deadline(step):
        _decide(move, step, answer.result, answer.reason, by=answer.by, cause=answer.cause)
    else:
        move.refuse(answer.cause, _why_not(move, step, answer))


def _is_of(step: Step, answer: GateAnswered) -> bool:
    return step.gate is not None and step.gate.id == answer.gate_id


def _why_not(move: Move, step: Step | None, answer: GateAnswered) -> str:
    if step is None:
        asked = any((gate.name, gate.id) == (answer.gate, answer.gate_id) for gate in move.saga.origin.gates)
        return f"the gate {answer.gate} is not asked yet" if asked else f"the deployment does not ask the gate {answer.gate}"
    if not _is_of(step, answer):
        return f"the deployment asks another gate of the name {answer.gate}, which was there when it was created"
    if step.at_work:
        return f"the answer of the gate {answer.gate} came after its deadline"
    if step.state is StepState.PENDING:
        return f"the gate {answer.gate} is not asked yet"
    return f"the gate {answer.gate} {_ANSWERS.get(step.state, 'is not asked')} already"


def time_is_over(move: Move, step: Step, tick: Tick) -> None:
    """Nobody answered: the default counts. After a time without a connection, answers that were given meanwhile are read first."""
    assert step.gate is not None
    read = tick.connected_since + move.limits.underway
    if read > move.now:
        step.give_up_at = read
        return
    _decide(move, step, step.gate.default, f"nobody answered within {_words(step.gate.deadline_s)}", by="", cause=None)


def _decide(move: Move, step: Step, result: Verdict, reason: str, *, by: str, cause: str | None) -> None:
    saga, name = move.saga, str(step.item)
    if result == "fail":
        failure = Failure(code="gate_failed" if by else "gate_unanswered", message=reason or "its tool gave no reason")
        fact = GateFailed(failure=failure, title=step.row.title, gate=name, by=by, defaulted=not by)
        answers.fail(move, step, failure, fact=fact, cause=cause)
        return
    step.state, step.give_up_at = StepState.DONE, None
    move.emit(GatePassed(gate=name, by=by, reason=reason, defaulted=not by), step=step, outcome="done", cause=cause or step.event)
    if not any(other.at_work for other in saga.steps.values()):
        saga.state = DeploymentState.BUILDING if saga.epoch is None else DeploymentState.RUNNING


def _deadline(step: Step) -> datetime:
    assert step.gate is not None
    assert step.began_at is not None
    return step.began_at + timedelta(seconds=step.gate.deadline_s)


def _words(seconds: float) -> str:
    for name, length in (("hour", 3600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            number = int(seconds // length)
            return f"{number} {name}{'s' if number != 1 else ''}"
    return f"{seconds:g} s"
