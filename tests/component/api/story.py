"""A deployment's events as the coordinator publishes them, for tests of who reads them."""

from dataclasses import dataclass, field

from shared.contracts import events as e
from shared.contracts import facts as f
from shared.contracts.answers import Failure
from shared.contracts.events import Event, Stage
from shared.contracts.facts import Fact
from shared.contracts.manifest import Manifest
from shared.contracts.places import EnvironmentKind
from shared.contracts.releases import DatabaseSpec, ReleaseKind
from shared.contracts.steps import CandidateFailed
from shared.messages import new_id

COMMIT = "4d2c9a1f" * 5
FAILURE = Failure(
    code="candidate_unhealthy",
    message="web answered 500 on /health\nSee the last lines of its log.",
    log_tail=("listening on 3000", "Error: relation “todos” does not exist"),
)


@dataclass
class Story:
    """Tells events with sequence numbers and causes: each caused by the one before."""

    deployment: str = field(default_factory=new_id)
    environment: str = "production"
    project: str = "todo"
    commit: str = COMMIT
    kind: EnvironmentKind = EnvironmentKind.PRODUCTION
    databases: dict[str, DatabaseSpec] | None = None
    events: list[Event] = field(default_factory=list)

    def tell(
        self, fact: Fact, step: str | None = None, stage: Stage | None = None, outcome: str | None = None, cause: str | None = None
    ) -> Event:
        """The next event."""
        event = Event.of(
            fact,
            "main",
            self.project,
            self.environment,
            cause=cause or (self.events[-1].id if self.events else None),
            deployment=self.deployment,
            step=step,
            sequence=len(self.events) + 1,
            stage=stage,
            outcome=outcome,
        )
        self.events.append(event)
        return event

    def created(self, request: str | None = None, kind: ReleaseKind = ReleaseKind.DEPLOY) -> None:
        """It exists."""
        self.tell(
            e.DeploymentCreated(
                kind=kind,
                environment_kind=self.kind,
                target="local",
                connection="slipway",
                repository="slipway/main/todo",
                ref="refs/heads/main",
                commit=self.commit,
                title="Sort by <b>date</b> ✓",
                author="Zoë",
                pusher="zoe",
                request=request,
            )
        )

    def until_the_check(self) -> None:
        """Authorised, inspected, built, queued, started, planned, deployed; the check has started."""
        self._step("authorise", "check permissions", Stage.AUTH, f.DeploymentAuthorized(rule="admin on organization main may deploy"))
        inspected = f.SourceInspected(manifest=Manifest(), trees={"web": "t"}, title="Sort", author="Zoë")
        self._step("inspect", "inspect source", Stage.BUILD, inspected)
        self._step("build-web", "build image web", Stage.BUILD, f.ImageBuilt(service="web", image="r@sha256:1", size_bytes=42_000_000))
        self.tell(e.DeploymentQueued())
        self.tell(e.DeploymentStarted(epoch=3))
        planned = (
            e.StepPlanned(step="deploy-container-web", title="deploy container web", stage=Stage.DEPLOY),
            e.StepPlanned(
                step="check-container-web", title="check container web", stage=Stage.DEPLOY, depends_on=("deploy-container-web",)
            ),
            e.StepPlanned(step="switch-web", title="switch traffic web", stage=Stage.DEPLOY, depends_on=("check-container-web",)),
        )
        self.tell(e.DeploymentPlanned(steps=planned, notes=("the manifest's memory stands",)))
        deployed = f.ContainerDeployed(service="web", container="c1")
        self._step("deploy-container-web", "deploy container web", Stage.DEPLOY, deployed)
        self.tell(e.StepStarted(attempt=1, title="check container web", worker="host:1"), "check-container-web", Stage.DEPLOY, "started")

    def succeeds(self) -> None:
        """The check passes, traffic switches."""
        self.tell(f.CandidateHealthy(service="web", seconds=0.4), "check-container-web", Stage.DEPLOY, "done")
        self._step("switch-web", "switch traffic web", Stage.DEPLOY, f.TrafficSwitched(service="web"))
        url = "https://web.production.todo.main.localhost:8443"
        ended = e.DeploymentSucceeded(urls=(url,), releases={"web": "r1"}, databases=self.databases, seconds=4.2)
        self.tell(ended, outcome="succeeded")

    def rolls_back(self) -> None:
        """The check fails twice; the container is removed."""
        self.tell(e.StepRetried(attempt=2, reason="no answer"), "check-container-web", Stage.DEPLOY, "retried")
        self.tell(CandidateFailed(failure=FAILURE, title="check container web"), "check-container-web", Stage.DEPLOY, "failed")
        self.tell(e.CompensationStarted(epoch=4, reason="check container web failed", failure=FAILURE, steps=("deploy-container-web",)))
        self.tell(e.UndoStarted(attempt=1, title="deploy container web"), "deploy-container-web", Stage.DEPLOY, "undoing")
        self.tell(f.ContainerRemoved(service="web"), "deploy-container-web", Stage.DEPLOY, "undone")
        ended = e.DeploymentRolledBack(reason="check container web failed", failure=FAILURE, seconds=9.0, kept=("rows stay",))
        self.tell(ended, outcome="rolled_back")

    def _step(self, step: str, title: str, stage: Stage, fact: Fact) -> None:
        self.tell(e.StepStarted(attempt=1, title=title, worker="host:1"), step, stage, "started")
        self.tell(fact, step, stage, "done")


def successful(
    request: str | None = None, kind: ReleaseKind = ReleaseKind.DEPLOY, databases: dict[str, DatabaseSpec] | None = None
) -> Story:
    """A deployment that succeeded."""
    story = Story(databases=databases)
    story.created(request, kind)
    story.until_the_check()
    story.succeeds()
    return story


def rolled_back() -> Story:
    """A deployment whose check failed."""
    story = Story()
    story.created()
    story.until_the_check()
    story.rolls_back()
    return story
