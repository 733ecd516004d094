"""Events: what happened, published by the services that keep state, read by everyone.

Subject: `slipway.evt.<org>.<project>.<environment>.<noun>.<participle>`. A deployment's events carry a sequence
number; readers ignore what is older than what they have.
"""

import re
from enum import StrEnum

from pydantic import AwareDatetime, Field, JsonValue

from shared.contracts.answers import Failure
from shared.contracts.facts import Fact, fact_of
from shared.contracts.gates import Before, Verdict
from shared.contracts.places import ChangeRequest, EnvironmentKind
from shared.contracts.releases import DatabaseSpec, ReleaseKind
from shared.messages import NONE, Frozen, Message, Slug


class Stage(StrEnum):
    """The stages that people know."""

    AUTH = "Auth"
    BUILD = "Build"
    DEPLOY = "Deploy"
    RUN = "Run"


class Event(Message):
    """One fact, and where it belongs. `name` is the class of the fact in `data`."""

    name: str
    organization: Slug
    project: Slug | None = None
    environment: Slug | None = None
    sequence: int | None = Field(default=None, description="Within the deployment, from 1, without gaps")
    stage: Stage | None = None
    outcome: str | None = Field(
        default=None,
        description="started, done, failed, undone, … for a step; the final state for a deployment",
    )
    seconds: float | None = Field(default=None, description="How long the step's worker was at it")
    data: dict[str, JsonValue] = {}

    @classmethod
    def of(
        cls,
        fact: Fact,
        organization: Slug,
        project: Slug | None = None,
        environment: Slug | None = None,
        *,
        cause: str | None = None,
        deployment: str | None = None,
        step: str | None = None,
        sequence: int | None = None,
        stage: Stage | None = None,
        outcome: str | None = None,
    ) -> "Event":
        """Wraps a fact."""
        return cls(
            name=type(fact).__name__,
            data=fact.model_dump(mode="json"),
            organization=organization,
            project=project,
            environment=environment,
            cause=cause,
            deployment=deployment,
            step=step,
            sequence=sequence,
            stage=stage,
            outcome=outcome,
        )

    def fact(self) -> Fact:
        """The typed fact; raises `UnknownFact` where this reader does not know it."""
        return fact_of(self.name, self.data)

    @property
    def subject(self) -> str:
        """Where it is published. Events of gates end with the gate's name: its tool reads those that are for itself."""
        noun_participle = fact_name_parts(self.name)
        about = f".{self.data['gate']}" if noun_participle.startswith("gate.") else ""
        return f"slipway.evt.{self.organization}.{self.project or NONE}.{self.environment or NONE}.{noun_participle}{about}"

    @classmethod
    def has_type(cls, name: str) -> bool:
        """Whether it is an event of this version, of a known fact or not."""
        return name.endswith(f".v{cls.version}")

    def headers(self, source: str, *, message_id: str | None = None) -> dict[str, str]:
        """As `Message.headers`, with the fact's name as type."""
        return super().headers(source, message_id=message_id) | {"ce-type": f"slipway.{self.name}.v{self.version}"}


def fact_name_parts(name: str) -> str:
    """`ImageBuilt` → `image.built`."""
    noun, *rest = re.findall(r"[A-Z][a-z]+", name)
    return f"{noun.lower()}.{'_'.join(rest).lower()}"


# Changes


class ChangeTaken(Fact):
    """A change led to these deployments."""

    change: str
    deployments: tuple[str, ...]
    ref: str
    commit: str
    repository: str = Field(default="", description="Where somebody pushed; empty where it was no push")


class ChangeIgnored(Fact):
    """A change led to nothing, for this reason."""

    change: str
    reason: str
    ref: str
    commit: str


# The deployment's own


class DeploymentCreated(Fact):
    """A deployment exists."""

    kind: ReleaseKind
    environment_kind: EnvironmentKind
    target: Slug
    connection: Slug | None = None
    repository: str | None = None
    ref: str | None = None
    commit: str | None = None
    title: str = ""
    author: str = ""
    pusher: str | None = Field(default=None, description="Login on the forge, or person")
    change: str | None = None
    request: str | None = None
    web_url: str | None = None
    again: str | None = None
    change_request: ChangeRequest | None = Field(default=None, description="Whose preview the environment is; also where nobody pushed")


class BuildPlanned(Fact):
    """Which images are built, and which services keep what they run."""

    built: tuple[Slug, ...] = Field(description="Services whose image is built, or found where one with the same inputs was built before")
    unchanged: tuple[Slug, ...] = Field(
        default=(), description="Services whose release runs with the very same inputs: no step is for them"
    )


class StepPlanned(Frozen):
    """One step of a plan."""

    step: str
    title: str
    stage: Stage
    depends_on: tuple[str, ...] = ()


class DeploymentPlanned(Fact):
    """The steps that will run, in order, and what a person should know before."""

    steps: tuple[StepPlanned, ...]
    notes: tuple[str, ...] = Field(
        default=(),
        description="Where manifest and catalogue disagree; what has no way back",
    )


class DeploymentQueued(Fact):
    """Built, and waiting for the environment."""

    behind: str | None = None


class DeploymentStarted(Fact):
    """The environment is taken."""

    epoch: int
    former: dict[Slug, str] = Field(default={}, description="Service → release that it runs now")


class StepStarted(Fact):
    """A worker has taken the step."""

    attempt: int
    title: str
    worker: str = ""


class StepRetried(Fact):
    """Another attempt was sent."""

    attempt: int
    reason: str


class StepFailed(Fact):
    """Base of the failure events: what failed and why."""

    failure: Failure
    title: str = ""


class GateRequested(Fact):
    """An outside tool is asked, and the deployment waits for its answer."""

    gate: Slug
    before: Before = Field(description="What waits: build, deploy (anything on the target), switch (the traffic)")
    deadline: AwareDatetime
    default: Verdict = Field(description="What counts where nobody answers until then")
    kind: ReleaseKind
    environment_kind: EnvironmentKind
    repository: str | None = None
    ref: str | None = None
    commit: str | None = None
    title: str = ""
    author: str = ""
    pusher: str | None = None
    services: tuple[Slug, ...] = ()
    images: dict[Slug, str] = Field(default={}, description="Service → image by digest, of those that are built by now")


class GatePassed(Fact):
    """The answer was yes, or nobody answered and the gate's default is yes."""

    gate: Slug
    by: str = Field(default="", description="Who answered; empty where nobody did")
    reason: str = ""
    defaulted: bool = Field(default=False, description="Nobody answered in time")


class GateFailed(StepFailed):
    """The answer was no, or nobody answered and the gate's default is no."""

    gate: Slug
    by: str = Field(default="", description="Who answered; empty where nobody did")
    defaulted: bool = Field(default=False, description="Nobody answered in time")


class CompensationStarted(Fact):
    """The environment goes back to where it was."""

    epoch: int
    reason: str
    failure: Failure | None = None
    steps: tuple[str, ...] = Field(default=(), description="What will be undone, in order")


class UndoStarted(Fact):
    """A worker has taken the undo of a step."""

    attempt: int
    title: str


class CompensationFailed(Fact):
    """An undo failed for good."""

    failure: Failure
    title: str = ""


class DeploymentSucceeded(Fact):
    """The new release runs, and was seen from outside."""

    urls: tuple[str, ...] = ()
    releases: dict[Slug, str] = {}
    databases: dict[Slug, DatabaseSpec] | None = Field(default=None, description="None: written before events told of them")
    seconds: float = 0.0
    alerts: tuple[str, ...] = ()
    changed: bool = Field(default=True, description="False where the environment ran all of it already: there was nothing to do")


class DeploymentRolledBack(Fact):
    """The environment runs what it ran before."""

    reason: str
    failure: Failure | None = None
    failed_step: str = Field(default="", description="The step whose failure turned it back")
    seconds: float = 0.0
    kept: tuple[str, ...] = Field(
        default=(),
        description="What cannot come back: rows written, migrations without undo",
    )


class DeploymentFailed(Fact):
    """It failed before it touched anything."""

    reason: str
    failure: Failure | None = None
    seconds: float = 0.0


class DeploymentCancelled(Fact):
    """Somebody cancelled it."""

    by: str
    compensated: bool = False
    kept: tuple[str, ...] = ()
    seconds: float = 0.0


class DeploymentSuperseded(Fact):
    """A newer one took its place."""

    by: str | None = None
    reason: str = ""


class DeploymentStuck(Fact):
    """An undo keeps failing; the environment stays locked until a person retries or accepts."""

    step: str
    failure: Failure


class DeploymentUnstuck(Fact):
    """A person retried, or accepted it as it stands; or the undo has worked after all."""

    by: str = Field(description="Empty where nobody had to do anything")
    action: str


class RequestRefused(Fact):
    """A person's request could not be done."""

    request: str
    reason: str


# The catalogue's


class CatalogueChanged(Fact):
    """Something in the catalogue was made, changed or removed; ask api for what it is now. Never holds a value."""

    kind: str = Field(description="organization, project, environment, variable, secret, connection, channel, gate, target")
    name: str
    action: str = Field(description="created, updated, deleted")
    by: str = ""


class NotificationAttempted(Fact):
    """One attempt to tell somebody."""

    channel: str
    kind: str
    about: str = Field(description="Id of the event that it tells of")
    attempt: int
    delivered: bool
    status: int | None = None
    error: str = ""
    next_attempt_at: str | None = None


# The platform's own


class MessageRequestedAgain(Fact):
    """Somebody wants a channel to be told again: of one event, or of those in a range of time, from its beginning to before its end."""

    channel: str
    event: str | None = Field(default=None, description="Id of the event")
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    by: str


class MessageGivenUp(Fact):
    """A service gave a message up: a dead letter, which waits for a person (`slipway deadletters`)."""

    letter: int
    service: str
    reader: str = Field(default="", description="The durable consumer whose reader gave it up; empty where it was never sent")
    subject: str = Field(default="", description="Where the message came")
    reason: str = ""
