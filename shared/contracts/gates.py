"""Gates: what an environment asks outside tools before a stage, and what they answer."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.messages import Frozen, Slug

LONGEST_REASON = 1000
SHORTEST_S = 1.0
LONGEST_S = 24 * 3600.0
LONGEST_WITH_LOCK_S = 3600.0
"""Nothing else is deployed to the environment meanwhile."""

Verdict = Literal["pass", "fail"]
Reason = Annotated[str, StringConstraints(max_length=LONGEST_REASON, pattern=r"^[^\x00]*$")]
"""PostgreSQL has no NUL in text."""


class Before(StrEnum):
    """What waits for the answer."""

    BUILD = "build"
    """The build: the source was inspected, nothing of it has run."""
    DEPLOY = "deploy"
    """Anything on the target: images are built, the environment is not taken."""
    SWITCH = "switch"
    """The traffic: every candidate is healthy, the environment is held."""

    @property
    def longest_s(self) -> float:
        """The longest that may be waited for an answer."""
        return LONGEST_WITH_LOCK_S if self is Before.SWITCH else LONGEST_S


class Gate(Frozen):
    """One gate as it was when the deployment was created: that counts, whatever becomes of it meanwhile."""

    name: Slug
    id: str
    """Another gate of the same name has another."""
    before: Before
    deadline_s: float = Field(gt=0)
    default: Verdict = "fail"
    """Where nobody answers in time."""


class GateAnswer(Frozen):
    """What a tool says, over HTTP or on the gate's own subject."""

    deployment: Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9a-z]+$")]
    result: Verdict
    reason: Reason = Field(default="", description="For people: why, and where to read more")


class GateReply(Frozen):
    """What api says to an answer on the gate's subject that was sent as a request: kept, or why not."""

    request: str | None = Field(default=None, description="The answer is kept: it counts, or is refused, under this id")
    error: str | None = Field(default=None, description="It is not: what is wrong")
    again: bool = Field(default=False, description="Nothing is wrong with the answer: send it again in a moment")


def subject_of(organization: str, name: str) -> str:
    """Where a gate's tool publishes its answers."""
    return f"slipway.gate.{organization}.{name}"


def step_of(name: str) -> str:
    """The step of a deployment that a gate is."""
    return f"gate-{name}"
