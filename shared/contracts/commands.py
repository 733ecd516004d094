"""Commands: what the coordinator asks of auth, builder and deployer. One class a step, the same for doing and undoing.

Subject: `slipway.cmd.<target>.<participant>.<pool>.<step key>.<direction>.<attempt>`; its last three
parts are the message id. Effects are idempotent by step key. An undo carries the former
record and means "make it so again".
"""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from shared.contracts.changes import Pusher
from shared.contracts.manifest import BuildSpec
from shared.contracts.places import EnvironmentKind, Place
from shared.contracts.releases import DatabaseSpec, JobSpec, Release, Sealed
from shared.messages import Frozen, Message, Slug

OWN_CONNECTION = "slipway"
"""The connection of Slipway's own git remote: every project has it, and none is made for it."""


class Direction(StrEnum):
    """Whether a step is done or undone."""

    DO = "do"
    UNDO = "undo"


class Command(Message):
    """One attempt at one step. `deployment` and `step` are always set."""

    place: Place
    target: Slug
    direction: Direction = Direction.DO
    attempt: int = 1
    epoch: int | None = Field(default=None, description="None before the environment is taken")
    timeout_s: float = Field(description="The step's time from `accepted`; the participant gives up by then")

    @property
    def step_key(self) -> str:
        """What effects are idempotent by: deployment and step, safe in a subject and a label."""
        return f"{self.deployment}-{self.step}"

    @property
    def attempt_id(self) -> str:
        """The message id: a second command with it is refused while the first is queued or at work."""
        return f"{self.step_key}.{self.direction}.{self.attempt}"


class Source(Frozen):
    """A commit and where to get it."""

    connection: Slug
    repository: str
    clone_url: str
    ref: str
    commit: str
    username: str | None = Field(default=None, description="Without one the password is a token that goes as Bearer")
    password: str | None = Field(default=None, description="Sealed to the target's key; over SSH a private key")
    known_hosts: str | None = Field(default=None, description="The keys by which the host is known over SSH, as in a file of known hosts")
    valid_until: datetime | None = Field(default=None, description="When the credential ends; without it, it does not")

    @property
    def is_own(self) -> bool:
        """Of Slipway's own git remote, whose connection nobody else can make: it is where the installation says."""
        return self.connection == OWN_CONNECTION


class AuthorizeDeployment(Command):
    """May the pusher (or the person who asked) deploy this commit to this environment?"""

    kind: EnvironmentKind
    pusher: Pusher | None = None
    subject: str | None = Field(default=None, description="The person who asked, where it was no push")
    ref: str
    commit: str
    needs_approval: bool = Field(default=False, description="The environment's policy: somebody who may approve there lets it go on")
    fork: bool = Field(default=False, description="A fork's commit: whoever pushed it, somebody who may deploy there has to approve")


class InspectSource(Command):
    """Read the manifest and the trees of the watched paths at the commit, and the ref's head."""

    source: Source
    newest: str | None = Field(
        default=None,
        description="Newest authorised commit: is this one a strict ancestor of it?",
    )


class BuildImage(Command):
    """Build one service's image and export it to the registry. Nothing is built where an image with `key` is there."""

    source: Source
    service: Slug
    build: BuildSpec
    key: str
    fresh: bool = Field(default=False, description="Without what was built before, and with base images as their registries have them now")
    secrets: Sealed = Sealed()
    memory_bytes: int | None = None
    fork: bool = Field(default=False, description="Of a fork's change request: it shares cache mounts with no other environment")


class PushImage(Command):
    """Make the image present where the target pulls from: tagged with the key, retained."""

    service: Slug
    image: str = Field(description="By digest, as built; or a ready image by name")
    key: str


class ProvisionDatabase(Command):
    """Bring a database to its spec. Undone: the former spec; one that this deployment made is detached, its volume kept."""

    database: DatabaseSpec
    former: DatabaseSpec | None = None


class ConnectDatabase(Command):
    """Put a database on the environment's network."""

    database: DatabaseSpec
    former: DatabaseSpec | None = None


class CheckDatabase(Command):
    """See that a database answers queries with the derived password, in the asked version."""

    database: DatabaseSpec


class RunJob(Command):
    """Run a job once; its container stays with its exit code under the step key until the deployment has ended."""

    job: JobSpec
    secrets: Sealed = Sealed()


class ServiceCommand(Command):
    """A step on one service: the release that shall run, and the one that ran before."""

    release: Release
    secrets: Sealed = Sealed()
    former: Release | None = None
    former_secrets: Sealed = Sealed()


class DeployContainer(ServiceCommand):
    """Start the release beside the former one (`recreate`: made, and started in the switch). Undone: removed."""


class ConnectContainer(ServiceCommand):
    """Put the candidate on the networks that it needs."""


class ExposeCandidate(ServiceCommand):
    """A private route to the candidate: same host, a random header, higher priority."""


class AssignDomain(ServiceCommand):
    """Claim the release's hosts for this service; new records are served by the authoritative servers."""


class IssueCertificate(ServiceCommand):
    """A valid certificate for every host."""


class CheckCandidate(ServiceCommand):
    """Ready by its health check, and reachable on the private route through load balancer and TLS."""


class SwitchTraffic(ServiceCommand):
    """The release takes the traffic, seen in the load balancer. Undone: the former one takes it again."""


class CheckEndpoint(ServiceCommand):
    """The public address answers from the new release."""


class RetireRelease(ServiceCommand):
    """Stop and remove the former release after its grace period, and what the deployment left (job containers)."""


class RemoveService(Command):
    """Take away a service that the environment no longer has: route, container, certificate. After the pivot only."""

    former: Release


class RemoveDatabase(Command):
    """Detach a database that the environment no longer has: the container goes, the volume stays for days. After the pivot only."""

    former: DatabaseSpec
