"""The story of project todo of organization main, in which every event happens: the document's examples are its events.

It is pushed, deployed and broken in every way there is, so that each example is what a reader would have seen on that day.
"""

from datetime import timedelta
from hashlib import sha256

from docs.telling import START, At, Telling
from shared.contracts import events as e
from shared.contracts import facts as f
from shared.contracts import steps as s
from shared.contracts.answers import Failure
from shared.contracts.events import Event, Stage
from shared.contracts.gates import Before
from shared.contracts.manifest import BuildSpec, DatabaseManifest, HealthCheck, JobManifest, Manifest, ServiceManifest
from shared.contracts.places import ChangeRequest, EnvironmentKind
from shared.contracts.releases import ReleaseKind

_BEFORE, _FIRST, _SECOND = "71d0e5b9c8" * 4, "3f2a91c0d4" * 4, "8c61f7ab02" * 4
_FORMER = "01kb3vq8r00000000000000000"
"""The deployment that production runs when the day begins."""
_REPOSITORY, _REF = "github.com/acme/todo", "refs/heads/main"
_HOST = "web.production.todo.main.localhost"
_URL = f"https://{_HOST}:8443"
_RULE = "deployer on project main/todo may deploy"
_WORKER = "build-1:4711"
_MANIFEST = Manifest(
    services={
        "web": ServiceManifest(build=BuildSpec(), port=3000, health=HealthCheck(http="/healthz"), databases=("db",)),
        "docs": ServiceManifest(path="docs", build=BuildSpec(context="docs", dockerfile="docs/Dockerfile"), port=8000),
    },
    databases={"db": DatabaseManifest(version="18")},
    jobs={"migrate": JobManifest(service="web", command=("bin/migrate",), undo=("bin/migrate", "--down"))},
)


def _image(commit: str, service: str = "web") -> str:
    return f"127.0.0.1:5000/main/todo/{service}@sha256:{sha256(commit.encode()).hexdigest()}"


def _failure(code: str, message: str, *log_tail: str) -> Failure:
    return Failure(code=code, message=message, log_tail=log_tail)


_UNHEALTHY = _failure("candidate_unhealthy", "web answers 500 on /healthz", "listening on 3000", "Error: relation “due” does not exist")
_UNREACHED = _failure("endpoint_unhealthy", f"{_URL} does not answer from the new release: 502")


def _created(commit: str | None, title: str, /, kind: object = ReleaseKind.DEPLOY, **more: object) -> e.DeploymentCreated:
    pushed = {"connection": "todo", "repository": _REPOSITORY, "ref": _REF, "author": "Ada Lovelace", "pusher": "ada"} if commit else {}
    said = {"kind": kind, "environment_kind": EnvironmentKind.PRODUCTION, "target": "local", "commit": commit, "title": title}
    return e.DeploymentCreated.model_validate(said | pushed | more)


def _started(step: str, attempt: int = 1) -> At:
    return At(step, e.StepStarted(attempt=attempt, title=s.title_of(step), worker=_WORKER))


def _undo(step: str, fact: f.Fact) -> tuple[At, At]:
    return At(step, e.UndoStarted(attempt=1, title=s.title_of(step))), At(step, fact, "undone")


def _planned(*steps: str) -> e.DeploymentPlanned:
    order = [
        e.StepPlanned(step=step, title=s.title_of(step), stage=Stage.DEPLOY, depends_on=steps[max(at - 1, 0) : at])
        for at, step in enumerate(steps)
    ]
    return e.DeploymentPlanned(steps=tuple(order), notes=("service docs: unchanged, keeps release 3 (1f0c33aa)",))


def _question(commit: str, before: Before = Before.DEPLOY) -> e.GateRequested:
    return e.GateRequested(
        gate="scanner", before=before, deadline=START + timedelta(minutes=10), default="fail", kind=ReleaseKind.DEPLOY,
        environment_kind=EnvironmentKind.PRODUCTION, repository=_REPOSITORY, ref=_REF, commit=commit, title="Add a due date",
        author="Ada Lovelace", pusher="ada", services=("web",), images={"web": _image(commit)},
    )  # fmt: skip


def _passed() -> e.GatePassed:
    """The scanner says yes."""
    return e.GatePassed(gate="scanner", by="gate scanner", reason="no known vulnerabilities; https://scanner.example/r/17")


_AUTHORISED = f.DeploymentAuthorized(person="01kb3vq8r00000000000000042", rule=_RULE)
_INSPECTED = f.SourceInspected(
    manifest=_MANIFEST, trees={"web": "5e" * 20, "docs": "c4" * 20}, head=_FIRST, title="Add a due date", author="Ada Lovelace"
)


def _built(commit: str) -> tuple[f.Fact | At, ...]:
    return (
        _started("inspect"), _INSPECTED, e.BuildPlanned(built=("web",), unchanged=("docs",)), _started("build-web"),
        f.ImageBuilt(service="web", image=_image(commit), size_bytes=54_000_000), f.ImagePushed(service="web", image=_image(commit)),
    )  # fmt: skip


def _deployed() -> tuple[f.Fact | At, ...]:
    """From the database to a healthy candidate."""
    steps = (
        "provision-database-db", "run-job-migrate", "deploy-container-web", "expose-web", "assign-domain-web", "issue-certificate-web",
        "check-container-web", "switch-web", "check-endpoint-web", "retire-web",
    )  # fmt: skip
    return (
        e.DeploymentQueued(behind=_FORMER), e.DeploymentStarted(epoch=7, former={"web": _FORMER, "docs": _FORMER}),
        _planned(*steps), f.DatabaseProvisioned(database="db", version="18", made=False),
        f.DatabaseConnected(database="db", network="slipway-main-todo-production"), f.DatabaseHealthy(database="db", version="18.1"),
        f.JobSucceeded(job="migrate", seconds=0.8, log_tail=("2 migrations applied",)),
        f.ContainerDeployed(service="web", container="slipway-main-todo-production-web-8"), f.ContainerConnected(service="web", address="172.30.4.9"),
        f.CandidateExposed(service="web", hosts=(_HOST,)), f.DomainAssigned(service="web", hosts=(_HOST,)),
        f.CertificateIssued(service="web", fingerprint="9a" * 32, not_after="2027-02-27T10:00:00Z"), _started("check-container-web"),
        At("check-container-web", e.StepRetried(attempt=2, reason="the container engine was restarted")),
        f.CandidateHealthy(service="web", seconds=1.4),
    )  # fmt: skip


def _switched(commit: str, former: str) -> f.TrafficSwitched:
    return f.TrafficSwitched(service="web", seconds=0.1, image=_image(commit), former=_image(former) if former else "")


def _pushed(told: Telling) -> None:
    """A push goes live; its gate lets it."""
    change = told.identity(500)
    told.happens(e.CatalogueChanged(kind="environment", name="production", action="updated", by="ada"), "todo", "production")
    taken = e.ChangeTaken(change=change, deployments=(told.identity(1),), ref=_REF, commit=_FIRST, repository=_REPOSITORY)
    cause = told.happens(taken, "todo", cause=change)
    told.deployment(
        1, "production", _created(_FIRST, "Add a due date", change=change), _AUTHORISED, *_built(_FIRST), _question(_FIRST),
        _passed(), *_deployed(), _switched(_FIRST, _BEFORE), f.EndpointHealthy(service="web", url=_URL, status=200),
        f.ReleaseRetired(service="web"), e.DeploymentSucceeded(urls=(_URL,), releases={"web": told.identity(1), "docs": _FORMER}, seconds=5.8), cause=cause,
    )  # fmt: skip
    told.happens(
        e.ChangeIgnored(
            change=told.identity(501), reason="no environment of main/todo follows refs/heads/draft", ref="refs/heads/draft", commit=_SECOND
        ),
        "todo",
    )


def _rolled_back(told: Telling) -> None:
    """The next push switches, does not answer from outside, and everything goes back."""
    failed = s.EndpointFailed(failure=_UNREACHED, title="check endpoint web")
    undone = ("switch-web", "issue-certificate-web", "expose-web", "deploy-container-web", "run-job-migrate", "provision-database-db")
    told.deployment(
        2, "production", _created(_SECOND, "Sort by date"), f.ApprovalRequested(rule="production waits for approval", reason="an admin approves"),
        f.DeploymentApproved(by="Grace Hopper", reason="looked at it"), *_built(_SECOND), *_deployed(), _switched(_SECOND, _FIRST), failed,
        e.CompensationStarted(epoch=8, reason="check endpoint web failed", failure=_UNREACHED, steps=undone),
        *_undo("switch-web", f.TrafficRestored(service="web", image=_image(_FIRST))),
        *_undo("issue-certificate-web", f.CertificateRestored(service="web")),
        *_undo("assign-domain-web", f.DomainRestored(service="web")), *_undo("expose-web", f.RouteRemoved(service="web")),
        *_undo("connect-container-web", f.NetworkRestored(service="web")), *_undo("deploy-container-web", f.ContainerRemoved(service="web")),
        *_undo("run-job-migrate", f.JobUndone(job="migrate", ran_undo=True)), *_undo("connect-database-db", f.DatabaseDisconnected(database="db")),
        *_undo("provision-database-db", f.DatabaseRestored(database="db")), *_undo("check-database-db", f.NothingToUndo()),
        e.DeploymentRolledBack(
            reason="check endpoint web failed", failure=_UNREACHED, failed_step="check-endpoint-web", seconds=21.4,
            kept=("job migrate ran: rows that it wrote stay, its undo has run",),
        ),
    )  # fmt: skip


def _ended_early(told: Telling) -> None:
    """Deployments that end before anything was touched."""
    broken = _failure("dockerfile_failed", "Dockerfile:7: RUN npm ci ended with 1", "npm error Missing script: build")
    known = _failure("gate_failed", "CVE-2026-1234 in libxml2")
    asked = _created(_SECOND, "Sort by date")
    told.deployment(
        3, "production", asked, f.DeploymentDenied(rule="nobody linked this account", reason="Link github login eve to a person")
    )
    told.deployment(
        4, "production", asked, _AUTHORISED, e.DeploymentSuperseded(by=told.identity(5), reason="a newer push to refs/heads/main")
    )
    told.deployment(
        5, "production", asked, _AUTHORISED, _started("build-web"), s.BuildFailed(failure=broken, title="build image web"),
        e.DeploymentFailed(reason="build image web failed", failure=broken, seconds=12.0),
    )  # fmt: skip
    told.deployment(
        6, "production", asked, _AUTHORISED, _question(_SECOND), e.GateFailed(failure=known, title="gate scanner", gate="scanner", by="gate scanner"),
        e.DeploymentFailed(reason="gate scanner failed", failure=known, seconds=40.0),
    )  # fmt: skip
    told.deployment(7, "production", asked, _AUTHORISED, e.DeploymentCancelled(by="Grace Hopper", seconds=3.0))
    told.deployment(
        8, "production", asked,
        s.AuthorizationFailed(failure=_failure("auth_away", "auth did not answer within 30 s"), title="check permissions"),
    )  # fmt: skip
    told.deployment(
        9, "production", asked, _AUTHORISED,
        s.InspectionFailed(failure=_failure("manifest_invalid", "slipway.yaml:2: there is no key prot; port is meant"), title="inspect source"),
    )  # fmt: skip
    told.deployment(
        10, "production", asked, _AUTHORISED,
        s.ImageFailed(failure=_failure("registry_away", "127.0.0.1:5000 cannot be reached"), title="push image web"),
    )  # fmt: skip


_BROKEN_STEPS: tuple[e.StepFailed, ...] = (
    s.DatabaseFailed(failure=_failure("database_shrinks", "db cannot shrink from 2 GiB to 1 GiB"), title="provision database db"),
    s.JobFailed(failure=_failure("job_failed", "migrate ended with 3", "column “due” exists already"), title="run job migrate"),
    s.ContainerFailed(
        failure=_failure("container_crashed", "web exits with 1", "Error: DATABASE_URL is not set"), title="deploy container web"
    ),
    s.RouteFailed(failure=_failure("route_not_seen", "Traefik did not take the route within 60 s"), title="load balancer web"),
    s.DomainFailed(failure=_failure("domain_taken", "todo.example belongs to service web of main/shop"), title="DNS web"),
    s.CertificateFailed(failure=_failure("certificate_refused", "the authority has no key for todo.example"), title="TLS web"),
    s.CandidateFailed(failure=_UNHEALTHY, title="check container web"),
    s.SwitchFailed(failure=_failure("switch_not_seen", "Traefik did not take the route within 120 s"), title="switch traffic web"),
)
"""Steps that fail with the environment held: each turns its deployment back."""


def _broken(told: Telling) -> None:
    for number, failed in enumerate(_BROKEN_STEPS, start=20):
        told.deployment(number, "production", _created(_SECOND, "Sort by date"), _AUTHORISED, e.DeploymentStarted(epoch=number), failed)


def _stuck(told: Telling) -> None:
    """An undo keeps failing, until somebody has freed the disk."""
    full = _failure("disk_full", "there is no space left on the device")
    told.deployment(
        30, "production", _created(_SECOND, "Sort by date"), _AUTHORISED, e.DeploymentStarted(epoch=31),
        s.CandidateFailed(failure=_UNHEALTHY, title="check container web"), e.CompensationStarted(epoch=32, reason="check container web failed"),
        At("deploy-container-web", e.UndoStarted(attempt=5, title="deploy container web")),
        At("deploy-container-web", e.CompensationFailed(failure=full, title="deploy container web")),
        e.DeploymentStuck(step="deploy-container-web", failure=full), e.DeploymentUnstuck(by="Grace Hopper", action="retry"),
    )  # fmt: skip


def _reviewed(told: Telling) -> None:
    """A change request's preview comes, and goes with it; a person returns to an earlier release, and a service is given up."""
    of = ChangeRequest(repository=_REPOSITORY, number="7")
    preview: dict[str, object] = {"environment_kind": EnvironmentKind.PREVIEW, "change_request": of}
    url = "https://web.pr-7.todo.main.localhost:8443"
    told.happens(e.CatalogueChanged(kind="environment", name="pr-7", action="created"), "todo", "pr-7")
    told.deployment(
        39, "pr-7", _created(_SECOND, "Sort by date", ref="refs/heads/sort", web_url="https://github.com/acme/todo/pull/7", **preview), _AUTHORISED,
        e.DeploymentStarted(epoch=1), _switched(_SECOND, ""), e.DeploymentSucceeded(urls=(url,), releases={"web": told.identity(39)}, seconds=7.7),
    )  # fmt: skip
    told.deployment(
        40, "pr-7", _created(None, "remove the preview: change request 7 was merged", ReleaseKind.REMOVE, **preview), _AUTHORISED,
        e.DeploymentStarted(epoch=2), f.ServiceRemoved(service="web"), f.DatabaseDetached(database="db", detached_volume="slipway-db-9f2c"),
        e.DeploymentSucceeded(seconds=2.1),
    )  # fmt: skip
    told.happens(e.CatalogueChanged(kind="environment", name="pr-7", action="deleted"), "todo", "pr-7")
    told.deployment(
        41, "production", _created(None, f"roll back to {told.identity(1)}", ReleaseKind.ROLLBACK), _AUTHORISED, e.DeploymentStarted(epoch=33),
        f.TrafficSwitched(service="web", image=_image(_FIRST), former=_image(_SECOND), kind=ReleaseKind.ROLLBACK),
        s.RetirementFailed(failure=_failure("container_stays", "the former container does not stop"), title="retire the former release web"),
        e.DeploymentSucceeded(urls=(_URL,), releases={"web": told.identity(1)}, seconds=3.0, alerts=("retire the former release web failed",)),
    )  # fmt: skip


def _told(told: Telling) -> None:
    """What the platform says of itself."""
    about = f"{told.identity(1)}.30"
    told.happens(
        e.NotificationAttempted(
            channel="ops", kind="webhook", about=about, attempt=1, delivered=False, status=503, error="The receiver answered 503",
            next_attempt_at="2026-11-29T10:05:05+00:00",
        ),
        "todo", "production", cause=about,
    )  # fmt: skip
    told.happens(e.MessageRequestedAgain(channel="ops", event=about, by="ada"))
    told.happens(
        e.MessageGivenUp(letter=3, service="notifier", reader="notifier-events", subject="slipway.evt.main.todo._.x.y", reason="no event")
    )
    told.happens(
        e.RequestRefused(request=told.identity(600), reason="the deployment has ended"), "todo", "production", cause=told.identity(600)
    )


def story() -> list[Event]:
    """Everything that happened, in order."""
    told = Telling("main", "todo")
    for chapter in (_pushed, _rolled_back, _ended_early, _broken, _stuck, _reviewed, _told):
        chapter(told)
    return told.events
