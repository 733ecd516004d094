"""Generates docs/asyncapi.json (every message on the bus, by stream, with its schema, events with an example: AsyncAPI 3.0) and docs/metrics.md.

Run by `make docs`.
"""

import json
import sys
from pathlib import Path

from faststream.nats import NatsBroker
from faststream.specification import AsyncAPI
from pydantic import JsonValue

from docs import metrics
from docs.story import story
from docs.telling import source_of
from services.notifier.cdevents.mapping import cdevents_of
from services.notifier.cdevents.telling import Telling
from shared.contracts import events  # noqa: F401 -- every fact registers itself when its module is imported
from shared.contracts.answers import Answer
from shared.contracts.cdevents import KINDS, CDEvent
from shared.contracts.changes import CHANGES
from shared.contracts.commands import Direction
from shared.contracts.events import DeploymentCreated, Event
from shared.contracts.examination import Question, Told
from shared.contracts.facts import FACTS
from shared.contracts.gates import GateAnswer
from shared.contracts.logs import Beat, Cancel, LogLines
from shared.contracts.requests import REQUESTS
from shared.contracts.steps import KIND_OF, pool_of
from shared.messages import Message

TARGET = Path(__file__).parent / "asyncapi.json"
Example = dict[str, JsonValue]
"""Of a message: name, headers, payload."""


def document() -> str:
    """The document as it should be now."""
    broker = NatsBroker()

    def channel(subject: str, schema: type[object], title: str, about: str | None) -> None:
        broker.publisher(subject, schema=schema, title=title, description=about or "")

    for change in CHANGES:
        channel("slipway.chg.{organization}.{connection}", change, change.__name__, change.__doc__)
    for request in REQUESTS:
        verb = request.__name__.removesuffix("Requested").lower()
        channel(f"slipway.req.{{organization}}.{verb}", request, request.__name__, request.__doc__)
    for command, kind in KIND_OF.items():
        pool = pool_of(kind, Direction.DO)
        subject = f"slipway.cmd.{{target}}.{kind.participant}.{pool}.{{deployment}}-{kind.name}.{{direction}}.{{attempt}}"
        channel(subject, command, command.__name__, command.__doc__)
    channel("slipway.res.{target}.{participant}.{step_key}", Answer, "Answer", Answer.__doc__)
    for name, fact in sorted(FACTS.items()):
        if fact.__subclasses__():
            continue  # a base of events, not one itself
        about = ".{gate}" if "gate" in fact.model_fields else ""
        subject = f"slipway.evt.{{organization}}.{{project}}.{{environment}}.{fact.noun_participle}{about}"
        channel(subject, _event_of(name, fact), name, fact.__doc__)
    for told, about in KINDS.items():
        channel(f"cdevents.{{organization}}.{{project}}.{told}", CDEvent, f"cdevents.{told}", about)
    channel("slipway.gate.{organization}.{gate}", GateAnswer, "GateAnswer", GateAnswer.__doc__)
    channel("slipway.log.{target}.{deployment}.{step}", LogLines, "LogLines", LogLines.__doc__)
    channel("slipway.beat.{target}.{step_key}", Beat, "Beat", Beat.__doc__)
    channel("slipway.cancel.{target}.{step_key}", Cancel, "Cancel", Cancel.__doc__)
    channel("slipway.ask.{target}", Question, "Question", Question.__doc__)
    channel("slipway.told.{target}.{question}", Told, "Told", Told.__doc__)
    application = AsyncAPI(
        broker,
        title="Slipway",
        version="1.0.0",
        schema_version="3.0.0",
        description="Everything that crosses Slipway's bus: JSON with CloudEvents 1.0 binary headers.",
    )
    specification = json.loads(application.to_specification().to_json())
    for name, example in examples().items():
        specification["components"]["messages"][f"{name}:Message"]["examples"] = [example]
    return json.dumps(specification, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def examples() -> dict[str, Example]:
    """One of each message of EVENTS and CDEVENTS, by its title: the first of its kind in the story."""
    found: dict[str, Example] = {}
    commits: dict[str | None, str] = {}
    for event in story():
        found.setdefault(event.name, _example(event, source_of(event)))
        if event.name == DeploymentCreated.__name__:
            commits[event.deployment] = str(event.data["commit"] or "")
        for told in cdevents_of(Telling(event, commits.get(event.deployment, ""), "https://slipway.example")):
            found.setdefault(f"cdevents.{told.kind}", _example(told, "notifier"))
    return found


def _example(message: Message, source: str) -> Example:
    """As it is on the bus."""
    headers: dict[str, JsonValue] = {**message.headers(source)}
    return {"name": message.id, "headers": headers, "payload": json.loads(message.encode())}


def _event_of(name: str, fact: type[Message] | type[object]) -> type[Event]:
    """The envelope with the fact's own schema in `data`."""
    return type(f"{name}Event", (Event,), {"__annotations__": {"data": fact}, "__module__": __name__, "__doc__": fact.__doc__})


def main() -> None:
    """Writes the documents; with --check only says whether they are current."""
    for target, text in ((TARGET, document()), (metrics.TARGET, metrics.document())):
        if "--check" not in sys.argv:
            target.write_text(text)
        elif not target.exists() or target.read_text() != text:
            sys.exit(f"{target.name} is not current: run `make docs`")


if __name__ == "__main__":
    main()
