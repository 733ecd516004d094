"""What moves a saga, besides the answers of participants.

`cause` is the message that brought it: the event that tells of a person's decision carries the request's id, which confirms the wish.
"""

from dataclasses import dataclass, field
from datetime import datetime

from services.coordinator.saga import BuildInput, Plan, Step
from shared.contracts.answers import Answer, Failure
from shared.contracts.commands import Source
from shared.contracts.gates import Verdict


@dataclass(frozen=True)
class Begin:
    """The deployment was just created."""

    cause: str


@dataclass(frozen=True)
class Approved:
    """Somebody decided about a waiting deployment."""

    by: str
    approved: bool
    reason: str = ""
    cause: str | None = None


@dataclass(frozen=True)
class Cancelled:
    """Somebody wants it to end."""

    by: str
    cause: str | None = None


@dataclass(frozen=True)
class Superseded:
    """A newer deployment takes its place."""

    by: str
    reason: str
    queued_only: bool = False
    """Only where it waits for the environment, not where its build still waits for a worker."""
    by_hand: bool = False
    """A person asked for the newer one. A push takes no place of what a person asked for."""


@dataclass(frozen=True)
class Retried:
    """Somebody wants the undo tried again at which it is stuck."""

    by: str
    cause: str | None = None


@dataclass(frozen=True)
class Accepted:
    """Somebody accepts a stuck deployment as it stands."""

    by: str
    cause: str | None = None


@dataclass(frozen=True)
class GateAnswered:
    """A gate's tool, or somebody in its place, has answered. `at`: when, by the database's clock."""

    gate: str
    gate_id: str
    result: Verdict
    reason: str
    by: str
    at: datetime
    cause: str | None = None


@dataclass(frozen=True)
class BuildsPlanned:
    """The images that have to be built or fetched, by service."""

    builds: dict[str, BuildInput]


@dataclass(frozen=True)
class EnvironmentTaken:
    """The lock is ours."""

    epoch: int
    former: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Planned:
    """The deploy stage, step by step."""

    plan: Plan
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Refused:
    """Planning found that it cannot be done; nothing was touched."""

    failure: Failure


@dataclass(frozen=True)
class SourceGiven:
    """A credential to clone with was made."""

    source: Source


@dataclass(frozen=True)
class SourceDenied:
    """The forge gives no credential: as if a builder had tried to clone."""

    failure: Failure


@dataclass(frozen=True)
class Tick:
    """A timer fired. Silence and queueing count only while the coordinator's own connection was up."""

    connected_since: datetime
    heard: dict[str, datetime] = field(default_factory=dict)
    """Step → when its last beat was heard."""


Input = (
    Answer
    | Begin
    | Approved
    | Cancelled
    | Superseded
    | Retried
    | Accepted
    | GateAnswered
    | BuildsPlanned
    | EnvironmentTaken
    | Planned
    | Refused
    | SourceGiven
    | SourceDenied
    | Tick
)


@dataclass(frozen=True)
class CancelWork:
    """Tell the worker of a step to stop (core NATS), and take its command off the queue."""

    target: str
    step_key: str
    direction: str
    subject: str
    """Of all attempts of the step in this direction."""
    reason: str


@dataclass(frozen=True)
class CloseCommands:
    """The step has been answered: its commands need not be sent again."""

    ids: tuple[str, ...]
    """Message ids of all attempts so far, in this direction."""
