"""Gates in the engine: when they are asked, what their answers mean, and which answers do not count."""

from datetime import timedelta

import pytest

from services.coordinator import inputs as i
from services.coordinator.saga import DeploymentState, StepState
from services.coordinator.snapshot import Record
from shared.contracts.commands import Direction
from shared.contracts.events import DeploymentRolledBack, Event, GateFailed, GatePassed, GateRequested, RequestRefused, Stage
from shared.contracts.gates import Before, Gate, Verdict
from shared.contracts.releases import ReleaseKind
from tests.unit.coordinator.scenario import Scenario, origin

STAGES = [*Before]


def gate(before: Before, name: str = "scanner", default: Verdict = "fail") -> Gate:
    """One that waits for ten minutes."""
    return Gate(name=name, id=f"id-{name}", before=before, deadline_s=600, default=default)


def asks(*gates: Gate, **more: object) -> Scenario:
    """A deployment whose environment has these gates, until it waits for one."""
    return Scenario(origin=origin(gates=gates, **more)).run(waits)


def waits(scenario: Scenario) -> bool:
    """Some gate's answer is awaited."""
    return scenario.saga.state is DeploymentState.WAITING


def says(scenario: Scenario, result: Verdict, name: str = "scanner", **more: object) -> None:
    """The gate's tool answers now."""
    given = {"gate": name, "gate_id": f"id-{name}", "result": result, "reason": "CVE-1", "by": f"gate {name}", "at": scenario.now}
    scenario.feed(i.GateAnswered(**(given | {"cause": "request-1"} | more)))  # type: ignore[arg-type]


def newest(scenario: Scenario, name: str) -> Event:
    """The newest event of that name."""
    return [event for event in scenario.events if event.name == name][-1]


@pytest.mark.parametrize("before", STAGES)
def test_nothing_of_a_stage_starts_before_its_gate_has_passed(before: Before) -> None:
    """What comes before it is done, what comes after it waits; and then it goes on to the end."""
    scenario = asks(gate(before))
    waiting = {Before.BUILD: "build-web", Before.DEPLOY: "provision-database-db", Before.SWITCH: "switch-web"}
    done = {Before.BUILD: "inspect", Before.DEPLOY: "push-web", Before.SWITCH: "check-container-web"}
    assert scenario.saga.steps[done[before]].state is StepState.DONE
    assert waiting[before] not in scenario.names()
    assert (scenario.saga.epoch is None) == (before is not Before.SWITCH)
    says(scenario, "pass")
    assert scenario.run().saga.state is DeploymentState.SUCCEEDED
    assert scenario.saga.steps["gate-scanner"].attempt == 1


def test_the_question_says_what_its_tool_needs() -> None:
    """Commit, services, images once they are built, deadline and default; and its subject ends with the gate's name."""
    scenario = asks(gate(Before.DEPLOY, default="pass"))
    asked = newest(scenario, "GateRequested")
    fact = asked.fact()
    assert isinstance(fact, GateRequested)
    assert (fact.commit, fact.services, fact.default) == ("a" * 40, ("web",), "pass")
    assert fact.images["web"].startswith("registry/web@sha256:")
    assert fact.deadline == asked.time + timedelta(minutes=10)
    assert asked.subject == "slipway.evt.main.todo.production.gate.requested.scanner"


def test_a_gate_before_the_build_knows_no_images_and_stands_in_the_build_stage() -> None:
    """Nothing was built yet."""
    asked = newest(asks(gate(Before.BUILD)), "GateRequested")
    assert asked.stage is Stage.BUILD
    assert asked.data["images"] == {}


@pytest.mark.parametrize("before", [Before.BUILD, Before.DEPLOY])
def test_a_no_before_the_lock_touches_nothing(before: Before) -> None:
    """The deployment fails with the tool's reason."""
    scenario = asks(gate(before))
    says(scenario, "fail")
    assert scenario.saga.state is DeploymentState.FAILED
    assert scenario.saga.reason == "gate scanner failed: CVE-1"
    assert not any(command.epoch for command in scenario.commands)


def test_a_no_with_the_lock_takes_everything_back() -> None:
    """What was made is undone, nothing switched, and the record says who said no and why."""
    scenario = asks(gate(Before.SWITCH))
    says(scenario, "fail")
    failed = newest(scenario, "GateFailed").fact()
    assert isinstance(failed, GateFailed)
    assert (failed.by, failed.failure.message, failed.defaulted) == ("gate scanner", "CVE-1", False)
    assert scenario.run().saga.state is DeploymentState.ROLLED_BACK
    assert "switch-web" not in scenario.names()
    assert "deploy-container-web" in scenario.names(Direction.UNDO)
    ending = scenario.events[-1].fact()
    assert isinstance(ending, DeploymentRolledBack)
    assert ending.failed_step == "gate-scanner"


@pytest.mark.parametrize(("default", "ends"), [("fail", DeploymentState.FAILED), ("pass", DeploymentState.SUCCEEDED)])
def test_where_nobody_answers_the_default_counts(default: Verdict, ends: DeploymentState) -> None:
    """It is said that nobody answered."""
    scenario = asks(gate(Before.DEPLOY, default=default)).run()
    assert scenario.saga.state is ends
    said = newest(scenario, "GatePassed" if default == "pass" else "GateFailed").fact()
    assert isinstance(said, GatePassed | GateFailed)
    assert (said.by, said.defaulted) == ("", True)
    assert "nobody answered within 10 minutes" in str(said)


def test_several_gates_are_asked_at_once_and_all_must_pass() -> None:
    """It waits for the last one; a no of any ends it, and the others are not awaited any more."""
    scenario = asks(gate(Before.DEPLOY), gate(Before.DEPLOY, "ticket"))
    assert scenario.happened().count("GateRequested") == 2
    says(scenario, "pass")
    assert waits(scenario)
    says(scenario, "fail", "ticket")
    assert scenario.saga.state is DeploymentState.FAILED
    other = asks(gate(Before.SWITCH), gate(Before.SWITCH, "ticket"))
    says(other, "fail", "ticket")
    assert other.run().saga.state is DeploymentState.ROLLED_BACK
    assert other.saga.steps["gate-scanner"].state is StepState.SKIPPED
    assert "GatePassed" not in other.happened()


def test_an_answer_in_time_counts_however_late_it_is_read() -> None:
    """Between the deadline and the default there is a moment for what is under way; what came later is refused."""
    scenario = asks(gate(Before.DEPLOY))
    in_time = scenario.now + timedelta(seconds=599)
    scenario.now += timedelta(seconds=601)
    scenario.feed(i.Tick(connected_since=scenario.now - timedelta(hours=1)))
    says(scenario, "pass", at=scenario.now)
    assert scenario.saga.state is DeploymentState.WAITING
    assert "after its deadline" in str(newest(scenario, "RequestRefused").data["reason"])
    says(scenario, "pass", at=in_time)
    assert scenario.run().saga.state is DeploymentState.SUCCEEDED


def test_after_a_time_without_a_connection_answers_are_read_before_the_default_counts() -> None:
    """The deadline passed while the coordinator was away."""
    scenario = asks(gate(Before.DEPLOY))
    answered = scenario.now + timedelta(seconds=5)
    scenario.now += timedelta(hours=2)
    scenario.feed(i.Tick(connected_since=scenario.now))
    assert scenario.saga.state is DeploymentState.WAITING
    says(scenario, "pass", at=answered)
    assert newest(scenario, "GatePassed").data["defaulted"] is False


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"name": "other"}, "does not ask the gate other"),
        ({"gate_id": "id-of-another"}, "another gate of the name scanner"),
        ({"name": "later"}, "the gate later is not asked yet"),
    ],
)
def test_an_answer_that_nothing_awaits_changes_nothing_and_is_refused(more: dict[str, str], why: str) -> None:
    """Whoever gave it is told why, and nothing else comes of that."""
    scenario = asks(gate(Before.BUILD), gate(Before.SWITCH, "later"))
    before = scenario.saga
    says(scenario, "pass", **more)
    refused = scenario.events[-1]
    assert isinstance(refused.fact(), RequestRefused)
    assert refused.cause == "request-1"
    assert why in str(refused.data["reason"])
    assert (scenario.saga.steps, scenario.saga.state, scenario.saga.event) == (before.steps, before.state, before.event)


def test_a_second_answer_changes_nothing() -> None:
    """The first one stands."""
    scenario = asks(gate(Before.BUILD), gate(Before.DEPLOY, "ticket"))
    says(scenario, "pass")
    says(scenario, "fail", cause="request-2")
    assert newest(scenario, "RequestRefused").data["reason"] == "the gate scanner has passed already"
    assert scenario.run(waits).saga.steps["gate-ticket"].at_work


@pytest.mark.parametrize("before", STAGES)
def test_a_deployment_that_waits_for_a_gate_can_be_cancelled(before: Before) -> None:
    """With the lock everything is taken back; no answer is awaited any more."""
    scenario = asks(gate(before))
    scenario.feed(i.Cancelled(by="ada", cause="request-2"))
    assert scenario.run().saga.state is DeploymentState.CANCELLED
    assert ("undo" in str([command.direction for command in scenario.commands])) == (before is Before.SWITCH)
    assert not scenario.saga.steps["gate-scanner"].at_work


@pytest.mark.parametrize("before", STAGES)
def test_a_newer_one_takes_its_place_only_before_the_lock(before: Before) -> None:
    """With the lock held it goes on."""
    scenario = asks(gate(before))
    scenario.feed(i.Superseded(by="d2", reason="a newer commit was pushed"))
    assert scenario.saga.state is (DeploymentState.WAITING if before is Before.SWITCH else DeploymentState.SUPERSEDED)


def test_an_approval_does_not_let_it_past_a_gate() -> None:
    """It waits for something else."""
    scenario = asks(gate(Before.DEPLOY))
    scenario.feed(i.Approved(by="ada", approved=True))
    assert scenario.saga.state is DeploymentState.WAITING


def test_a_removal_asks_the_gates_before_the_target_is_touched() -> None:
    """There is nothing to build and nothing to switch."""
    former = Scenario().run().saga.plan
    assert former is not None
    scenario = Scenario(
        origin=origin(gates=tuple(gate(before, f"g-{before}") for before in Before), kind=ReleaseKind.REMOVE, source=None),
        record=Record(releases=former.releases),
    ).run(waits)
    says(scenario, "pass", "g-deploy")
    assert scenario.run().saga.state is DeploymentState.SUCCEEDED
    assert scenario.happened().count("GateRequested") == 1


def test_where_nothing_changes_no_traffic_waits_for_a_gate() -> None:
    """The release that runs has the same key."""
    former = Scenario().run().saga.plan
    assert former is not None
    record = Record(releases=former.releases, databases=former.databases)
    scenario = Scenario(origin=origin(gates=(gate(Before.SWITCH),)), record=record).run()
    assert scenario.saga.state is DeploymentState.SUCCEEDED
    assert "GateRequested" not in scenario.happened()
