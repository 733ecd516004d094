"""What people and tools read of a gate, from the events that the engine makes: the page, the narration, the explanation, what is told."""

import pytest

from cli.causes import DONE, FAILED, rows
from services.api.projection import fold
from services.coordinator import inputs as i
from services.notifier.cdevents.mapping import cdevents_of
from services.notifier.cdevents.telling import Telling
from services.notifier.wording import wording
from shared.contracts.events import Event
from shared.contracts.gates import Before
from shared.narration import Narrator
from shared.plain import PlainText
from tests.unit.coordinator.scenario import Scenario
from tests.unit.coordinator.test_gates import asks, gate, newest, says


def told(events: list[Event]) -> list[str]:
    """The lines of a git push."""
    narrator, plain = Narrator("d1"), PlainText()
    return [text for event in events for line in narrator.event(event) for text in plain.draw(line)]


def refused_with_the_lock() -> Scenario:
    """A gate before the switch has said no."""
    scenario = asks(gate(Before.SWITCH))
    says(scenario, "fail", by="Ada")
    return scenario.run()


@pytest.mark.parametrize(("before", "state"), [(Before.BUILD, "building"), (Before.DEPLOY, "building"), (Before.SWITCH, "running")])
def test_the_page_says_what_it_waits_for(before: Before, state: str) -> None:
    """And goes on from there once all have answered."""
    scenario = asks(gate(before), gate(before, "ticket"))
    waiting = fold(scenario.events)
    assert waiting is not None
    assert (waiting.deployment.state, waiting.deployment.waiting_for) == ("waiting", "gate scanner, gate ticket")
    says(scenario, "pass")
    one = fold(scenario.events)
    assert one is not None
    assert (one.deployment.state, one.deployment.waiting_for) == ("waiting", "gate ticket")
    assert one.steps["gate-scanner"].state == "done"
    answered = len(scenario.events)
    says(scenario, "pass", "ticket")
    both = fold(scenario.events[: answered + 1])
    assert both is not None
    assert (both.deployment.state, both.deployment.waiting_for) == (state, None)


@pytest.mark.parametrize("before", [*Before])
def test_a_gate_that_nobody_awaits_any_more_is_shown_so(before: Before) -> None:
    """The deployment was cancelled meanwhile."""
    scenario = asks(gate(before))
    scenario.feed(i.Cancelled(by="ada"))
    pages = fold(scenario.run().events)
    assert pages is not None
    assert (pages.deployment.state, pages.deployment.waiting_for) == ("cancelled", None)
    assert pages.steps["gate-scanner"].state == "skipped"


def test_the_pusher_sees_the_question_and_the_answer() -> None:
    """With deadline and default, and in the end with the reason."""
    scenario = asks(gate(Before.DEPLOY))
    says(scenario, "pass")
    lines = told(scenario.run().events)
    asked = next(at for at, line in enumerate(lines) if "gate scanner is asked before the deploy" in line)
    assert "it fails where nobody" in " ".join(lines[asked : asked + 2])
    assert any("✓ gate scanner (CVE-1)" in line for line in lines[asked:])


def test_the_pusher_sees_who_said_no_and_why() -> None:
    """And that the environment runs what it ran before."""
    lines = told(refused_with_the_lock().events)
    assert any("✗ gate scanner" in line for line in lines)
    assert "      by Ada: CVE-1" in lines
    assert any("gate scanner failed: CVE-1" in line for line in lines)


def test_the_explanation_has_one_row_a_gate() -> None:
    """With question, answer, who and why."""
    passed = asks(gate(Before.BUILD))
    says(passed, "pass", by="Ada")
    row = next(row for row in rows(passed.run().events) if row.step == "gate-scanner")
    assert (row.state, row.events, row.details[-1]) == (DONE, ["GateRequested", "GatePassed"], "by Ada: CVE-1")
    row = next(row for row in rows(refused_with_the_lock().events) if row.step == "gate-scanner")
    assert (row.state, row.details[-1]) == (FAILED, "by Ada: CVE-1")
    nobody = asks(gate(Before.DEPLOY)).run()
    row = next(row for row in rows(nobody.events) if row.step == "gate-scanner")
    assert row.details[-1] == "nobody answered within 10 minutes"


def test_a_channel_that_wants_to_hears_of_gates() -> None:
    """The end of the deployment names the reason in any case."""
    scenario = refused_with_the_lock()
    assert wording(newest(scenario, "GateRequested"), None).title == "todo/production waits for gate scanner"
    failed = wording(newest(scenario, "GateFailed"), None)
    assert (failed.title, failed.lines) == ("todo/production failed at gate scanner", ("by Ada: CVE-1",))
    assert "gate scanner failed: CVE-1" in wording(newest(scenario, "DeploymentRolledBack"), None).lines


def test_a_gate_is_a_task_run_for_tools_that_know_cdevents() -> None:
    """It starts with the question and ends with the answer."""
    scenario = refused_with_the_lock()
    events = [event for event in scenario.events if event.step == "gate-scanner"]
    outside = [one for event in events for one in cdevents_of(Telling(event, "https://slipway.example"))]
    assert [one.kind for one in outside] == ["taskrun.started", "taskrun.finished"]
