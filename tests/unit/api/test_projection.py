"""A deployment's pages, folded from its events."""

import random

from hypothesis import given
from hypothesis import strategies as st

from services.api.projection import fold
from shared.contracts.events import Event
from tests.component.api.story import FAILURE, Story, rolled_back, successful


def test_a_deployment_that_succeeded() -> None:
    """State, addresses and every step's end are on the page."""
    pages = fold(successful().events)
    assert pages is not None
    assert pages.deployment.state == "succeeded"
    assert pages.deployment.urls == ("https://web.production.todo.main.localhost:8443",)
    assert pages.deployment.epoch == 3
    assert [(step.step, step.state) for step in pages.steps.values()] == [
        ("authorise", "done"),
        ("inspect", "done"),
        ("build-web", "done"),
        ("deploy-container-web", "done"),
        ("check-container-web", "done"),
        ("switch-web", "done"),
    ]


def test_a_deployment_that_was_rolled_back() -> None:
    """What failed, what was undone, what never ran and what cannot come back are on the page."""
    pages = fold(rolled_back().events)
    assert pages is not None
    assert pages.deployment.state == "rolled_back"
    assert pages.deployment.failure == FAILURE
    assert pages.deployment.kept == ("rows stay",)
    states = {step.step: step.state for step in pages.steps.values()}
    assert states["check-container-web"] == "failed"
    assert states["deploy-container-web"] == "undone"
    assert states["switch-web"] == "pending"
    assert pages.steps["check-container-web"].retries == ("no answer",)


def test_states_on_the_way() -> None:
    """Each prefix of the events has the state that people know."""
    story = rolled_back()
    seen: list[str] = []
    for end in range(1, len(story.events) + 1):
        pages = fold(story.events[:end])
        assert pages is not None
        if not seen or seen[-1] != pages.deployment.state:
            seen.append(pages.deployment.state)
    assert seen == ["authorizing", "building", "queued", "running", "compensating", "rolled_back"]


@given(st.randoms(use_true_random=False))
def test_order_and_duplicates_do_not_matter(chance: random.Random) -> None:
    """Any order, with any event twice, gives the same pages."""
    events = rolled_back_events
    shuffled = [*events, *chance.choices(events, k=5)]
    chance.shuffle(shuffled)
    assert fold(shuffled) == fold(events)


rolled_back_events = rolled_back().events


def test_an_unknown_fact_changes_nothing_but_the_sequence() -> None:
    """A newer writer's event is passed over."""
    story = Story()
    story.created()
    newer = story.events[0].model_copy(update={"id": "x", "name": "MoonLanded", "data": {}, "sequence": 2})
    pages = fold([*story.events, newer])
    alone = fold(story.events)
    assert pages is not None
    assert alone is not None
    assert pages.deployment.state == alone.deployment.state
    assert pages.deployment.sequence == 2


def test_events_without_a_place_make_no_page() -> None:
    """Nothing is shown of what belongs to no environment."""
    story = Story()
    story.created()
    nowhere = Event.decode(story.events[0].model_copy(update={"project": None}).encode())
    assert fold([nowhere]) is None
