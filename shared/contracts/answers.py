"""Answers: what a participant says of a command. Subject: `slipway.res.<target>.<participant>.<step key>`."""

from enum import StrEnum
from typing import Literal

from pydantic import Field, JsonValue

from shared.contracts.commands import Command, Direction
from shared.contracts.facts import Fact, fact_of
from shared.messages import Frozen, Message, Slug


class Outcome(StrEnum):
    """What became of the command."""

    ACCEPTED = "accepted"
    """A worker has taken it; the step's deadline starts."""
    DONE = "done"
    """The fact is true on the target now."""
    FAILED = "failed"
    """It is not; see the failure."""
    REFUSED = "refused"
    """The target has seen a higher epoch; nothing was touched."""


class Failure(Frozen):
    """An expected failure, said so that its reader can act."""

    code: str = Field(description="Stable, snake_case: `dockerfile_failed`, `port_mismatch`, …")
    message: str = Field(description="For the user: what is wrong, where, and what to do")
    details: str = Field(default="", description="For the operator")
    log_tail: tuple[str, ...] = Field(default=(), description="The last lines of what ran, redacted")
    may_pass: bool = Field(default=False, description="Worth another attempt as it is")


class Answer(Message):
    """What a participant says of one attempt. Only the coordinator turns it into an event."""

    target: Slug | Literal["_"]  # auth has none
    participant: str
    direction: Direction
    attempt: int
    epoch: int | None = None
    outcome: Outcome
    seen_epoch: int | None = Field(default=None, ge=0, lt=2**53, description="Of a refusal: the highest epoch that the target has seen")
    name: str | None = Field(default=None, description="Class of the fact")
    data: dict[str, JsonValue] = {}
    failure: Failure | None = None
    worker: str = Field(default="", description="Host and process that did it")
    seconds: float | None = Field(default=None, description="How long the worker was at it, by its own clock")

    def fact(self) -> Fact | None:
        """The fact that a `done` answer brings; raises `UnknownFact` where this reader does not know it."""
        return None if self.name is None else fact_of(self.name, self.data)


def answer(
    command: Command,
    participant: str,
    outcome: Outcome,
    *,
    fact: Fact | None = None,
    failure: Failure | None = None,
    worker: str = "",
    seconds: float | None = None,
) -> Answer:
    """The answer to a command: it names the step, direction, attempt and epoch of what it answers."""
    return Answer(
        cause=command.id,
        deployment=command.deployment,
        step=command.step,
        target=command.target,
        participant=participant,
        direction=command.direction,
        attempt=command.attempt,
        epoch=command.epoch,
        outcome=outcome,
        name=None if fact is None else type(fact).__name__,
        data={} if fact is None else fact.model_dump(mode="json"),
        failure=failure,
        worker=worker,
        seconds=seconds,
    )
