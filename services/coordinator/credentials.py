"""Credentials to clone with that end: a step that clones waits for one that outlasts its time in the queue."""

from collections.abc import Iterator

from services.coordinator.answers import failed_attempt
from services.coordinator.commands import command
from services.coordinator.inputs import SourceDenied, SourceGiven
from services.coordinator.move import Move
from services.coordinator.saga import Step, Want
from shared.contracts.commands import Direction


def given(move: Move, given: SourceGiven) -> None:
    """The steps that waited for it are sent with it, however long it is good: none would be better."""
    if move.saga.wants is not Want.SOURCE:
        return
    move.saga.source = given.source
    for step in _waiting(move):
        step.give_up_at = move.now + move.limits.queue
        move.outputs.append(command(move.saga, step, Direction.DO, move.now))


def denied(move: Move, denied: SourceDenied) -> None:
    """The attempts of the steps that waited for it have failed."""
    if move.saga.wants is not Want.SOURCE:
        return
    for step in _waiting(move):
        if not move.saga.state.final:
            failed_attempt(move, step, denied.failure)


def _waiting(move: Move) -> Iterator[Step]:
    """Those steps, which wait no more."""
    move.saga.wants = None
    for step in list(move.saga.steps.values()):
        if step.wants_source:
            step.wants_source = False
            yield step
