"""Several services in one repository: only what changed is built and replaced, and the plan says what stays."""

from dataclasses import replace
from typing import TypeVar

import pytest

from services.coordinator.graph import deploy_steps
from services.coordinator.plan import plan_deployment
from services.coordinator.saga import DeploymentState, Origin
from services.coordinator.snapshot import Record, Snapshot
from shared.contracts import events as e
from shared.contracts.commands import BuildImage
from shared.contracts.facts import Fact
from shared.contracts.gates import Before
from shared.contracts.manifest import DatabaseManifest, JobManifest, Manifest, ServiceManifest
from shared.contracts.releases import ReleaseKind, SecretRef
from tests.unit.coordinator.scenario import SOURCE, Scenario, fails, origin
from tests.unit.coordinator.test_gates import gate

F = TypeVar("F", bound=Fact)
SHOP = Manifest(
    services={
        "api": ServiceManifest(port=3000, databases=("db",)),
        "site": ServiceManifest(port=3001),
        "cache": ServiceManifest(image="redis:8"),
    },
    databases={"db": DatabaseManifest()},
    jobs={
        "migrate": JobManifest(service="api", command=("migrate",)),
        "warm": JobManifest(service="site", command=("warm",), depends_on=("migrate",)),
    },
)
TREES = {"api": "1", "site": "1", "cache": ""}
DATABASE = {"provision-database-db", "connect-database-db", "check-database-db"}


def record_of(scenario: Scenario) -> Record:
    """What the environment runs after a deployment that ended well."""
    assert scenario.saga.state is DeploymentState.SUCCEEDED
    assert scenario.saga.plan is not None
    return Record(releases=scenario.saga.plan.releases, databases=scenario.saga.plan.databases)


def said(scenario: Scenario, kind: type[F]) -> F:
    """The newest fact of a kind."""
    return next(fact for event in reversed(scenario.events) if isinstance(fact := event.fact(), kind))


@pytest.fixture
def running() -> Record:
    """All of it, once deployed."""
    return record_of(Scenario(manifest=SHOP, trees=TREES).run())


def later(running: Record, **more: object) -> Scenario:
    """A later push, of another commit."""
    given = {"manifest": SHOP, "trees": TREES, "record": running, "origin": pushed("b")} | more
    return Scenario(**given).run()  # type: ignore[arg-type]


def pushed(letter: str) -> Origin:
    """A push of another commit."""
    return origin(source=SOURCE.model_copy(update={"commit": letter * 40}))


def services_of(scenario: Scenario) -> set[str]:
    """The services that have a step of any kind."""
    return {step.item for step in scenario.saga.steps.values() if step.item in SHOP.services}


def test_only_the_service_that_changed_has_steps(running: Record) -> None:
    """The others are neither built nor fetched, replaced nor retired; nor do their jobs run."""
    scenario = later(running, trees=TREES | {"site": "2"})
    assert services_of(scenario) == {"site"}
    assert {"run-job-warm"} == {name for name in scenario.names() if name.startswith("run-job")}
    assert scenario.saga.steps["run-job-warm"].depends_on == ("check-database-db",)
    now = record_of(scenario).releases
    assert {name for name in now if now[name] == running.releases[name]} == {"api", "cache"}
    assert (now["site"].number, now["site"].commit) == (2, "b" * 40)


def test_a_service_starts_when_those_it_depends_on_are_healthy(running: Record) -> None:
    """Also on the way back to it by hand; one that keeps its release is healthy, and not waited for."""
    site = ServiceManifest(port=3001, depends_on=("api", "cache"))
    waiting = SHOP.model_copy(update={"services": {"site": site} | {name: SHOP.services[name] for name in ("api", "cache")}})
    first = Scenario(manifest=waiting, trees=TREES).run()
    needed = set(first.saga.steps["deploy-container-site"].depends_on)
    assert {"check-container-api", "check-container-cache"} <= needed
    assert first.names().index("check-container-api") < first.names().index("deploy-container-site")
    again = later(running, manifest=waiting, trees=TREES | {"api": "2"})
    needed = set(again.saga.steps["deploy-container-site"].depends_on)
    assert {"check-container-api", "check-container-cache"} & needed == {"check-container-api"}
    other = record_of(later(running, trees=TREES | {"api": "3", "site": "3"}))
    back = Scenario(record=other, goal=record_of(first), origin=origin(kind=ReleaseKind.ROLLBACK, rollback_to="d0", source=None)).run()
    assert "check-container-api" in back.saga.steps["deploy-container-site"].depends_on


def test_the_plan_says_what_stays(running: Record) -> None:
    """With the number and the commit of the release; and before, of which images are built."""
    scenario = later(running, trees=TREES | {"site": "2"})
    planned = said(scenario, e.BuildPlanned)
    assert (planned.built, planned.unchanged) == (("site",), ("api", "cache"))
    assert [note for note in said(scenario, e.DeploymentPlanned).notes if "unchanged" in note] == [
        "service api: unchanged, keeps release 1 (aaaaaaaa)",
        "service cache: unchanged, keeps release 1 (aaaaaaaa)",
    ]
    assert said(scenario, e.DeploymentSucceeded).changed


def test_a_push_that_touches_no_service_has_nothing_to_do(running: Record) -> None:
    """It succeeds with nothing built; databases are looked at, as ever."""
    scenario = later(running)
    assert set(scenario.names()) == {"authorise", "inspect", *DATABASE}
    assert not said(scenario, e.DeploymentSucceeded).changed
    assert record_of(scenario) == running


def test_gates_are_asked_also_where_nothing_changes(running: Record) -> None:
    """Before the build and before the target is touched: whoever says no to the commit keeps it out. There is no switch to ask about."""
    gates = tuple(gate(before, name=before.value, default="pass") for before in Before)
    scenario = later(running, origin=replace(pushed("b"), gates=gates))
    assert [event.data["gate"] for event in scenario.events if event.name == "GateRequested"] == ["build", "deploy"]
    assert not said(scenario, e.DeploymentSucceeded).changed


def test_a_shared_path_changes_every_service_that_watches_it(running: Record) -> None:
    """Their trees are other ones; what does not watch it stays."""
    assert services_of(later(running, trees=TREES | {"api": "2", "site": "2"})) == {"api", "site"}


def test_other_variables_release_the_same_image_again(running: Record) -> None:
    """The build finds the image under the key that it had."""
    changed = SHOP.model_copy(update={"services": SHOP.services | {"site": ServiceManifest(port=3001, variables={"A": "b"})}})
    scenarios = Scenario(manifest=SHOP, trees=TREES).run(), later(running, manifest=changed)
    assert (
        len(
            {
                command.key
                for scenario in scenarios
                for command in scenario.commands
                if isinstance(command, BuildImage) and command.service == "site"
            }
        )
        == 1
    )
    assert services_of(scenarios[1]) == {"site"}


@pytest.mark.parametrize("jobs", [{"migrate": JobManifest(service="api", command=("migrate", "--all"))}, {}])
def test_another_job_is_another_release_of_its_service(running: Record, jobs: dict[str, JobManifest]) -> None:
    """A job that is new, or says something else, runs with the push that brings it."""
    changed = SHOP.model_copy(update={"jobs": jobs | {"warm": SHOP.jobs["warm"].model_copy(update={"depends_on": ()})}})
    assert services_of(later(running, manifest=changed)) == {"api", "site"}


def test_a_service_that_is_gone_is_something_to_do(running: Record) -> None:
    """Removed, while the others stay."""
    fewer = SHOP.model_copy(update={"services": {name: service for name, service in SHOP.services.items() if name != "cache"}})
    scenario = later(running, manifest=fewer)
    assert {name for name in scenario.names() if "cache" in name} == {"remove-service-cache"}
    assert services_of(scenario) == {"cache"}
    assert said(scenario, e.DeploymentSucceeded).changed


def test_a_build_that_failed_does_not_count(running: Record) -> None:
    """The same commit again is built again, and so is the next one that does not touch the service."""
    failed = later(running, trees=TREES | {"site": "2"}, script=fails("build-site"))
    assert failed.saga.state is DeploymentState.FAILED
    assert "build-site" in later(running, trees=TREES | {"site": "2", "api": "2"}).names()


def test_a_ready_image_is_looked_up_again_when_what_it_watches_changes(running: Record) -> None:
    """Under another key."""
    watching = SHOP.model_copy(update={"services": SHOP.services | {"cache": ServiceManifest(image="redis:8", watch=("redis",))}})
    pinned = record_of(later(running, manifest=watching, trees=TREES | {"cache": "1"}))
    assert services_of(later(pinned, manifest=watching, trees=TREES | {"cache": "1"})) == set()
    assert services_of(later(pinned, manifest=watching, trees=TREES | {"cache": "2"})) == {"cache"}


def test_what_another_deployment_did_meanwhile_is_seen_with_the_lock(running: Record) -> None:
    """A service was kept when the builds were planned, and another deployment released it since: it goes back, its image made sure of."""
    scenario = later(running)
    other = record_of(later(running, trees=TREES | {"api": "2"}))
    planned = plan_deployment(replace(scenario.saga, plan=None), Snapshot(), other)
    plan = planned.plan  # type: ignore[union-attr]
    assert plan.unchanged == ("site", "cache")
    assert plan.releases["api"].container.image == running.releases["api"].container.image
    assert {"push-api", "deploy-container-api", "retire-api"} < {step.name for step in deploy_steps(plan)}


def test_another_version_of_a_secret_is_another_release_of_all(running: Record) -> None:
    """Every service gets all of them."""
    assert services_of(later(running, snapshot=Snapshot(secrets=(SecretRef(name="KEY", version=2),)))) == {"api", "site", "cache"}


def test_rolling_back_touches_what_ran_otherwise(running: Record) -> None:
    """The services of the goal have different commits; those that run already stay, and the plan says so."""
    first = record_of(later(running, trees=TREES | {"site": "2"}))
    both = record_of(later(first, trees=TREES | {"site": "2", "api": "2"}, origin=pushed("c")))
    back = Scenario(record=both, goal=first, origin=origin(kind=ReleaseKind.ROLLBACK, rollback_to="d0", source=None)).run()
    assert services_of(back) == {"api"}
    assert {"push-api", "retire-api"} < set(back.names())
    assert record_of(back) == first
    assert {release.commit for release in first.releases.values()} == {"a" * 40, "b" * 40}
    assert "service site: unchanged, keeps release 2 (bbbbbbbb)" in said(back, e.DeploymentPlanned).notes


def test_what_is_built_anew_by_hand_stays_so(running: Record) -> None:
    """All of it, under other keys; the next push keeps that, and a roll-back brings back what was before."""
    anew = later(running, origin=replace(pushed("b"), rebuild=True))
    builds = [command for command in anew.commands if isinstance(command, BuildImage)]
    assert services_of(anew) == {"api", "site", "cache"}
    assert [command.fresh for command in builds] == [True, True]
    rebuilt = record_of(anew)
    assert services_of(later(rebuilt)) == set()
    assert services_of(later(rebuilt, trees=TREES | {"site": "2"})) == {"site"}
    again = Scenario(manifest=SHOP, trees=TREES, record=rebuilt, origin=replace(pushed("b"), rebuild=True))
    again.saga.id = "d2"
    assert services_of(again.run()) == {"api", "site", "cache"}
    back = Scenario(record=rebuilt, goal=running, origin=origin(kind=ReleaseKind.ROLLBACK, rollback_to="d0", source=None)).run()
    assert services_of(later(record_of(back))) == set()
