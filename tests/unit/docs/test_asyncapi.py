"""The published description of the bus."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from docs import generate
from docs.story import story
from shared.contracts.cdevents import KINDS
from shared.contracts.facts import FACTS

DOCUMENT: dict[str, Any] = json.loads(generate.TARGET.read_text())
FACT_NAMES = sorted(name for name, fact in FACTS.items() if not fact.__subclasses__() and fact.__module__.startswith("shared."))


def test_the_asyncapi_document_is_current() -> None:
    """It is what `make docs` would write now."""
    assert generate.TARGET.read_text() == generate.document(), "run `make docs`"


@pytest.mark.parametrize("name", [*FACT_NAMES, *(f"cdevents.{kind}" for kind in KINDS)])
def test_every_event_has_an_example_that_its_schema_takes(name: str) -> None:
    """The envelope, and the fact in it: nothing that it holds is unknown to them."""
    message = DOCUMENT["components"]["messages"][f"{name}:Message"]
    (example,) = message["examples"]
    schema = {**message["payload"], "components": DOCUMENT["components"]}
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(example["payload"])
    assert example["headers"]["ce-id"] == example["name"]
    if name in FACTS:
        assert example["payload"]["name"] == name
        assert set(example["payload"]["data"]) <= set(FACTS[name].model_fields)


def test_the_story_hangs_together() -> None:
    """Numbers without gaps in each deployment, time that goes forward, causes that happened before, facts that can be read."""
    numbers: dict[str, int] = {}
    known: set[str] = set()
    events = story()
    assert [event.time for event in events] == sorted(event.time for event in events)
    for event in events:
        event.fact()
        if event.deployment and event.sequence:
            assert event.sequence == numbers.get(event.deployment, 0) + 1
            numbers[event.deployment] = event.sequence
        if event.sequence and event.sequence > 1:
            assert event.cause in known
        known.add(event.id)
