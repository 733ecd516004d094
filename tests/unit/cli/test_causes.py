"""The tree of causes."""

import subprocess
import sys

from cli.causes import DONE, FAILED, UNDONE, rows
from shared.contracts import events as e
from shared.contracts import facts as f
from shared.contracts.events import Event, Stage
from shared.contracts.steps import BuildFailed
from tests.component.api.story import FAILURE, Story, rolled_back, successful


def test_a_step_is_one_row_with_its_time() -> None:
    """Start and end of a step are one row; every event is in some row, once."""
    story = successful()
    tree = rows(story.events)
    build = next(row for row in tree if row.step == "build-web")
    assert build.events == ["StepStarted", "ImageBuilt"]
    assert build.state == DONE
    assert build.took is not None
    assert sum(len(row.events) for row in tree) == len(story.events)


def test_a_failure_tells_why_and_what_was_undone() -> None:
    """Retries, message and log tail stand at the step; its undo is a row of its own, under the compensation."""
    tree = rows(rolled_back().events)
    check = next(row for row in tree if row.step == "check-container-web")
    assert check.state == FAILED
    assert check.details == ["attempt 2: no answer", "web answered 500 on /health", "See the last lines of its log."]
    assert check.log_tail[0] == "listening on 3000"
    texts = [(row.text, row.state) for row in tree]
    assert ("undo: deploy container web", UNDONE) in texts
    assert texts[-1] == ("deployment rolled back", UNDONE)


def test_what_runs_side_by_side_is_indented_under_its_common_cause() -> None:
    """Two builds that one event caused stand below it, one level deeper; a single consequence stays on the level."""
    story = Story()
    story.created()
    cause = story.events[-1].id
    for service in ("api", "web"):
        started = _caused(story, e.StepStarted(attempt=1, title=f"build image {service}"), cause, f"build-{service}", "started")
        _caused(story, f.ImageBuilt(service=service, image="r@sha256:1"), started.id, f"build-{service}", "done")
    tree = rows(story.events)
    assert [(row.text, row.depth) for row in tree] == [("deployment created", 0), ("build image api", 1), ("build image web", 1)]


def _caused(story: Story, fact: f.Fact, cause: str, step: str, outcome: str) -> Event:
    event = story.tell(fact, step, Stage.BUILD, outcome).model_copy(update={"cause": cause})
    story.events[-1] = event
    return event


def test_order_of_arrival_does_not_matter() -> None:
    """The tree goes by sequence numbers."""
    events = rolled_back().events
    assert rows([*reversed(events), *events]) == rows(events)


def test_no_events_no_tree() -> None:
    """Nothing, and nothing of an unknown event but its name."""
    assert rows([]) == []
    story = Story()
    story.created()
    newer = story.events[0].model_copy(update={"name": "MoonLanded", "data": {}})
    assert [row.text for row in rows([newer])] == ["moon landed"]


def test_every_kind_of_failure_is_shown_as_one() -> None:
    """A program that has imported nothing else than the tree knows them all."""
    program = (
        "import sys; from cli.causes import rows; from shared.contracts.events import Event;"
        "print([(row.state, row.details) for row in rows([Event.decode(line) for line in sys.stdin])])"
    )
    story = Story()
    story.tell(e.StepStarted(attempt=1, title="build image web"), "build-web", Stage.BUILD, "started")
    story.tell(BuildFailed(failure=FAILURE), "build-web", Stage.BUILD, "failed")
    lines = b"\n".join(event.encode() for event in story.events)
    done = subprocess.run([sys.executable, "-c", program], input=lines, capture_output=True, check=True)
    assert done.stdout.decode().startswith("[('failed', ['web answered 500 on /health'")
