"""Credentials to clone with that end: each clone begins with one that outlasts its time in the queue."""

from datetime import timedelta

from services.coordinator import inputs as i
from services.coordinator.saga import DeploymentState, Want
from shared.contracts import commands as c
from shared.contracts.answers import Failure, Outcome
from shared.contracts.commands import Command
from tests.unit.coordinator.scenario import SOURCE, START, TODO, Scenario, fact_for, origin

HOUR = timedelta(hours=1)


def _ending(at: timedelta) -> Scenario:
    """A deployment whose credential ends so long after its beginning."""
    return Scenario(origin=origin(source=SOURCE.model_copy(update={"valid_until": START + at})))


def _wants_source(scenario: Scenario) -> bool:
    return scenario.saga.wants is Want.SOURCE


def _given(scenario: Scenario, name: str) -> i.SourceGiven:
    return i.SourceGiven(SOURCE.model_copy(update={"valid_until": scenario.now + HOUR, "password": name}))


def _passwords(scenario: Scenario) -> list[tuple[str | None, str | None]]:
    return [(each.step, each.source.password) for each in scenario.commands if isinstance(each, c.InspectSource | c.BuildImage)]


def test_a_clone_waits_for_a_credential_that_outlasts_its_time_in_the_queue() -> None:
    """It is asked for when the step begins, and used by the steps after it as long as it is good."""
    scenario = _ending(-HOUR).run(_wants_source)
    assert _passwords(scenario) == []
    scenario.feed(_given(scenario, "first"))
    scenario.run(lambda now: now.saga.state is DeploymentState.QUEUED)
    assert _passwords(scenario) == [("inspect", "first"), ("build-web", "first")]
    assert scenario.run().saga.state is DeploymentState.SUCCEEDED


def test_what_has_waited_gets_another() -> None:
    """An approval, or a gate before builds, may take longer than the credential of the inspection lives."""

    def late(command: Command) -> None:
        if isinstance(command, c.InspectSource):
            scenario.now += timedelta(minutes=59)

    scenario = _ending(HOUR)
    scenario.script = late
    scenario.run(_wants_source)
    assert _passwords(scenario) == [("inspect", None)]
    scenario.feed(_given(scenario, "second"))
    assert scenario.run().saga.state is DeploymentState.SUCCEEDED
    assert _passwords(scenario) == [("inspect", None), ("build-web", "second")]


def test_one_that_ended_on_its_way_is_made_again() -> None:
    """The forge refused the builder after the credential's end: that is no fault of the connection."""

    def ends(command: Command) -> Failure | None:
        if isinstance(command, c.InspectSource) and command.attempt == 1:
            scenario.now += 2 * HOUR
            return Failure(code="clone_denied", message="refused")
        return None

    scenario = _ending(HOUR)
    scenario.script = ends
    scenario.run(_wants_source)
    scenario.feed(_given(scenario, "again"))
    assert scenario.run().saga.state is DeploymentState.SUCCEEDED
    assert _passwords(scenario)[:2] == [("inspect", None), ("inspect", "again")]


def test_a_good_one_that_is_refused_fails() -> None:
    """Whoever is not let in with a credential that has not ended is told so, at once."""
    scenario = _ending(HOUR)
    scenario.script = lambda command: Failure(code="clone_denied", message="refused") if isinstance(command, c.InspectSource) else None
    assert scenario.run().saga.state is DeploymentState.FAILED
    assert len(_passwords(scenario)) == 1


def test_a_forge_that_is_away_is_waited_for_and_one_that_refuses_is_not() -> None:
    """As if a builder had tried: about ten minutes; a refusal's reason is the deployment's."""
    away = Failure(code="clone_unreachable", message="GitHub is away", may_pass=True)
    scenario = _ending(timedelta(0))
    for _ in range(30):
        scenario.run(_wants_source)
        if scenario.saga.state.final:
            break
        scenario.feed(i.SourceDenied(away))
    assert scenario.saga.state is DeploymentState.FAILED
    assert timedelta(minutes=5) < scenario.now - START < timedelta(minutes=15)
    refused = _ending(-HOUR).run(_wants_source)
    refused.feed(i.SourceDenied(Failure(code="clone_denied", message="the app is not installed")))
    assert (refused.saga.state, "the app is not installed" in refused.saga.reason) == (DeploymentState.FAILED, True)
    assert _passwords(scenario) == _passwords(refused) == []


def test_a_credential_that_nobody_can_make_ends_the_deployment() -> None:
    """Nobody answers, for as long as a builder would be waited for."""
    scenario = _ending(timedelta(0)).run(_wants_source)
    scenario.now += timedelta(minutes=31)
    scenario.feed(i.Tick(connected_since=START - HOUR))
    assert (scenario.saga.state, scenario.saga.reason) == (
        DeploymentState.FAILED,
        "inspect source failed: no credential to clone with could be had in time",
    )


def test_an_earlier_attempt_that_succeeds_needs_none() -> None:
    """A worker that was believed lost comes back while the next attempt waits for its credential: that attempt is never sent."""
    scenario = _ending(timedelta(minutes=31))
    scenario.script = lambda command: "silence" if isinstance(command, c.InspectSource) else None
    scenario.run(lambda now: bool(_passwords(now)))
    first = scenario.commands[-1]
    scenario.now += timedelta(minutes=2)
    scenario.feed(scenario.answer(first, Outcome.ACCEPTED))
    scenario.now += timedelta(seconds=20)
    scenario.feed(i.Tick(connected_since=START - HOUR))
    assert _wants_source(scenario)
    scenario.feed(scenario.answer(first, Outcome.DONE, fact=fact_for(first, TODO)))
    scenario.run(_wants_source)
    scenario.feed(_given(scenario, "second"))
    assert scenario.run().saga.state is DeploymentState.SUCCEEDED
    assert _passwords(scenario) == [("inspect", None), ("build-web", "second")]
