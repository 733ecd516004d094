"""What the plan says before anything is touched."""

from services.coordinator.saga import DeploymentState
from services.coordinator.snapshot import Snapshot
from shared.contracts.events import DeploymentPlanned
from shared.contracts.manifest import DatabaseManifest, Manifest, ServiceManifest
from shared.contracts.releases import SecretRef
from tests.unit.coordinator.scenario import Scenario


def test_a_service_that_runs_as_root_is_named() -> None:
    """It is allowed where the manifest says so, and told; others are not."""
    services = {"web": ServiceManifest(port=3000, user="0:0"), "api": ServiceManifest(port=3001, user="1000"), "old": ServiceManifest()}
    scenario = Scenario(manifest=Manifest(services=services)).run()
    planned = next(fact for event in scenario.events if isinstance(fact := event.fact(), DeploymentPlanned))
    assert [note for note in planned.notes if "root" in note] == ["service web runs as root, as its manifest says"]


def test_a_manifest_with_too_much_is_not_planned() -> None:
    """Whatever its builder let pass: it would keep the coordinator busy for minutes."""
    scenario = Scenario(manifest=Manifest(services={f"s{number}": ServiceManifest() for number in range(51)})).run()
    assert scenario.saga.state is DeploymentState.FAILED
    assert scenario.saga.failure is not None
    assert scenario.saga.failure.message == "there are 51 services, and one environment has 50 at most"


def test_what_the_manifest_gives_stands_and_the_plan_says_so() -> None:
    """An imported .env often has PORT and DATABASE_URL: the container gets those of its port and its database. Secrets give way, too."""
    service = ServiceManifest(port=3000, databases=("db",), variables={"KEY": "public"})
    refs = tuple(SecretRef(name=name, version=1) for name in ("DATABASE_URL", "KEY", "TOKEN"))
    snapshot = Snapshot(variables={"PORT": "80", "MODE": "live"}, secrets=refs)
    manifest = Manifest(services={"web": service}, databases={"db": DatabaseManifest()})
    scenario = Scenario(manifest=manifest, snapshot=snapshot).run()
    planned = next(fact for event in scenario.events if isinstance(fact := event.fact(), DeploymentPlanned))
    assert [note for note in planned.notes if "the manifest stands" in note] == [
        f"service web: {what} is set in the catalogue and in the manifest; the manifest stands"
        for what in ("variable PORT", "secret DATABASE_URL", "secret KEY")
    ]
    assert scenario.saga.plan is not None
    container = scenario.saga.plan.releases["web"].container
    assert container.variables == {"MODE": "live", "KEY": "public"}
    assert [ref.name for ref in container.secrets] == ["TOKEN"]
