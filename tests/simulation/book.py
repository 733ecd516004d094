"""The book of one schedule: what was sent, answered and decided, as it was seen from outside the engine."""

from dataclasses import dataclass, field
from datetime import datetime

from services.coordinator import inputs as i
from services.coordinator.saga import Saga
from shared.contracts import facts as f
from shared.contracts.answers import Answer, Outcome
from shared.contracts.commands import Command, Direction
from shared.contracts.steps import STEP_KINDS
from tests.simulation.participants import PARTICIPANT_OF

Key = tuple[str, str]
"""Deployment and step."""


@dataclass
class Book:
    """Believes the sagas nothing that it can see itself."""

    sent: dict[tuple[str, str, Direction], Command] = field(default_factory=dict)
    """The newest command of each step and direction."""
    accepted_at: dict[str, datetime] = field(default_factory=dict)
    """Command → when a worker's word of it was read."""
    done: set[Key] = field(default_factory=set)
    undone: set[Key] = field(default_factory=set)
    passed: set[Key] = field(default_factory=set)
    """Gates, with their step's name."""
    authorised: set[str] = field(default_factory=set)
    asked_at: dict[str, datetime] = field(default_factory=dict)
    """Deployment → when its approval was asked for."""
    newest: list[tuple[float, int, str | None]] = field(default_factory=lambda: [(-1.0, 0, None)])
    """Each time that a newer deployment was authorised: when, its arrival and its commit."""
    newest_of: dict[str, str | None] = field(default_factory=dict)
    """Deployment → the newest authorised commit before the transaction in which it was authorised itself."""

    def was_sent(self, deployment: str, step: str) -> bool:
        """It may have changed something."""
        return (deployment, step, Direction.DO) in self.sent

    def answered(self, saga: Saga, said: Answer, at: datetime, now: float) -> None:
        """An answer that is awaited."""
        key = (saga.id, str(said.step))
        if said.outcome is Outcome.ACCEPTED:
            self.accepted_at.setdefault(self.sent[*key, said.direction].id, at)
        elif is_good(saga, said):
            (self.undone if said.direction is Direction.UNDO else self.done).add(key)
            match said.fact():
                case f.DeploymentAuthorized():
                    self._let_go_on(saga, now)
                case f.ApprovalRequested():
                    self.asked_at[saga.id] = at

    def decided(self, saga: Saga, message: i.Input, now: float) -> None:
        """What people and rules let go on."""
        approved = isinstance(message, i.Approved) and message.approved and saga.id in self.asked_at and saga.id not in self.authorised
        if approved or (isinstance(message, i.Begin) and saga.origin.allowed_by):
            self._let_go_on(saga, now)

    def _let_go_on(self, saga: Saga, now: float) -> None:
        origin = saga.origin
        self.authorised.add(saga.id)
        self.newest_of[saga.id] = next(commit for at, _, commit in reversed(self.newest) if at < now)
        if origin.arrival > self.newest[-1][1]:
            self.newest.append((now, origin.arrival, origin.source.commit if origin.source else None))


def is_good(saga: Saga, said: Answer) -> bool:
    """It says of its step what was asked."""
    if said.outcome is not Outcome.DONE:
        return False
    row = STEP_KINDS[saga.steps[str(said.step)].kind]
    try:
        fact = said.fact()
    except ValueError:
        return False
    return isinstance(fact, (row.undone or f.NothingToUndo, f.NothingToUndo) if said.direction is Direction.UNDO else row.done)


def participant_of(sent: Command) -> str:
    """Who does it."""
    return PARTICIPANT_OF[type(sent)]
