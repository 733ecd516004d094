"""The states that a filter takes."""

from cli.deployments import State
from services.coordinator.saga import DeploymentState


def test_the_states_are_those_that_deployments_have() -> None:
    """The CLI has a list of its own, since it knows nothing of the platform but its API."""
    assert list(map(str, State)) == list(map(str, DeploymentState))
