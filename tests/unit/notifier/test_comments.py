"""What a change request's comment says."""

from datetime import UTC, datetime, timedelta

import pytest

from services.notifier.comments.markdown import address, code, link
from services.notifier.comments.runs import previews_of
from services.notifier.comments.text import LONGEST, text_of
from shared.contracts import events as e
from shared.contracts.events import Event
from shared.contracts.facts import Fact
from shared.contracts.places import EnvironmentKind
from shared.contracts.releases import ReleaseKind

START = datetime(2026, 11, 29, 10, tzinfo=UTC)


def _events(deployment: str, *facts: Fact, environment: str = "pr-7", kind: ReleaseKind = ReleaseKind.DEPLOY) -> list[Event]:
    created = e.DeploymentCreated(kind=kind, environment_kind=EnvironmentKind.PREVIEW, target="local", commit=deployment * 40, title="T")
    began = START + timedelta(minutes=ord(deployment))
    return [
        Event.of(fact, "main", "todo", environment, deployment=deployment, sequence=number + 1).model_copy(
            update={"time": began + timedelta(seconds=number)}
        )
        for number, fact in enumerate((created, *facts))
    ]


def _text(*events: Event) -> str:
    return text_of(previews_of(events), "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@ada #12 !3 [x](http://x)", "`@\u200bada #12 !3 [x](http://x)`"),
        ("`` ` ``<b>", "`'' ' ''<b>`"),
        ("one\n\n/close\x1b[31m", "`one  /close`"),
        ("  ", ""),
        ("x" * 400, f"`{'x' * 300}…`"),
    ],
)
def test_text_from_outside_is_only_text(text: str, shown: str) -> None:
    """No mention, reference, link, markup or command of any forge; one line that does not end the span it is in."""
    assert code(text) == shown


def test_only_plain_addresses_are_links() -> None:
    """What could end a link early is text."""
    assert address("https://web.pr-7.todo.main.localhost:8443") == "<https://web.pr-7.todo.main.localhost:8443>"
    assert address("https://x> <b") == "`https://x> <b`"
    assert link("here", "https://x)[y](z") == "here"


def test_the_order_in_which_events_come_does_not_matter() -> None:
    """They are numbered, and deployments have a time."""
    events = [*_events("a", e.DeploymentSucceeded(urls=("https://a",))), *_events("b", e.DeploymentStarted(epoch=2))]
    assert _text(*events) == _text(*reversed(events))
    assert "Runs commit `aaaaaaaaaa` at <https://a>" in _text(*events)


def test_what_was_superseded_is_not_told_of() -> None:
    """Unless nothing else was deployed."""
    superseded = _events("b", e.DeploymentSuperseded(reason="newer"))
    assert "**Live**" in _text(*_events("a", e.DeploymentSucceeded()), *superseded)
    assert "**Superseded by a newer deployment**" in _text(*superseded)


def test_a_removal_that_fails_leaves_what_runs() -> None:
    """It says that it is not gone; opened again afterwards it starts from nothing."""
    live = _events("a", e.DeploymentSucceeded(urls=("https://a",)))
    failed = _events("b", e.DeploymentRolledBack(reason="no space"), kind=ReleaseKind.REMOVE)
    assert "**Not removed (Rolled back)**" in _text(*live, *failed)
    assert "<https://a>" in _text(*live, *failed)
    gone = _events("c", e.DeploymentSucceeded(), kind=ReleaseKind.REMOVE)
    again = _events("d", e.DeploymentStarted(epoch=4))
    assert "<https://a>" not in _text(*live, *failed, *gone, *again)


def test_a_deployment_whose_first_event_has_not_come_is_not_told_of() -> None:
    """Nor one of a name that this version does not know."""
    later = _events("a", e.DeploymentStarted(epoch=1))[1:]
    assert _text(*later, Event(name="MoonLanded", organization="main", deployment="a", sequence=9)) == ""


def test_a_comment_is_no_longer_than_forges_take() -> None:
    """Whole sections, and a sign that there is more."""
    failed = e.DeploymentFailed(reason="r" * 500)
    events = [event for number in range(200) for event in _events(chr(1000 + number), failed, environment=f"e-{number}")]
    text = _text(*events)
    assert len(text) < LONGEST
    assert text.endswith("\n\n…")
