"""How much time a step has: whoever may wait for an hour by the manifest is waited for."""

import pytest

from services.coordinator.snapshot import Record
from shared.contracts.commands import Direction
from shared.contracts.manifest import HealthCheck, Manifest, ServiceManifest
from tests.unit.coordinator.scenario import Scenario, fails

SLOW = HealthCheck(tcp=True, start_period_s=1200, interval_s=1, timeout_s=4, retries=10)
HOURS = Manifest(services={"web": ServiceManifest(port=3000, stop_grace_s=3000, health=SLOW)})
QUICK = Manifest(services={"web": ServiceManifest(port=3000, stop_grace_s=0, health=HealthCheck(tcp=True, start_period_s=0, retries=0))})


def given(scenario: Scenario, step: str, direction: Direction = Direction.DO) -> float:
    """The time that a step's command had."""
    return next(command.timeout_s for command in scenario.commands if command.step == step and command.direction is direction)


def after(first: Manifest, then: Manifest) -> Scenario:
    """The second deployment of the two."""
    former = Scenario(manifest=first, trees={"web": "1"}).run().saga.plan
    assert former is not None
    return Scenario(manifest=then, trees={"web": "2"}, record=Record(releases=former.releases))


@pytest.mark.parametrize(("first", "then"), [(HOURS, QUICK), (QUICK, HOURS)], ids=["slow before", "slow from now on"])
def test_a_switch_waits_for_both_releases(first: Manifest, then: Manifest) -> None:
    """In it the one ends and the other gets ready; undone, the other way round."""
    scenario = after(first, then)
    scenario.script = fails("check-endpoint-web")
    scenario.run()
    for direction in Direction:
        assert given(scenario, "switch-web", direction) >= 120 + 3000 + 1200 + 10 * (1 + 4)


def test_a_retirement_waits_for_what_it_ends() -> None:
    """The former release has its grace period."""
    assert given(after(HOURS, QUICK).run(), "retire-web") >= 120 + 3000


def test_a_removal_waits_for_what_it_ends() -> None:
    """A service that is gone from the manifest has its grace period."""
    other = Manifest(services={"api": ServiceManifest(port=3000)})
    assert given(after(HOURS, other).run(), "remove-service-web") >= 120 + 3000


def test_a_job_has_its_own_time_and_some_to_be_made_and_ended_in() -> None:
    """So its target can still say that it took too long, with what it wrote last."""
    scenario = Scenario().run()
    assert scenario.saga.plan is not None
    assert given(scenario, "run-job-migrate") >= scenario.saga.plan.jobs["migrate"].timeout_s + 30
