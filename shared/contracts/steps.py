"""The table of steps: who does each, by which command, what is true afterwards, and what is true when it is undone."""

from dataclasses import dataclass
from enum import StrEnum

from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.contracts.events import GateFailed, GatePassed, Stage, StepFailed


class Pool(StrEnum):
    """Workers of their own, so that an undo never queues behind a wait."""

    BUILDS = "builds"
    EFFECTS = "effects"
    WAITS = "waits"
    UNDOS = "undos"


class AuthorizationFailed(StepFailed):
    """Permissions could not be checked."""


class InspectionFailed(StepFailed):
    """The source could not be read, or its manifest is wrong."""


class BuildFailed(StepFailed):
    """The image could not be built."""


class ImageFailed(StepFailed):
    """The image is not where the target pulls from."""


class DatabaseFailed(StepFailed):
    """The database is not as asked."""


class JobFailed(StepFailed):
    """The job ended with an error."""


class ContainerFailed(StepFailed):
    """The container could not be started or connected."""


class RouteFailed(StepFailed):
    """The private route could not be made."""


class DomainFailed(StepFailed):
    """The names could not be claimed."""


class CertificateFailed(StepFailed):
    """There is no valid certificate."""


class CandidateFailed(StepFailed):
    """The candidate did not become healthy."""


class SwitchFailed(StepFailed):
    """Traffic did not move."""


class EndpointFailed(StepFailed):
    """The public address does not answer from the new release."""


class RetirementFailed(StepFailed):
    """A leftover could not be removed."""


@dataclass(frozen=True)
class StepKind:
    """One row: a step's name, what people call it, who does it, and what becomes of it. A gate has no command: an event asks."""

    name: str
    title: str
    stage: Stage
    participant: str
    pool: Pool
    command: type[c.Command] | None
    done: tuple[type[f.Fact], ...]
    failed: type[StepFailed]
    undone: type[f.Fact] | None
    timeout_s: float
    attempts: int = 3


_A, _B, _D, _R = Stage.AUTH, Stage.BUILD, Stage.DEPLOY, Stage.RUN
_BUILDS, _EFFECTS, _WAITS = Pool.BUILDS, Pool.EFFECTS, Pool.WAITS

AUTHORISE = StepKind(
    "authorise", "check permissions", _A, "auth", _EFFECTS, c.AuthorizeDeployment,
    (f.DeploymentAuthorized, f.ApprovalRequested, f.DeploymentDenied), AuthorizationFailed, None, 30,
)  # fmt: skip
INSPECT = StepKind(
    "inspect",
    "inspect source",
    _B,
    "builder",
    _EFFECTS,
    c.InspectSource,
    (f.SourceInspected,),
    InspectionFailed,
    None,
    300,
)
BUILD = StepKind(
    "build",
    "build image",
    _B,
    "builder",
    _BUILDS,
    c.BuildImage,
    (f.ImageBuilt,),
    BuildFailed,
    None,
    1800,
    2,
)
PUSH = StepKind(
    "push",
    "push image",
    _B,
    "builder",
    _EFFECTS,
    c.PushImage,
    (f.ImagePushed,),
    ImageFailed,
    None,
    600,
)
PROVISION_DATABASE = StepKind(
    "provision-database", "provision database", _D, "deployer", _WAITS, c.ProvisionDatabase,
    (f.DatabaseProvisioned,), DatabaseFailed, f.DatabaseRestored, 180,
)  # fmt: skip
CONNECT_DATABASE = StepKind(
    "connect-database", "database network", _D, "deployer", _EFFECTS, c.ConnectDatabase,
    (f.DatabaseConnected,), DatabaseFailed, f.DatabaseDisconnected, 60,
)  # fmt: skip
CHECK_DATABASE = StepKind(
    "check-database", "check database", _D, "deployer", _WAITS, c.CheckDatabase, (f.DatabaseHealthy,), DatabaseFailed, None, 120,
)  # fmt: skip
RUN_JOB = StepKind(
    "run-job",
    "run job",
    _D,
    "deployer",
    _WAITS,
    c.RunJob,
    (f.JobSucceeded,),
    JobFailed,
    f.JobUndone,
    3600,
    2,
)
DEPLOY_CONTAINER = StepKind(
    "deploy-container", "deploy container", _D, "deployer", _EFFECTS, c.DeployContainer,
    (f.ContainerDeployed,), ContainerFailed, f.ContainerRemoved, 300,
)  # fmt: skip
CONNECT_CONTAINER = StepKind(
    "connect-container", "container network", _D, "deployer", _EFFECTS, c.ConnectContainer,
    (f.ContainerConnected,), ContainerFailed, f.NetworkRestored, 60,
)  # fmt: skip
EXPOSE = StepKind(
    "expose", "load balancer", _D, "deployer", _EFFECTS, c.ExposeCandidate, (f.CandidateExposed,), RouteFailed, f.RouteRemoved, 60,
)  # fmt: skip
ASSIGN_DOMAIN = StepKind(
    "assign-domain", "DNS", _D, "deployer", _EFFECTS, c.AssignDomain, (f.DomainAssigned,), DomainFailed, f.DomainRestored, 120,
)  # fmt: skip
ISSUE_CERTIFICATE = StepKind(
    "issue-certificate", "TLS", _D, "deployer", _EFFECTS, c.IssueCertificate,
    (f.CertificateIssued,), CertificateFailed, f.CertificateRestored, 300,
)  # fmt: skip
CHECK_CONTAINER = StepKind(
    "check-container", "check container", _D, "deployer", _WAITS, c.CheckCandidate, (f.CandidateHealthy,), CandidateFailed, None, 600, 2,
)  # fmt: skip
SWITCH = StepKind(
    "switch", "switch traffic", _D, "deployer", _EFFECTS, c.SwitchTraffic, (f.TrafficSwitched,), SwitchFailed, f.TrafficRestored, 120,
)  # fmt: skip
CHECK_ENDPOINT = StepKind(
    "check-endpoint", "check endpoint", _D, "deployer", _WAITS, c.CheckEndpoint, (f.EndpointHealthy,), EndpointFailed, None, 120, 2,
)  # fmt: skip
RETIRE = StepKind(
    "retire", "retire the former release", _R, "deployer", _WAITS, c.RetireRelease, (f.ReleaseRetired,), RetirementFailed, None, 120, 5,
)  # fmt: skip
REMOVE_SERVICE = StepKind(
    "remove-service", "remove service", _R, "deployer", _WAITS, c.RemoveService, (f.ServiceRemoved,), RetirementFailed, None, 120, 5,
)  # fmt: skip
REMOVE_DATABASE = StepKind(
    "remove-database", "detach database", _R, "deployer", _WAITS, c.RemoveDatabase, (f.DatabaseDetached,), RetirementFailed, None, 120, 5,
)  # fmt: skip
GATE = StepKind("gate", "gate", _D, "", _WAITS, None, (GatePassed,), GateFailed, None, 0, 1)

STEP_KINDS: dict[str, StepKind] = {
    kind.name: kind
    for kind in (
        AUTHORISE, INSPECT, BUILD, PUSH, PROVISION_DATABASE, CONNECT_DATABASE, CHECK_DATABASE, RUN_JOB, DEPLOY_CONTAINER,
        CONNECT_CONTAINER, EXPOSE, ASSIGN_DOMAIN, ISSUE_CERTIFICATE, CHECK_CONTAINER, SWITCH, CHECK_ENDPOINT, RETIRE,
        REMOVE_SERVICE, REMOVE_DATABASE, GATE,
    )
}  # fmt: skip

KIND_OF: dict[type[c.Command], StepKind] = {kind.command: kind for kind in STEP_KINDS.values() if kind.command is not None}
"""The row of each command."""
COMMANDS: dict[str, type[c.Command]] = {command.type_name(): command for command in KIND_OF}
"""Command classes by their type on the wire."""


def pool_of(kind: StepKind, direction: c.Direction) -> Pool:
    """Where the command of a step queues."""
    return Pool.UNDOS if direction is c.Direction.UNDO else kind.pool


def pools_of(participant: str) -> tuple[Pool, ...]:
    """The pools that a participant has workers for."""
    kinds = [kind for kind in STEP_KINDS.values() if kind.participant == participant]
    pools = {kind.pool for kind in kinds}
    if any(kind.undone for kind in kinds):
        pools.add(Pool.UNDOS)
    return tuple(sorted(pools))


def command_subject(command: c.Command, kind: StepKind) -> str:
    """Where a command is published; its last three parts are its message id."""
    target = "_" if kind.participant == "auth" else command.target
    return f"slipway.cmd.{target}.{kind.participant}.{pool_of(kind, command.direction)}.{command.attempt_id}"


def title_of(step: str) -> str:
    """What people call a step of a deployment: `build-web` → `build image web`; its name where no row has it."""
    found = max((name for name in STEP_KINDS if step == name or step.startswith(f"{name}-")), key=len, default=None)
    return step if found is None else f"{STEP_KINDS[found].title} {step.removeprefix(found).strip('-')}".strip()
