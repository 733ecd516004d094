"""The state of one deployment: what it is of, what it plans, and how far each step is. Data only; `engine` moves it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import ConfigDict, TypeAdapter

from shared.contracts.answers import Failure
from shared.contracts.changes import Pusher
from shared.contracts.commands import Source
from shared.contracts.events import Stage
from shared.contracts.facts import SourceInspected
from shared.contracts.gates import Before, Gate
from shared.contracts.manifest import BuildSpec
from shared.contracts.places import ChangeRequest, EnvironmentKind, Place
from shared.contracts.releases import DatabaseSpec, JobSpec, Release, ReleaseKind, Sealed
from shared.contracts.steps import STEP_KINDS, StepKind
from shared.messages import Frozen, Slug


class DeploymentState(StrEnum):
    """Where a deployment is."""

    AUTHORIZING = "authorizing"
    """Permissions are being checked."""
    WAITING = "waiting"
    """Somebody must approve, or gates must answer; with the environment held, where it was taken."""
    BUILDING = "building"
    """The source is inspected, images are built and pushed; the environment is not held."""
    QUEUED = "queued"
    """Built, waiting for the environment."""
    RUNNING = "running"
    """The environment is held; steps change the target."""
    COMPENSATING = "compensating"
    """Steps are being undone."""
    STUCK = "stuck"
    """An undo keeps failing; a person must retry or accept. The environment is held."""
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    DENIED = "denied"
    FAILED = "failed"
    """It failed before anything was touched."""

    @property
    def final(self) -> bool:
        """Nothing moves it any more."""
        return self in FINAL


FINAL = frozenset(
    {
        DeploymentState.SUCCEEDED,
        DeploymentState.ROLLED_BACK,
        DeploymentState.CANCELLED,
        DeploymentState.SUPERSEDED,
        DeploymentState.DENIED,
        DeploymentState.FAILED,
    }
)


class StepState(StrEnum):
    """How far a step is."""

    PENDING = "pending"
    """Its command was not sent."""
    SENT = "sent"
    """Its command was written to the outbox; no worker has taken it yet."""
    ACCEPTED = "accepted"
    """A worker is at it."""
    DONE = "done"
    FAILED = "failed"
    """For good, or its time is over: what it did is unknown until it is undone."""
    SKIPPED = "skipped"
    UNDOING = "undoing"
    """Its undo was sent."""
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"


class Want(StrEnum):
    """What a deployment needs that the engine cannot give: the driver gets it and feeds it back."""

    BUILDS = "builds"
    """Build inputs: arguments and secrets of the catalogue, image keys."""
    ENVIRONMENT = "environment"
    """The lock, and an epoch."""
    PLAN = "plan"
    """The plan of the deploy stage, from a snapshot of the catalogue."""
    SOURCE = "source"
    """A credential to clone with, that is good for as long as a builder may take."""


_ALL_OF_IT = ConfigDict(extra="forbid")
"""Who does not know a field, of a newer version, would write the rest without it: it leaves the deployment to who does."""


@dataclass
class Step:
    """One step of one deployment. `item` is the service, database or job that it is about."""

    __pydantic_config__ = _ALL_OF_IT

    name: str
    kind: str
    item: str | None = None
    depends_on: tuple[str, ...] = ()
    state: StepState = StepState.PENDING
    attempt: int = 0
    """Of the direction that is going on; 0: its command was never sent."""
    undo_attempt: int = 0
    losses: int = 0
    """Workers that went silent."""
    accepted: bool = False
    """A worker has taken the attempt that is awaited."""
    epoch: int | None = None
    """What the command of that attempt carried: an answer has to name it."""
    give_up_at: datetime | None = None
    """The end of the queue limit, then of the step's own time."""
    beat_at: datetime | None = None
    retry_at: datetime | None = None
    """The last attempt was answered; the next is sent then."""
    began_at: datetime | None = None
    """When the first attempt of the direction that is going on was sent."""
    cause: str | None = None
    """The event that made it start."""
    event: str | None = None
    """Its own newest event."""
    failure: Failure | None = None
    gate: Gate | None = None
    """Of a gate: what is asked of whom. No command is sent for it; it is at work while its answer is awaited."""
    wants_source: bool = False
    """Its attempt begins once the deployment has a credential for it."""

    @property
    def stage(self) -> Stage:
        """Where people look for it."""
        return Stage.BUILD if self.gate is not None and self.gate.before is Before.BUILD else self.row.stage

    @property
    def row(self) -> StepKind:
        """Its row in the table of steps."""
        return STEP_KINDS[self.kind]

    @property
    def clones(self) -> bool:
        """Its command carries the source, with the credential."""
        return self.kind in {"inspect", "build"}

    @property
    def at_work(self) -> bool:
        """Its command is out, and no answer has come."""
        return self.state in {StepState.SENT, StepState.ACCEPTED} and self.retry_at is None

    def due(self, silence: timedelta) -> datetime | None:
        """When its timer fires: the next attempt, the end of its time, or three missed beats."""
        if self.state not in {StepState.SENT, StepState.ACCEPTED, StepState.UNDOING}:
            return None
        if self.retry_at is not None:
            return self.retry_at
        times = [time for time in (self.give_up_at, self.beat_at + silence if self.accepted and self.beat_at else None) if time]
        return min(times, default=None)

    @property
    def satisfied(self) -> bool:
        """What depends on it may start."""
        return self.state in {StepState.DONE, StepState.SKIPPED}


@dataclass(frozen=True)
class Origin:
    """What a deployment is of, and who wants it. Never changes."""

    __pydantic_config__ = ConfigDict(extra="ignore")

    place: Place
    environment_kind: EnvironmentKind
    target: Slug
    kind: ReleaseKind
    arrival: int
    """Newer deployments of an environment have larger numbers."""
    connection: Slug | None = None
    source: Source | None = None
    pusher: Pusher | None = None
    subject: str | None = None
    """The person who asked, where it was no push."""
    subject_name: str = ""
    """As people know them."""
    change: str | None = None
    request: str | None = None
    title: str = ""
    author: str = ""
    web_url: str | None = None
    rollback_to: str | None = None
    by_hand: bool = False
    rebuild: bool = False
    """Every image is built anew, and every service released anew."""
    gates: tuple[Gate, ...] = ()
    """Those of the environment when the deployment was created."""
    needs_approval: bool = False
    """By the environment's policy, when the deployment was created."""
    preview: bool = False
    """The environment is a change request's own."""
    change_request: ChangeRequest | None = None
    """… namely of this one."""
    fork: bool = False
    """… whose source is another repository."""
    allowed_by: str = ""
    """The rule that lets it go on, where it is the platform's own doing: nobody is asked for permission."""
    trace: str | None = None
    """The span that it came of, as W3C traceparent: everything that belongs to the deployment goes on with its trace."""

    @property
    def by(self) -> str | None:
        """Who wants it, for people."""
        pusher = self.pusher
        return (pusher.login or pusher.person) if pusher else self.subject_name or self.subject


class BuildInput(Frozen):
    """What a service's image is made of; its key is the hash of all that goes into it."""

    key: str
    build: BuildSpec | None = None
    image: str | None = None
    generation: str = ""
    """The deployment that last had it built anew, though nothing had changed; a part of the key."""
    secrets: Sealed = Sealed()
    kept: str | None = None
    """The image, by digest, of the release that runs, where that has the very same inputs: nothing is built or fetched."""


class Plan(Frozen):
    """What the environment shall run, and what it ran before: all that commands are made from."""

    releases: dict[Slug, Release] = {}
    former: dict[Slug, Release] = {}
    unchanged: tuple[Slug, ...] = ()
    databases: dict[Slug, DatabaseSpec] = {}
    former_databases: dict[Slug, DatabaseSpec] = {}
    jobs: dict[Slug, JobSpec] = {}
    secrets: dict[Slug, Sealed] = {}
    """Service or job → its secrets, sealed to the target when the snapshot was taken."""
    former_secrets: dict[Slug, Sealed] = {}
    reused: tuple[Slug, ...] = ()
    """Services whose image was made by a former deployment: it must still be there."""
    notes: tuple[str, ...] = ()
    https_port: int = 443
    """Where the target's load balancer is reached from outside."""

    @property
    def changes(self) -> bool:
        """Whether the environment runs anything else afterwards than before."""
        same = set(self.unchanged)
        return self.releases.keys() != same or self.former.keys() != same or self.databases != self.former_databases


@dataclass
class Saga:
    """One deployment."""

    __pydantic_config__ = _ALL_OF_IT

    id: str
    origin: Origin
    state: DeploymentState
    created_at: datetime
    steps: dict[str, Step] = field(default_factory=dict)
    sequence: int = 0
    epoch: int | None = None
    wants: Want | None = None
    authorised: bool = False
    newest: str | None = None
    """Newest authorised commit of the environment when this one was authorised."""
    waits_until: datetime | None = None
    failure: Failure | None = None
    failed_step: str = ""
    """The one whose failure turned the deployment back."""
    reason: str = ""
    ends_as: DeploymentState | None = None
    """What a compensation ends in."""
    by: str = ""
    alerts: tuple[str, ...] = ()
    accepted_as_is: tuple[str, ...] = ()
    event: str | None = None
    """The newest event of the deployment itself: the cause of what has no nearer one."""
    source: Source | None = None
    """The origin's, with a newer credential."""
    inspected: SourceInspected | None = None
    builds: dict[str, BuildInput] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    """Service → image by digest, once pushed."""
    plan: Plan | None = None

    @property
    def cloned_from(self) -> Source | None:
        """The source with its newest credential."""
        return self.source or self.origin.source

    def may_clone_until(self, until: datetime) -> bool:
        """The credential is good until then."""
        source = self.cloned_from
        return source is None or source.valid_until is None or source.valid_until >= until

    @property
    def holds(self) -> bool:
        """It holds the environment."""
        return self.epoch is not None and not self.state.final

    @property
    def waits_for_approval(self) -> bool:
        """Somebody must decide whether it may go on."""
        return self.state is DeploymentState.WAITING and self.waits_until is not None

    @property
    def past_pivot(self) -> bool:
        """The first retirement was sent: only forward."""
        return any(step.attempt and is_after_pivot(step.kind) for step in self.steps.values())

    def wake_at(self, silence: timedelta) -> datetime | None:
        """When the next of its timers fires."""
        times = [self.waits_until] if self.waits_for_approval else []
        times += [step.due(silence) for step in self.steps.values()]
        return min((time for time in times if time is not None), default=None)


AFTER_PIVOT = frozenset({"retire", "remove-service", "remove-database"})


def is_after_pivot(kind: str) -> bool:
    """Steps that take the former release away: no cancel and no compensation after the first of them."""
    return kind in AFTER_PIVOT


@dataclass(frozen=True)
class Limits:
    """How long things may take."""

    queue: timedelta = timedelta(minutes=30)
    """A command that no worker takes."""
    silence: timedelta = timedelta(seconds=15)
    """Three missed beats."""
    approval: timedelta = timedelta(hours=24)
    purged: timedelta = timedelta(seconds=2)
    """A purged command that no worker had accepted: after this it counts as unknown, and is undone."""
    slack: timedelta = timedelta(seconds=10)
    """Between the end of a step's time, which its worker announces itself, and the coordinator's own verdict."""
    underway: timedelta = timedelta(seconds=2)
    """From a gate's deadline to its default: answers that were given in time are read."""
    losses: int = 5
    undo_attempts: int = 5
    backoff: timedelta = timedelta(seconds=1)
    """Doubles with each attempt, up to 30 times itself."""


PROGRESS = TypeAdapter(Saga)
"""A saga as JSON, and back."""
