"""What people read."""

from datetime import UTC, datetime

from services.notifier.deployments import Deployment
from services.notifier.providers.forges.states import DESCRIPTION, FORGE_STATES, description_of, environment_url
from services.notifier.wording import Tone, wording
from shared.contracts.answers import Failure
from shared.contracts.events import DeploymentFailed, DeploymentRolledBack, DeploymentSucceeded, Event, MessageGivenUp
from shared.contracts.facts import FACTS, DeploymentDenied, Fact

DEPLOYMENT = Deployment(
    "d1", "main", "todo", "production", "production", "r", "refs/heads/main", "a" * 40, "Fix \x1b[31mthe\nlist", "ada",
    datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip
FAILURE = Failure(code="crashed", message="It exits with 1", log_tail=tuple(f"line {number}" for number in range(9)))


def _event(fact: Fact) -> Event:
    return Event.of(fact, "main", "todo", "production", deployment="d1")


def test_a_success_names_place_and_address() -> None:
    """Who deployed what, and where it answers."""
    told = wording(_event(DeploymentSucceeded(urls=("https://todo.example",), seconds=12.4)), DEPLOYMENT, "https://slipway.example/")
    assert told.title == "todo/production is live after 12 s"
    assert told.lines == (
        "https://todo.example",
        "aaaaaaaaaa Fix the list",
        "pushed by ada",
        "https://slipway.example/deployments/d1",
    )
    assert told.tone is Tone.GOOD


def test_a_roll_back_says_why_and_what_cannot_come_back() -> None:
    """The reason, the last lines of the log, and what is honest to add."""
    fact = DeploymentRolledBack(reason="check container failed", failure=FAILURE, kept=("rows written",))
    told = wording(_event(fact), None)
    assert told.title == "todo/production was rolled back"
    assert told.lines[:2] == ("check container failed", "It exits with 1")
    assert told.lines[-2:] == ("line 8", "cannot come back: rows written")
    assert told.tone is Tone.BAD


def test_a_dead_letter_says_whose_and_where_to_look() -> None:
    """It is the platform's own, of no project."""
    told = wording(Event.of(MessageGivenUp(letter=7, service="coordinator", reason="unknown request"), "main"), None)
    assert told.title == "main has a dead letter of coordinator"
    assert told.lines == ("unknown request", "slipway deadletters show 7")
    assert told.tone is Tone.BAD


def test_an_event_of_a_newer_version_is_told_by_its_name() -> None:
    """What this version does not know is not silently dropped."""
    told = wording(Event(name="MoonLanded", organization="main"), None)
    assert told.title == "main moon landed"


def test_descriptions_on_a_forge_fit() -> None:
    """GitHub takes 140 characters; a reason is cut, and one line stays one line."""
    event = _event(DeploymentFailed(reason="é" * 200 + "\nx"))
    text = description_of(FORGE_STATES["DeploymentFailed"], event)
    assert len(text) == DESCRIPTION
    assert text.startswith("Failed, nothing was touched: é")
    assert text.endswith("…")
    denied = _event(DeploymentDenied(rule="only deployer may", reason="Link it"))
    assert description_of(FORGE_STATES["DeploymentDenied"], denied) == "Denied: Link it"


def test_a_deployment_that_changes_nothing_says_so() -> None:
    """To people and on the commit: it has succeeded, and nothing was touched."""
    event = _event(DeploymentSucceeded(urls=("https://todo.example",), changed=False))
    assert description_of(FORGE_STATES[event.name], event) == "Nothing to do: all of it runs already"
    assert wording(event, DEPLOYMENT).title == "todo/production runs all of it already: nothing to do"


def test_every_state_belongs_to_an_event_that_exists() -> None:
    """The table names facts of the contracts."""
    assert set(FORGE_STATES) <= set(FACTS)


def test_only_a_success_has_an_address() -> None:
    """The environment's address is shown when it answers there."""
    assert environment_url(_event(DeploymentSucceeded(urls=("https://a", "https://b")))) == "https://a"
    assert environment_url(_event(DeploymentSucceeded())) == ""
