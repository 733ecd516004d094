"""Which channels hear of an event. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts.events import fact_name_parts

ENDS = (
    "deployment.succeeded",
    "deployment.rolled_back",
    "deployment.failed",
    "deployment.denied",
    "deployment.cancelled",
    "deployment.superseded",
    "deployment.stuck",
    "message.given_up",
)
"""What a channel hears of that names no events: how each deployment ended, and what the platform itself gave up."""
OUTSIDE_ENDS = ("pipelinerun.finished", "incident.detected")
"""The same in the words of CDEvents."""
OWN = "notification"
"""Attempts to tell something are events too; telling of them would never end."""


@dataclass(frozen=True)
class Listener:
    """A channel, as far as it decides what it hears of."""

    organization: str
    name: str
    project: str
    kind: str
    events: tuple[str, ...]
    repository: str = ""
    """Of a forge's channel."""
    format: str = "events"


def hears(listener: Listener, organization: str, project: str | None, name: str, wanted_by_forge: Sequence[str]) -> bool:
    """Whether a channel hears of an event (its name is the fact's class). A forge hears of what it can show."""
    if not covers(listener, organization, project):
        return False
    if listener.kind == "forge":
        return name in wanted_by_forge
    if listener.format != "events":
        return False
    noun, _, participle = fact_name_parts(name).partition(".")
    if noun == OWN:
        return False
    return any(_matches(pattern, noun, participle) for pattern in listener.events or ENDS)


def hears_outside(listener: Listener, organization: str, project: str | None, kind: str) -> bool:
    """Whether a channel hears of a CDEvent (`build.started`)."""
    if listener.format != "cdevents" or not covers(listener, organization, project):
        return False
    subject, _, predicate = kind.partition(".")
    return any(_matches(pattern, subject, predicate) for pattern in listener.events or OUTSIDE_ENDS)


def covers(listener: Listener, organization: str, project: str | None) -> bool:
    """Whether a channel is for what happens there."""
    return listener.organization == organization and listener.project in ("", project)


def _matches(pattern: str, noun: str, participle: str) -> bool:
    wanted_noun, _, wanted_participle = pattern.partition(".")
    return wanted_noun in ("*", noun) and wanted_participle in ("*", participle)
