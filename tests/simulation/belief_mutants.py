"""Defects in what the engine believes: workers, gates, and people who accept what could not be undone."""

from collections.abc import Callable

from services.coordinator import answers, compensation, deadlines, gates
from services.coordinator.move import Move
from services.coordinator.saga import Saga, Step, StepState
from shared.contracts.answers import Answer
from shared.contracts.commands import Direction
from tests.simulation.mutants import Patches, mutant


@mutant
def believes_whoever_answers(patches: Patches) -> None:
    """A target, or a participant, speaks for another."""
    patches.replace(answers, "is_of_its_participant", lambda *_: True)
    patches.replace(compensation, "is_of_its_participant", lambda *_: True)


@mutant
def believes_every_epoch(patches: Patches) -> None:
    """What a worker says of a lower epoch counts."""
    real = answers._awaited

    def awaited(saga: Saga, step: Step, said: Answer) -> bool:
        return real(saga, step, said.model_copy(update={"epoch": step.epoch}))

    patches.replace(answers, "_awaited", awaited)


@mutant
def takes_any_fact_for_an_undo(patches: Patches) -> None:
    """Whatever an undo's worker says is done, the step counts as undone."""

    def undone(move_: Move, step: Step, _said: Answer) -> None:
        step.state = StepState.UNDONE
        move_.close(step, Direction.UNDO)

    patches.replace(compensation, "_undone", undone)


@mutant
def accepts_more_than_what_failed(patches: Patches) -> None:
    """Accepting an environment as it stands, nothing is undone any more."""
    real: Callable[..., None] = compensation.accepted_as_it_is

    def accepted(move_: Move, wish: object) -> None:
        real(move_, wish)
        for step in move_.saga.steps.values():
            step.state = StepState.UNDONE

    patches.replace(compensation, "accepted_as_it_is", accepted)


@mutant
def loses_workers_for_ever(patches: Patches) -> None:
    """A step that kills its workers is tried again and again."""
    patches.replace(deadlines, "_silent", lambda move_, step: move_.send_again(step, Direction.DO, "its worker went silent"))


@mutant
def sends_what_it_takes_back(patches: Patches) -> None:
    """A timer sends one step again, and finds then that another has ended the deployment."""
    patches.replace(deadlines, "_has_another_attempt", lambda _move, _step: False)


@mutant
def takes_an_answer_for_another_gate(patches: Patches) -> None:
    """An answer counts for any gate of the name."""
    patches.replace(gates, "_is_of", lambda step, _answer: step.gate is not None)
