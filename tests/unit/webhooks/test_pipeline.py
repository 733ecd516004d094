"""What a pusher reads, for the cases that are hard to bring about with a real push."""

from services.webhooks.git.pipeline import GAP_S, SILENT_S, Story
from shared.contracts.events import ChangeIgnored, ChangeTaken, DeploymentCreated, DeploymentSucceeded, Event, StepStarted
from shared.contracts.facts import ApprovalRequested, Fact
from shared.contracts.places import EnvironmentKind
from shared.contracts.releases import ReleaseKind


def _event(fact: Fact, deployment: str | None = None, sequence: int | None = None) -> Event:
    return Event.of(fact, "main", "todo", deployment, deployment=deployment, sequence=sequence)


def _created(deployment: str, change: str = "c1") -> Event:
    fact = DeploymentCreated(kind=ReleaseKind.DEPLOY, environment_kind=EnvironmentKind.STAGING, target="local", change=change)
    return _event(fact, deployment, 1)


def _taken(*deployments: str, change: str = "c1") -> Event:
    return _event(ChangeTaken(change=change, deployments=deployments, ref="refs/heads/main", commit="a" * 40))


def _tell(story: Story, *events: Event) -> list[str]:
    return [line for event in events for line in story.event(event, 0.0)]


def test_two_environments_are_told_one_after_the_other() -> None:
    """The second waits with its lines until the first has ended."""
    story = Story({"c1": "main"}, 0.0)
    told = _tell(story, _taken("one", "two"), _created("two"), _created("one"))
    assert [line.split()[1] for line in told if "todo/" in line] == ["todo/one"]
    told = _tell(story, _event(DeploymentSucceeded(urls=("https://web",), seconds=1), "one", 2))
    assert any("todo/two" in line for line in told)
    assert not story.over
    _tell(story, _event(DeploymentSucceeded(urls=("https://web",), seconds=1), "two", 2))
    assert story.over


def test_events_that_came_before_their_change_was_taken_are_told() -> None:
    """The relay promises no order."""
    story = Story({"c1": "main"}, 0.0)
    assert _tell(story, _event(DeploymentSucceeded(urls=("https://web",), seconds=1), "one", 2)) == []
    told = _tell(story, _created("one"), _taken("one"))
    assert any("Live" in line for line in told)
    assert story.over


def test_other_pushes_of_the_project_are_not_told() -> None:
    """Somebody else's change, somebody else's deployment."""
    story = Story({"c1": "main"}, 0.0)
    assert _tell(story, _taken("other", change="c2"), _created("other", change="c2")) == []
    assert not story.over


def test_a_missing_event_is_not_waited_for_without_end() -> None:
    """After a while the story goes on without it."""
    story = Story({"c1": "main"}, 0.0)
    _tell(story, _taken("one"), _created("one"), _event(DeploymentSucceeded(urls=("https://web",), seconds=1), "one", 3))
    assert not story.over
    list(story.tick(1.0))
    told = list(story.tick(1.5 + GAP_S))
    assert any("Live" in line for line in told)
    assert story.over


def test_silence_is_broken() -> None:
    """While the coordinator has not answered, and while a step works without a word."""
    story = Story({"c1": "main"}, 0.0)
    assert list(story.tick(SILENT_S - 1)) == []
    assert list(story.tick(SILENT_S)) == ["  … waits for the coordinator (15s); the push is kept"]
    list(story.event(_taken("one"), SILENT_S))
    list(story.event(_created("one"), SILENT_S))
    list(
        story.event(
            Event.of(StepStarted(attempt=1, title="check database"), "main", deployment="one", step="check-database", sequence=2), SILENT_S
        )
    )
    assert list(story.tick(3 * SILENT_S)) == ["", "  Deploy", "    … check database: still at work"]


def test_approval_is_not_waited_for() -> None:
    """It may take days; the pusher is told how to approve."""
    story = Story({"c1": "main"}, 0.0)
    told = _tell(story, _taken("one"), _created("one"), _event(ApprovalRequested(rule="production asks"), "one", 2))
    assert told[-1] == "    → slipway approve one"
    assert story.over


def test_an_ignored_change_ends_it() -> None:
    """With the reason."""
    story = Story({"c1": "main"}, 0.0)
    fact = ChangeIgnored(change="c1", reason="frozen", ref="refs/heads/main", commit="a" * 40)
    assert _tell(story, _event(fact)) == ["  main: nothing to deploy, frozen"]
    assert story.over
