"""What a saga may believe: a step is done with a fact of its own, an accept takes what failed, and no step is tried for ever."""

from collections.abc import Sequence

from services.coordinator import inputs as i
from services.coordinator.move import Output
from services.coordinator.saga import Limits, Saga, StepState
from shared.contracts.answers import Answer
from shared.contracts.commands import Command, Direction
from shared.contracts.facts import NothingToUndo
from tests.simulation.violation import hold


def moved(before: Saga, message: i.Input, after: Saga, outputs: Sequence[Output]) -> None:
    """One message moved one saga."""
    if isinstance(message, Answer):
        _told(before, message, after)
    elif isinstance(message, i.Accepted):
        _accepted(before, after)
    for output in outputs:
        if isinstance(output, Command):
            _tried(after, output)


def _told(before: Saga, said: Answer, after: Saga) -> None:
    step = after.steps.get(str(said.step))
    if step is None or step.state not in {StepState.DONE, StepState.UNDONE} or step.state is before.steps[step.name].state:
        return
    facts = step.row.done if step.state is StepState.DONE else (step.row.undone, NothingToUndo)
    hold(said.name in {fact.__name__ for fact in facts if fact}, f"{step.name} of {after.id} is {step.state} with {said.name}")


def _accepted(before: Saga, after: Saga) -> None:
    failed = [name for name, step in before.steps.items() if step.state is StepState.UNDO_FAILED]
    taken = [name for name, step in after.steps.items() if step.state is StepState.UNDONE is not before.steps[name].state]
    hold(taken == failed, f"somebody accepted that {failed} are not undone, and {taken} count as undone")


def _tried(saga: Saga, sent: Command) -> None:
    """A clone is tried for longer, while its forge is away; an undo as often as people want."""
    step = saga.steps[str(sent.step)]
    most = step.row.attempts + Limits().losses
    hold(step.clones or sent.direction is Direction.UNDO or sent.attempt <= most, f"{sent.attempt_id} is more than {most} attempts")
