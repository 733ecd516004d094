"""Previews: what is news of a change request, and what its own environment gets."""

import pytest

from services.coordinator.change_requests import PREVIEWS_GO, why_no_news
from services.coordinator.saga import DeploymentState
from services.coordinator.snapshot import Record, ServiceSettings, Snapshot
from services.coordinator.store.open_requests import Taken
from shared.contracts import commands as c
from shared.contracts.changes import ChangeRequestClosed, ChangeRequestOpened, ChangeRequestUpdated, FoundBy, Pusher, RequestChange
from shared.contracts.events import DeploymentCreated, DeploymentPlanned
from shared.contracts.facts import DeploymentAuthorized
from shared.contracts.manifest import BuildSpec, JobManifest, Manifest, ServiceManifest
from shared.contracts.places import EnvironmentKind, Place
from shared.contracts.releases import DatabaseSpec, ReleaseKind, SecretRef
from tests.unit.coordinator.scenario import Scenario, origin

PLACE = Place(organization="main", project="todo", environment="pr-7")
SECRETS = Snapshot(secrets=(SecretRef(name="API_KEY", version=1),), sealed={("API_KEY", 1): "sealed"})
WITHHELD = Snapshot(withheld=("API_KEY",))


def change(kind: type[RequestChange] = ChangeRequestUpdated, *, commit: str = "b", arrival: int = 2, **more: object) -> RequestChange:
    """A change of change request 7."""
    fields: dict[str, object] = {
        "organization": "main", "project": "todo", "connection": "hub", "repository": "github.com/acme/todo", "clone_url": "http://x",
        "ref": "refs/heads/feature", "commit": commit * 40, "arrival": arrival, "pusher": Pusher(forge="github", login="ada"),
        "found_by": FoundBy.DELIVERY, "number": "7", "source": "feature", "target": "refs/heads/main", "fork": False,
    }  # fmt: skip
    return kind.model_validate(fields | more)


def taken(commit: str = "a", arrival: int = 1, *, closed: bool = False, deployments: tuple[str, ...] = ("d1",)) -> Taken:
    """What was taken before."""
    return Taken(commit * 40, arrival, closed, deployments)


@pytest.mark.parametrize(
    ("last", "now"),
    [
        (None, change()),
        (taken(), change()),
        (taken(), change(ChangeRequestClosed, commit="a")),
        (taken(closed=True), change(ChangeRequestOpened, commit="a")),
        (taken(), change(commit="a", found_by=FoundBy.REDELIVERY)),
        (taken(deployments=()), change(commit="a")),
    ],
    ids=["the first heard", "a new commit", "closed", "opened again", "by hand", "refused before"],
)
def test_what_is_news(last: Taken | None, now: RequestChange) -> None:
    """It leads to a deployment or to the preview's removal."""
    assert why_no_news(last, now) == ""


@pytest.mark.parametrize(
    ("last", "now", "why"),
    [
        (taken(arrival=3), change(), "newer"),
        (taken(arrival=3, closed=True), change(ChangeRequestOpened), "newer"),
        (taken(closed=True), change(), "closed"),
        (taken(), change(commit="a"), "already"),
        (taken(), change(ChangeRequestOpened, commit="a"), "already"),
    ],
    ids=["overtaken", "overtaken by its end", "updated once closed", "another target", "told twice"],
)
def test_what_is_no_news(last: Taken, now: RequestChange, why: str) -> None:
    """It changes nothing, and says why."""
    assert why in why_no_news(last, now)


def preview(snapshot: Snapshot, manifest: Manifest, *, fork: bool = False) -> Scenario:
    """A preview's deployment, run to its end."""
    mine = origin(place=PLACE, environment_kind=EnvironmentKind.PREVIEW, preview=True, fork=fork)
    return Scenario(manifest=manifest, snapshot=snapshot, origin=mine).run()


def notes(scenario: Scenario) -> tuple[str, ...]:
    """What the plan says."""
    return next(fact.notes for event in scenario.events if isinstance(fact := event.fact(), DeploymentPlanned))


@pytest.mark.parametrize("domains", [("todo.example.com",), ()])
def test_a_preview_has_its_own_addresses_only(domains: tuple[str, ...]) -> None:
    """A domain in the manifest or the catalogue is production's; the plan says that it is not taken."""
    manifest = Manifest(services={"web": ServiceManifest(port=3000, domains=domains), "worker": ServiceManifest()})
    catalogue = Snapshot(services={name: ServiceSettings(domains=("shop.example.com",)) for name in ("web", "worker")})
    scenario = preview(catalogue, manifest)
    assert scenario.saga.state is DeploymentState.SUCCEEDED
    assert scenario.saga.plan is not None
    assert scenario.saga.plan.releases["web"].hosts == ("web.pr-7.todo.main.localhost",)
    assert scenario.saga.plan.releases["worker"].hosts == ()
    said = domains[0] if domains else "shop.example.com"
    assert f"service web answers at web.pr-7.todo.main.localhost: a preview does not get {said}" in notes(scenario)


def test_a_fork_s_preview_sees_no_secrets_and_the_plan_says_so() -> None:
    """Variables yes; of the secrets that a preview of the repository's own branch gets, none."""
    manifest = Manifest(services={"web": ServiceManifest(port=3000)})
    own, forks = preview(SECRETS, manifest), preview(WITHHELD, manifest, fork=True)
    assert own.saga.plan is not None
    assert forks.saga.plan is not None
    assert own.saga.plan.secrets["web"].values == {"API_KEY": "sealed"}
    assert forks.saga.plan.secrets["web"].values == {}
    assert "the change request comes from a fork: it does not get the secret API_KEY" in notes(forks)
    asked = [command.fork for command in forks.commands if isinstance(command, c.AuthorizeDeployment)]
    assert asked == [True]


def test_a_fork_cannot_build_with_a_secret() -> None:
    """It says why, and what to do, instead of asking for a secret that is there."""
    manifest = Manifest(services={"web": ServiceManifest(port=3000, build=BuildSpec(secrets=("API_KEY",)))})
    scenario = preview(WITHHELD, manifest, fork=True)
    assert scenario.saga.state is DeploymentState.FAILED
    assert scenario.saga.failure is not None
    assert scenario.saga.failure.code == "secret_missing"
    assert "a fork does not get" in scenario.saga.failure.message


def test_what_a_fork_has_built_serves_nobody_else() -> None:
    """Its context may hold what no watched path shows: the same inputs elsewhere, or in another fork's preview, are another image."""
    manifest = Manifest(services={"web": ServiceManifest(port=3000)})
    other = Place(organization="main", project="todo", environment="pr-8")
    keys = [
        Scenario(manifest=manifest, origin=origin(place=place, environment_kind=EnvironmentKind.PREVIEW, preview=True, fork=fork))
        .run()
        .saga.builds["web"]
        .key
        for place, fork in ((PLACE, False), (other, False), (PLACE, True), (PLACE, True), (other, True))
    ]
    assert [keys.index(key) for key in keys] == [0, 0, 2, 2, 4]


def test_a_removal_by_rule_asks_nobody_and_says_which_rule() -> None:
    """Whoever closed the change request need not be anybody here."""
    database = DatabaseSpec(name="db", engine="postgresql", version="18", storage_bytes=1, memory_bytes=1)
    mine = origin(
        place=PLACE, environment_kind=EnvironmentKind.PREVIEW, kind=ReleaseKind.REMOVE, source=None, preview=True, allowed_by=PREVIEWS_GO
    )
    scenario = Scenario(record=Record(databases={"db": database}), origin=mine).run()
    assert scenario.saga.state is DeploymentState.SUCCEEDED
    assert [type(command) for command in scenario.commands] == [c.RemoveDatabase]
    created, authorised = (event.fact() for event in scenario.events[:2])
    assert isinstance(created, DeploymentCreated)
    assert created.kind is ReleaseKind.REMOVE
    assert authorised == DeploymentAuthorized(rule=PREVIEWS_GO)


@pytest.mark.parametrize(("kind", "ran"), [("preview", ["migrate", "seed", "warm"]), ("production", ["migrate", "warm"])])
def test_a_job_may_be_of_previews_only(kind: str, ran: list[str]) -> None:
    """Elsewhere what depends on it waits for what it would have waited for."""
    jobs = {
        "warm": JobManifest(service="web", command=("warm",), depends_on=("seed",)),
        "seed": JobManifest(service="web", command=("seed",), depends_on=("migrate",), only=(EnvironmentKind.PREVIEW,)),
        "migrate": JobManifest(service="web", command=("migrate",)),
    }
    manifest = Manifest(services={"web": ServiceManifest(port=3000)}, jobs=jobs)
    scenario = Scenario(manifest=manifest, origin=origin(environment_kind=EnvironmentKind(kind))).run()
    assert scenario.saga.state is DeploymentState.SUCCEEDED
    assert [command.job.name for command in scenario.commands if isinstance(command, c.RunJob)] == ran
