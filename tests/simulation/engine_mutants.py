"""Defects of the engine."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from services.coordinator import answers, commands, compensation, course, engine, gates, graph, move
from services.coordinator.inputs import CloseCommands, GateAnswered
from services.coordinator.move import Move
from services.coordinator.saga import DeploymentState, Plan, Saga, Step, StepState
from shared.contracts.answers import Answer, Failure, Outcome
from shared.contracts.commands import Command, Direction
from shared.contracts.gates import Before, Gate
from tests.simulation.mutants import Patches, mutant


@mutant
def skips_an_undo(patches: Patches) -> None:
    """The private route is never undone."""
    real = compensation.has_undo
    patches.replace(compensation, "has_undo", lambda step: step.kind != "expose" and real(step))


@mutant
def undoes_only_what_is_done(patches: Patches) -> None:
    """A step that failed half-way is left as it is."""
    real = compensation.has_undo
    patches.replace(compensation, "has_undo", lambda step: step.state is not StepState.FAILED and real(step))


@mutant
def undoes_in_any_order(patches: Patches) -> None:
    """An undo does not wait for those of what depends on its step."""
    patches.replace(compensation, "_dependents_are_undone", lambda _saga, _step: True)


@mutant
def starts_everything_at_once(patches: Patches) -> None:
    """A step does not wait for what it depends on."""
    patches.replace(engine, "_ended", lambda _step: True)


@mutant
def switches_before_all_are_healthy(patches: Patches) -> None:
    """Each service switches as soon as its own candidate is healthy."""
    real = graph._switches

    def alone(plan: Plan, steps: list[Step], changed: list[str], ready: list[str]) -> list[str]:
        return [end for name, own in zip(changed, ready, strict=False) for end in real(plan, steps, [name], [own])]

    patches.replace(graph, "_switches", alone)


@mutant
def forgets_the_new_epoch(patches: Patches) -> None:
    """Turning back, the epoch stays as it was."""
    real: Callable[..., None] = compensation.start

    def start(move_: Move, *given: object, **more: object) -> None:
        real(move_, *given, **more)
        move_.saga.epoch = (move_.saga.epoch or 0) - 1

    patches.replace(compensation, "start", start)


@mutant
def reuses_the_message_id(patches: Patches) -> None:
    """A second attempt has the message id of the first."""
    real = commands.command

    def command(saga: Saga, step: Step, direction: Direction, now: datetime) -> Command:
        return real(saga, replace(step, attempt=1, undo_attempt=1), direction, now)

    patches.replace(move, "command", command)


@mutant
def cancels_after_the_pivot(patches: Patches) -> None:
    """A cancel turns a deployment back though the former release is being taken away."""
    patches.replace(Saga, "past_pivot", property(lambda _saga: False))


@mutant
def fails_after_the_pivot(patches: Patches) -> None:
    """A leftover that cannot be removed turns the deployment back."""
    patches.replace(answers, "is_after_pivot", lambda _kind: False)


@mutant
def forgets_the_steps_time(patches: Patches) -> None:
    """A step that a worker has taken may take for ever."""

    def accepted(_move: Move, step: Step, _timeout_s: float) -> None:
        step.accepted = True
        step.give_up_at = None

    patches.replace(Move, "accepted", accepted)


@mutant
def forgets_the_queue_limit(patches: Patches) -> None:
    """A command that nobody takes waits for ever."""
    real = Move.send

    def send(move_: Move, step: Step, direction: Direction) -> None:
        real(move_, step, direction)
        step.give_up_at = None

    patches.replace(Move, "send", send)


@mutant
def forgets_the_next_attempt(patches: Patches) -> None:
    """The timer of another attempt is never set."""
    real = Step.due
    patches.replace(Step, "due", lambda step, silence: None if step.retry_at is not None else real(step, silence))


@mutant
def forgets_the_approval_deadline(patches: Patches) -> None:
    """A deployment waits for approval for ever."""
    patches.replace(Saga, "wake_at", _wake_at_without_approval)


def _wake_at_without_approval(saga: Saga, silence: object) -> datetime | None:
    times = [at for step in saga.steps.values() if (at := step.due(silence)) is not None]  # type: ignore[arg-type]
    return min(times, default=None)


@mutant
def does_not_follow_the_target(patches: Patches) -> None:
    """Where the target has seen higher epochs, the deployment stays below them."""
    patches.replace(Move, "follow", lambda _move, _said: None)


@mutant
def believes_every_attempt(patches: Patches) -> None:
    """A failure of an earlier attempt counts."""
    real = answers._awaited

    def awaited(saga: Saga, step: Step, said: Answer) -> bool:
        return real(saga, step, said if said.attempt > step.attempt else said.model_copy(update={"attempt": step.attempt}))

    patches.replace(answers, "_awaited", awaited)


@mutant
def counts_a_failure_twice(patches: Patches) -> None:
    """The second failure of an attempt counts, too."""
    real = answers._awaited

    def awaited(saga: Saga, step: Step, said: Answer) -> bool:
        return real(saga, replace(step, retry_at=None), said)

    patches.replace(answers, "_awaited", awaited)


@mutant
def leaves_commands_open(patches: Patches) -> None:
    """Commands of answered steps are sent again for ever."""
    real = Move.close

    def close(move_: Move, step: Step, direction: Direction) -> None:
        real(move_, step, direction)
        move_.outputs = [output for output in move_.outputs if not isinstance(output, CloseCommands)]

    patches.replace(Move, "close", close)


@mutant
def gives_up_without_a_word(patches: Patches) -> None:
    """An undo that keeps failing counts as done."""

    def stuck(move_: Move, step: Step, _failure: Failure) -> None:
        move_.close(step, Direction.UNDO)
        step.state = StepState.UNDONE

    patches.replace(compensation, "_stuck", stuck)


@mutant
def takes_a_failed_undo_for_done(patches: Patches) -> None:
    """Whatever an undo answers, its step counts as undone."""
    real = compensation.undo_answered

    def undo_answered(move_: Move, said: Answer) -> None:
        step = move_.saga.steps.get(str(said.step))
        if step is not None and step.state is StepState.UNDOING and said.outcome is Outcome.FAILED and said.epoch == step.epoch:
            move_.close(step, Direction.UNDO)
            step.state = StepState.UNDONE
        else:
            real(move_, said)

    patches.replace(compensation, "undo_answered", undo_answered)


@mutant
def takes_the_unknown_for_nothing(patches: Patches) -> None:
    """A step that did not answer before the way back is not undone."""

    def counts_as_unknown(move_: Move, step: Step) -> None:
        move_.close(step, Direction.DO)
        step.state = StepState.SKIPPED

    patches.replace(compensation, "counts_as_unknown", counts_as_unknown)


@mutant
def ends_while_steps_are_at_work(patches: Patches) -> None:
    """The way back ends before what was at work has answered."""

    def is_back(step: Step) -> bool:
        return not compensation.has_undo(step) or step.state is StepState.UNDONE

    patches.replace(compensation, "_is_back", is_back)


@mutant
def sends_new_steps_on_the_way_back(patches: Patches) -> None:
    """What is pending starts though the deployment turns back."""
    real = compensation.settle

    def settle(move_: Move) -> None:
        for step in move_.saga.steps.values():
            if step.state is StepState.PENDING and all(engine._ended(move_.saga.steps[name]) for name in step.depends_on):
                move_.send(step, Direction.DO)
        real(move_)

    patches.replace(compensation, "settle", settle)


@mutant
def cancels_what_was_decided(patches: Patches) -> None:
    """A second cancel starts the way back once more."""
    real: Callable[..., None] = compensation.retried

    def retried(move_: Move, wish: object) -> None:
        move_.saga.state = DeploymentState.COMPENSATING
        real(move_, wish)

    patches.replace(compensation, "retried", retried)


@mutant
def forgets_the_gates_time(patches: Patches) -> None:
    """A gate's answer is awaited for ever."""
    real = gates.ask

    def ask(move_: Move, step: Step) -> None:
        real(move_, step)
        step.give_up_at = None

    patches.replace(gates, "ask", ask)


@mutant
def clones_with_what_has_ended(patches: Patches) -> None:
    """A credential is good for ever."""
    patches.replace(Saga, "may_clone_until", lambda _saga, _until: True)


@mutant
def sends_what_is_over(patches: Patches) -> None:
    """A step that an earlier attempt has done goes on to wait for its credential."""
    real = Move.close

    def close(self: Move, step: Step, direction: Direction) -> None:
        waits = step.wants_source
        real(self, step, direction)
        step.wants_source = waits

    patches.replace(Move, "close", close)


@mutant
def takes_a_late_answer(patches: Patches) -> None:
    """An answer that came after the gate's deadline counts."""
    real = gates.answered

    def answered(move_: Move, answer: GateAnswered) -> None:
        real(move_, replace(answer, at=move_.saga.created_at))

    patches.replace(gates, "answered", answered)


@mutant
def asks_one_gate_of_several(patches: Patches) -> None:
    """Of the gates before a stage only the first is asked."""
    real = graph.gates_before

    def gates_before(all_: Iterable[Gate], before: Before, depends_on: Sequence[str]) -> list[Step]:
        return real(all_, before, depends_on)[:1]

    patches.replace(graph, "gates_before", gates_before)
    patches.replace(course, "gates_before", gates_before)
