"""What the deployer needs of a target. Every method is idempotent by the claim's step key, and may be called again after any crash.

All raise `StepFailure` for what a user can mend, `LowerEpoch` where a newer deployment has the environment, and
`Unavailable` where the target does not answer for now.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from services.deployer.fence import Claim
from shared.contracts.commands import Command
from shared.contracts.examination import Difference
from shared.contracts.places import Place
from shared.contracts.releases import ContainerSpec, DatabaseSpec, JobSpec, Release, Sealed


class Journal(Protocol):
    """Where a step tells what it does (`shared.participant.Work`)."""

    def log(self, line: str) -> None:
        """One line for whoever follows the deployment."""

    def redact(self, values: Mapping[str, str]) -> None:
        """No line and no failure shows these values from here on."""


@dataclass(frozen=True)
class Deployed:
    """A release's container."""

    container: str
    already_running: bool


@dataclass(frozen=True)
class Provisioned:
    """A database that runs as asked."""

    version: str
    made: bool


@dataclass(frozen=True)
class Ran:
    """A job that ended with 0."""

    seconds: float
    log_tail: tuple[str, ...]


@dataclass(frozen=True)
class Issued:
    """A certificate that is in use."""

    fingerprint: str
    not_after: str


@dataclass(frozen=True)
class Reached:
    """An answer of the public address."""

    url: str
    status: int | None


class Admission(Protocol):
    """The fence."""

    async def admit(self, command: Command) -> Claim:
        """Remembers the command's epoch durably; raises `LowerEpoch`."""


class Databases(Protocol):
    """Database servers with volumes of their own."""

    async def provision(self, claim: Claim, spec: DatabaseSpec, journal: Journal) -> Provisioned:
        """Runs as asked; what has no way back (a shrink, a major change) is refused."""

    async def restore(self, claim: Claim, spec: DatabaseSpec, former: DatabaseSpec | None) -> str | None:
        """The former spec again; one that this deployment made is detached: the name of its volume."""

    async def connect(self, claim: Claim, spec: DatabaseSpec) -> str:
        """The environment's containers reach it by its name; the network."""

    async def check(self, claim: Claim, spec: DatabaseSpec, journal: Journal) -> str:
        """Answers queries in the asked major version; its full version."""

    async def detach(self, claim: Claim, former: DatabaseSpec) -> str | None:
        """Taken away, its volume kept for days; the volume's name."""


class Jobs(Protocol):
    """Commands that run once a deployment."""

    async def run(self, claim: Claim, job: JobSpec, secrets: Sealed, journal: Journal) -> Ran:
        """Runs it, or reads again how it ended."""

    async def undo(self, claim: Claim, job: JobSpec, secrets: Sealed, journal: Journal) -> bool:
        """Ends it, and runs its own `undo` where it has one and had started; whether that ran."""

    async def clear(self, claim: Claim) -> None:
        """Removes the jobs of the deployment."""


class Workloads(Protocol):
    """Services, a new release beside the former one."""

    async def deploy(self, claim: Claim, release: Release, secrets: Sealed) -> Deployed:
        """The candidate, started beside the live release (or made, where it starts in the switch)."""

    async def remove(self, claim: Claim, release: Release) -> bool:
        """Takes away what this deployment made; never what is live."""

    async def connect(self, claim: Claim, release: Release) -> str:
        """On the environment's network; its address."""


class Routes(Protocol):
    """Traffic: who takes it."""

    async def expose(self, claim: Claim, release: Release, secrets: Sealed) -> None:
        """A private route to the candidate, effective when this returns."""

    async def hide(self, claim: Claim, release: Release) -> None:
        """No private route to a candidate of this deployment."""

    async def switch(self, claim: Claim, release: Release, secrets: Sealed, journal: Journal) -> None:
        """The release is live, effective when this returns; nothing of the former one is lost."""

    async def switch_back(self, claim: Claim, release: Release, former: Release | None, secrets: Sealed) -> None:
        """The former release is live again, made anew where it is gone."""

    async def retire(self, claim: Claim, release: Release) -> None:
        """The former release is stopped and removed after its grace period."""

    async def remove(self, claim: Claim, former: Release) -> None:
        """Route and containers of a service are gone."""


class Domains(Protocol):
    """Names, each of one service."""

    async def assign(self, claim: Claim, release: Release) -> None:
        """All names of the release are its service's; raises `StepFailure` where one is another's."""

    async def give_back(self, claim: Claim, service: str) -> None:
        """Names that this step claimed are free again."""

    async def keep_only(self, claim: Claim, service: str, hosts: tuple[str, ...]) -> None:
        """Names of the service that are not among these are free again."""


class Certificates(Protocol):
    """One certificate for the names of a release."""

    async def issue(self, claim: Claim, release: Release) -> Issued | None:
        """A valid one is in use, made anew where it is missing or near its end; None for a release without names."""

    async def withdraw(self, claim: Claim, service: str) -> None:
        """The one for the candidate is gone; the live one is as it was."""


class Checks(Protocol):
    """Looks at a release from outside."""

    async def candidate(self, claim: Claim, release: Release, journal: Journal) -> None:
        """Ready by its own check, and reached on the private route through load balancer and TLS."""

    async def endpoint(self, claim: Claim, release: Release, journal: Journal) -> Reached:
        """The public address answers from this release."""


class Sweep(Protocol):
    """What a compensated epoch may have left."""

    async def begin(self, claim: Claim) -> None:
        """Remembers durably that the step is being undone."""

    async def run(self, claim: Claim) -> None:
        """Removes all that undone steps of the environment left, requests that landed late among it."""


class Upkeep(Protocol):
    """Record against target, when a person asks (`slipway doctor`)."""

    async def places(self) -> list[Place]:
        """Every environment that is recorded, or that something on the target says it belongs to."""

    async def examine(self, place: Place | None) -> list[Difference]:
        """What differs in an environment, or (None) belongs to none. Changes nothing."""

    async def mend(self, place: Place | None) -> list[str]:
        """Sets right what can be, without disturbing a deployment; what was done, in words."""

    def releases(self, place: Place) -> dict[str, str]:
        """Service → release that is live."""

    def databases(self, place: Place) -> dict[str, DatabaseSpec]:
        """What each is recorded to be."""


class Target(Protocol):
    """All of it."""

    @property
    def fence(self) -> Admission: ...  # noqa: D102
    @property
    def databases(self) -> Databases: ...  # noqa: D102
    @property
    def jobs(self) -> Jobs: ...  # noqa: D102
    @property
    def workloads(self) -> Workloads: ...  # noqa: D102
    @property
    def routes(self) -> Routes: ...  # noqa: D102
    @property
    def domains(self) -> Domains: ...  # noqa: D102
    @property
    def certificates(self) -> Certificates: ...  # noqa: D102
    @property
    def checks(self) -> Checks: ...  # noqa: D102
    @property
    def sweep(self) -> Sweep: ...  # noqa: D102
    def secret_values(self, sealed: Sealed, place: Place, container: ContainerSpec) -> Mapping[str, str]:
        """What a container gets that nobody may read in a log: the sealed values, and its databases' passwords."""
        ...
