"""Waiting for something while api is started again: what was begun goes on, and its end is the command's."""

import json

import pytest

from cli import client
from shared.contracts.events import DeploymentStuck, DeploymentUnstuck
from tests.component.api.story import FAILURE, Story, successful
from tests.integration.cli.stand_in import AWAY, Answer, standing_in, told


def stream(story: Story, first: int = 0, last: int | None = None) -> str:
    """The story's events as a stream has them."""
    events = story.events[first:last]
    return "".join(told("event", at, **event.model_dump(mode="json")) for at, event in enumerate(events, first + 1))


def page(story: Story, state: str, ended_at: str | None = "2026-11-01T00:00:00Z") -> Answer:
    """Its page."""
    top = {"id": story.deployment, "project": "todo", "environment": "production", "state": state, "ended_at": ended_at}
    return Answer({"deployment": top, "steps": []})


def test_a_deployment_is_followed_across_a_restart_of_api() -> None:
    """It goes on behind the last event, and its page is asked for until it is there."""
    story = successful()
    streams = [Answer(stream(story, 0, 3), cut=True), AWAY, AWAY, Answer(stream(story, 3))]
    path = f"/deployments/{story.deployment}"
    with standing_in({f"{path}/stream": streams, path: [page(story, "running", None), AWAY, page(story, "succeeded")]}) as platform:
        done = platform.slipway("logs", "-f", story.deployment)
    assert done.exit_code == 0, done.output
    assert "Live" in done.output
    assert platform.asked[1:4] == [f"GET {path}/stream", *[f"GET {path}/stream from 3-0"] * 2]


def test_a_stream_that_api_closes_in_order_is_not_the_end() -> None:
    """It is `end` that ends it: an api that is told to stop closes its streams as well."""
    story = successful()
    path = f"/deployments/{story.deployment}"
    streams = [Answer(stream(story, 0, 3)), Answer(stream(story, 3))]
    with standing_in({f"{path}/stream": streams, path: [page(story, "succeeded")]}) as platform:
        done = platform.slipway("logs", "-f", story.deployment)
    assert done.exit_code == 0, done.output
    assert "Live" in done.output


def test_a_wish_is_waited_for_across_a_restart_of_api() -> None:
    """It is kept, so it leads to a deployment; that its page cannot be read for a moment is no failure."""
    story = successful()
    taken = Answer({"state": "taken", "deployment": story.deployment})
    path = f"/deployments/{story.deployment}"
    answers = {
        "/deployments": [Answer({"request": "w1"}, 202)],
        "/requests/w1": [AWAY, Answer({"type": "/problems/unavailable", "detail": "Not now."}, 503), Answer(cut=True), taken],
        f"{path}/stream": [Answer(stream(story))],
        path: [page(story, "succeeded")],
    }
    with standing_in(answers) as platform:
        done = platform.slipway("deploy", "-p", "todo")
    assert done.exit_code == 0, done.output


def test_a_platform_that_stays_away_is_told_of_with_what_becomes_of_the_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 1; neither the wish nor the deployment is said to have failed."""
    monkeypatch.setattr(client, "RETURNS", 1)
    monkeypatch.setattr("cli.live.RETURNS", 1)
    answers = {
        "/deployments": [Answer({"request": "w1"}, 202)],
        "/requests/w1": [AWAY],
        "/deployments/d1": [Answer({})],
        "/deployments/d1/stream": [AWAY],
    }
    with standing_in(answers) as platform:
        asked, followed = platform.slipway("deploy", "-p", "todo"), platform.slipway("logs", "-f", "d1")
    assert (asked.exit_code, "is kept, and will be done" in asked.stderr) == (1, True)
    assert (followed.exit_code, "goes on without you" in followed.stderr) == (1, True)


def test_what_does_not_run_from_the_start_is_not_waited_for() -> None:
    """Nothing was begun that would go on: it is said at once, as by every other command."""
    with standing_in({"/deployments/d1": [AWAY]}) as platform:
        done = platform.slipway("logs", "-f", "d1")
    assert (done.exit_code, "Start it: slipway up" in done.stderr) == (1, True)
    assert platform.asked == ["GET /deployments/d1"]


def test_programs_learn_how_it_ended_from_the_status_too() -> None:
    """As people do: 1 for a deployment that did not succeed, whatever is printed."""
    streams = [Answer(told("end", 1, state="rolled_back")), Answer(told("end", 1, state="succeeded"))]
    with standing_in({"/deployments/d1": [Answer({})], "/deployments/d1/stream": streams}) as platform:
        bad, good = [platform.slipway("logs", "-f", "d1", "--json") for _ in range(2)]
    assert json.loads(bad.stdout) == {"kind": "end", "data": {"state": "rolled_back"}}
    assert (bad.exit_code, json.loads(bad.stderr)["error"]["message"]) == (1, "d1: rolled back")
    assert good.exit_code == 0


def test_a_deployment_that_was_stuck_once_is_followed_to_its_end() -> None:
    """Its stream begins at the beginning: that it was stuck there is not its end; where it is stuck now, it is told."""
    story = Story()
    story.created()
    story.until_the_check()
    story.tell(DeploymentStuck(step="deploy-container-web", failure=FAILURE))
    stuck = stream(story)
    story.tell(DeploymentUnstuck(by="zoe", action="retry"))
    story.rolls_back()
    path = f"/deployments/{story.deployment}"
    with standing_in({f"{path}/stream": [Answer(stream(story))], path: [page(story, "rolled_back")]}) as platform:
        went_on = platform.slipway("logs", "-f", story.deployment)
    with standing_in({f"{path}/stream": [Answer(stuck)], path: [page(story, "stuck", None)]}) as platform:
        waits = platform.slipway("logs", "-f", story.deployment)
    assert "The environment runs what it ran before." in went_on.stdout
    assert (waits.exit_code, "todo/production: stuck" in waits.stderr) == (1, True)


def test_a_new_tool_is_waited_for_across_a_restart_of_api() -> None:
    """Its password, which is shown this once, was shown: to add it again would be refused."""
    connection = {"url": "nats://x", "user": "u", "stream": "EVENTS", "consumer": "c", "inbox_prefix": "i"}
    made = {"name": "tool", "password": "p", "connection": connection, "server_entry": ""}
    answers = {"/subscribers/main": [Answer(made)], "/subscribers/main/tool": [AWAY, Answer({"ready": True})]}
    with standing_in(answers) as platform:
        done = platform.slipway("subscribers", "add", "tool", "--filter", "slipway.evt.main.>")
    assert done.exit_code == 0, done.output
