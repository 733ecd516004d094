"""A deployment in memory: commands that the engine sends are answered by a script, events are collected."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.coordinator import inputs as i
from services.coordinator.engine import advance
from services.coordinator.plan import plan_builds, plan_deployment
from services.coordinator.saga import DeploymentState, Limits, Origin, Saga, Want
from services.coordinator.snapshot import Record, Snapshot
from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.contracts.answers import Answer, Failure, Outcome, answer
from shared.contracts.commands import Command, Direction, Source
from shared.contracts.events import Event
from shared.contracts.manifest import DatabaseManifest, JobManifest, Manifest, ServiceManifest
from shared.contracts.places import EnvironmentKind, Place
from shared.contracts.releases import ReleaseKind
from shared.contracts.steps import KIND_OF

START = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = Place(organization="main", project="todo", environment="production")
SOURCE = Source(connection="todo", repository="slipway/main/todo", clone_url="http://x", ref="refs/heads/main", commit="a" * 40)
TODO = Manifest(
    services={"web": ServiceManifest(port=3000, databases=("db",))},
    databases={"db": DatabaseManifest()},
    jobs={"migrate": JobManifest(service="web", command=("node", "migrate.js"))},
)


def origin(**more: object) -> Origin:
    """A push to production."""
    given = {
        "place": PLACE, "environment_kind": EnvironmentKind.PRODUCTION, "target": "local", "kind": ReleaseKind.DEPLOY,
        "arrival": 1, "connection": "todo", "source": SOURCE, "change": "change-1",
    } | more  # fmt: skip
    return Origin(**given)  # type: ignore[arg-type]


def fact_for(command: Command, manifest: Manifest, trees: Mapping[str, str] | None = None) -> f.Fact:  # noqa: PLR0911 -- one line a command
    """What is true after a command that worked. Services whose tree is not given change with each commit."""
    match command:
        case c.AuthorizeDeployment():
            return f.DeploymentAuthorized(person="ada", rule="admin on organization main")
        case c.InspectSource():
            return f.SourceInspected(manifest=manifest, trees={**dict.fromkeys(manifest.services, command.source.commit), **(trees or {})})
        case c.BuildImage() | c.PushImage():
            fact = f.ImageBuilt if isinstance(command, c.BuildImage) else f.ImagePushed
            return fact(service=command.service, image=f"registry/{command.service}@sha256:{'1' * 64}")
        case c.ProvisionDatabase():
            return f.DatabaseProvisioned(database=command.database.name, version="18", made=command.former is None)
        case c.ConnectDatabase():
            return f.DatabaseConnected(database=command.database.name, network="net")
        case c.CheckDatabase():
            return f.DatabaseHealthy(database=command.database.name, version="18")
        case c.RunJob():
            return f.JobSucceeded(job=command.job.name, seconds=0.1)
        case c.RemoveService():
            return f.ServiceRemoved(service=command.former.service)
        case c.RemoveDatabase():
            return f.DatabaseDetached(database=command.former.name)
        case c.ServiceCommand():
            return _service_fact(command)
        case _:
            raise AssertionError(command)


def _service_fact(command: c.ServiceCommand) -> f.Fact:
    name = command.release.service
    facts: dict[type[c.ServiceCommand], f.Fact] = {
        c.DeployContainer: f.ContainerDeployed(service=name, container="c"),
        c.ConnectContainer: f.ContainerConnected(service=name, address="10.0.0.2"),
        c.ExposeCandidate: f.CandidateExposed(service=name, hosts=command.release.hosts),
        c.AssignDomain: f.DomainAssigned(service=name, hosts=command.release.hosts),
        c.IssueCertificate: f.CertificateIssued(service=name),
        c.CheckCandidate: f.CandidateHealthy(service=name, seconds=0.1),
        c.SwitchTraffic: f.TrafficSwitched(service=name),
        c.CheckEndpoint: f.EndpointHealthy(service=name, url="https://x"),
        c.RetireRelease: f.ReleaseRetired(service=name),
    }
    return facts[type(command)]


def undone_for(command: Command) -> f.Fact:
    """What is true after an undo that worked."""
    undone = KIND_OF[type(command)].undone
    assert undone is not None
    filled: dict[str, object] = {"service": "x", "database": "x", "job": "x", "ran_undo": False}
    return undone.model_validate({name: value for name, value in filled.items() if name in undone.model_fields})


Script = Callable[[Command], Failure | str | None]
"""What a participant makes of a command: None works, a Failure fails, "silence" never answers."""


@dataclass
class Scenario:
    """One deployment and its world."""

    manifest: Manifest = TODO
    trees: dict[str, str] = field(default_factory=dict)
    record: Record = field(default_factory=Record)
    goal: Record | None = None
    """What a roll-back returns to, where that is not what runs."""
    snapshot: Snapshot = field(default_factory=Snapshot)
    script: Script = lambda _command: None
    limits: Limits = field(default_factory=Limits)
    origin: Origin = field(default_factory=origin)
    now: datetime = START
    events: list[Event] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    cancels: list[i.CancelWork] = field(default_factory=list)
    _queue: list[Command] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.saga = Saga(id="d1", origin=self.origin, state=DeploymentState.AUTHORIZING, created_at=self.now)

    def feed(self, message: i.Input) -> None:
        """One input."""
        before = repr(self.saga)
        after, outputs = advance(self.saga, message, self.now, self.limits)
        assert repr(self.saga) == before, "advance changed what it was given"
        self.saga = after
        for output in outputs:
            if isinstance(output, Command):
                self.commands.append(output)
                self._queue.append(output)
            elif isinstance(output, Event):
                self.events.append(output)
            elif isinstance(output, i.CancelWork):
                self.cancels.append(output)

    def run(self, until: Callable[["Scenario"], bool] = lambda _scenario: False) -> "Scenario":
        """Runs until nothing is left to do, firing timers; or until the condition holds."""
        if not self.events:
            self.feed(i.Begin(cause="change-1"))
        for _ in range(2000):
            if self.saga.state.final or until(self):
                return self
            if not self._step():
                return self
        raise AssertionError(f"still {self.saga.state} after 2000 steps")

    def _step(self) -> bool:
        if self._queue:
            self.respond(self._queue.pop(0))
            return True
        if self.saga.wants is not None:
            self.feed(self._wanted(self.saga.wants))
            return True
        wake = self.saga.wake_at(self.limits.silence)
        if wake is None:
            return False
        self.now = max(self.now, wake) + timedelta(milliseconds=1)
        self.feed(i.Tick(connected_since=START - timedelta(days=1)))
        return True

    def _wanted(self, want: Want) -> i.Input:
        if want is Want.BUILDS:
            return plan_builds(self.saga, self.snapshot, self.record)
        if want is Want.ENVIRONMENT:
            return i.EnvironmentTaken(epoch=7)
        return plan_deployment(self.saga, self.snapshot, self.record, self.goal or self.record)

    def respond(self, command: Command) -> None:
        """Accepts a command and answers it as the script says."""
        said = self.script(command)
        if said == "silence":
            return
        self.feed(self.answer(command, Outcome.ACCEPTED))
        if isinstance(said, Failure):
            self.feed(self.answer(command, Outcome.FAILED, failure=said))
        elif said != "hangs":
            fact = undone_for(command) if command.direction is Direction.UNDO else fact_for(command, self.manifest, self.trees)
            self.feed(self.answer(command, Outcome.DONE, fact=fact))

    def answer(self, command: Command, outcome: Outcome, *, fact: f.Fact | None = None, failure: Failure | None = None) -> Answer:
        """An answer as its participant gives it."""
        participant = KIND_OF[type(command)].participant
        return answer(command, participant, outcome, fact=fact, failure=failure)

    def names(self, direction: Direction = Direction.DO) -> list[str]:
        """The steps whose commands were sent, in order."""
        return [str(command.step) for command in self.commands if command.direction is direction]

    def happened(self) -> list[str]:
        """The names of the events."""
        return [event.name for event in self.events]


def fails(step: str, *, may_pass: bool = False, direction: Direction = Direction.DO, code: str = "broken") -> Script:
    """A script in which one step fails."""

    def script(command: Command) -> Failure | None:
        if command.step == step and command.direction is direction:
            return Failure(code=code, message=f"{step} is broken", may_pass=may_pass)
        return None

    return script
