"""What is counted of a deployment's moves."""

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.coordinator import inputs as i
from services.coordinator.engine import advance
from services.coordinator.saga import DeploymentState, Limits
from services.coordinator.spans import Moved
from services.coordinator.telling import observe
from tests.unit.coordinator.scenario import Scenario


def counted() -> float:
    """Deployments that turned back and ended as cancelled."""
    return REGISTRY.get_sample_value("slipway_compensations_total", {"ends_as": "cancelled"}) or 0.0


def test_a_compensation_that_ends_in_the_move_that_began_it_is_counted() -> None:
    """Between lock and plan there is nothing to undo: a cancel begins the compensation and ends it at once."""
    scenario = Scenario().run(lambda now: now.saga.epoch is not None)
    before, counts = scenario.saga, counted()
    after, outputs = advance(before, i.Cancelled(by="ada", cause="request-1"), scenario.now, Limits())
    with capture_logs() as lines:
        observe(Moved(before, after, outputs, scenario.now, 0, None))
    assert after.state is DeploymentState.CANCELLED
    assert [line["event"] for line in lines].count("CompensationStarted") == counted() - counts == 1
