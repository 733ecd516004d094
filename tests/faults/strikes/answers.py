"""Answers that passed on the bus: which steps are at work by them, and the same once more as messages of their own."""

import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from nats.aio.msg import Msg
from pydantic import JsonValue

from shared.contracts.answers import Answer, Outcome
from tests.faults.strikes.books import OURS

Step = tuple[str | None, str | None, str]
"""Deployment, step and direction."""


@dataclass(frozen=True)
class Said:
    """One answer as it came."""

    subject: str
    headers: Mapping[str, str]
    answer: Answer

    @property
    def step(self) -> Step:
        """What it is about."""
        return self.answer.deployment, self.answer.step, self.answer.direction

    def again(self, number: int, changed: Mapping[str, JsonValue] | None = None) -> "Wire":
        """The same as a new message, which no inbox and no stream has seen, but for what is changed."""
        name = f"{OURS}{number:x}"
        body = json.loads(self.answer.encode()) | {"id": name} | dict(changed or {})
        return Wire(name, self.subject, {**self.headers, "ce-id": name, "Nats-Msg-Id": name}, json.dumps(body).encode())


@dataclass(frozen=True)
class Wire:
    """A message of a strike's own."""

    name: str
    subject: str
    headers: dict[str, str]
    body: bytes


def read(messages: Iterable[Msg]) -> list[Said]:
    """What participants said; what strikes sent is left out."""
    return [
        Said(message.subject, dict(message.headers or {}), Answer.decode(message.data))
        for message in messages
        if not _name(message).startswith(OURS)
    ]


def at_work(messages: Iterable[Msg]) -> dict[Step, Said]:
    """The steps that a worker has accepted and not ended since, each with the answer that says so."""
    found: dict[Step, Said] = {}
    for said in read(messages):
        if said.answer.outcome is Outcome.ACCEPTED:
            found[said.step] = said
        else:
            found.pop(said.step, None)
    return found


def seen(messages: Sequence[Msg], names: AbstractSet[str]) -> bool:
    """Whether a message of these names passed."""
    return any(_name(message) in names for message in messages)


def in_time(messages: Sequence[Msg], names: AbstractSet[str], steps: AbstractSet[Step]) -> bool:
    """Whether messages of these names began to pass while one of these steps was at work."""
    first = next((place for place, message in enumerate(messages) if _name(message) in names), None)
    return first is not None and bool(steps & at_work(messages[:first]).keys())


def _name(message: Msg) -> str:
    return (message.headers or {}).get("ce-id", "")
