"""Log lines of a step, on `slipway.log.<target>.<deployment>.<step>`; beats and cancels on core NATS."""

from shared.contracts.commands import Direction
from shared.messages import Message


class LogLines(Message):
    """Lines of one attempt, redacted by who wrote them. Each line's number is `first` plus its place; numbers start at 1 an attempt."""

    direction: Direction = Direction.DO
    attempt: int
    first: int
    lines: tuple[str, ...]


class Beat(Message):
    """A worker is still at work on this attempt. Losing one is harmless."""

    direction: Direction
    attempt: int


class Cancel(Message):
    """Stop working on this step. Losing one is harmless: its deadline comes anyway."""

    direction: Direction
    reason: str = ""
