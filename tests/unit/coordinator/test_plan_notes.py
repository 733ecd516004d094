"""What the plan says before anything is touched."""

from shared.contracts.events import DeploymentPlanned
from shared.contracts.manifest import Manifest, ServiceManifest
from tests.unit.coordinator.scenario import Scenario


def test_a_service_that_runs_as_root_is_named() -> None:
    """It is allowed where the manifest says so, and told; others are not."""
    services = {"web": ServiceManifest(port=3000, user="0:0"), "api": ServiceManifest(port=3001, user="1000"), "old": ServiceManifest()}
    scenario = Scenario(manifest=Manifest(services=services)).run()
    planned = next(fact for event in scenario.events if isinstance(fact := event.fact(), DeploymentPlanned))
    assert [note for note in planned.notes if "root" in note] == ["service web runs as root, as its manifest says"]
