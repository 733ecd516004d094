"""Deployments as CDEvents: valid against the published schemas, linked, and the same however often they are told."""

import json
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import pytest
from referencing import Registry, Resource

from services.coordinator import inputs as i
from services.coordinator.snapshot import Record
from services.notifier.cdevents.mapping import cdevents_of
from services.notifier.cdevents.purl import purl
from services.notifier.cdevents.telling import Telling
from shared.contracts.answers import Failure
from shared.contracts.cdevents import KINDS, OutsideEvent
from shared.contracts.commands import Command, Direction
from shared.contracts.events import CatalogueChanged, ChangeTaken, Event
from shared.contracts.releases import ReleaseKind
from tests.unit.coordinator.scenario import SOURCE, Scenario, Script, fails, origin

SCHEMAS = Path(__file__).parents[2] / "data" / "cdevents"
_DOCUMENTS = {path.stem: json.loads(path.read_text()) for path in SCHEMAS.rglob("*.json")}
_REGISTRY: Registry[object] = Registry().with_resources(
    (document["$id"], Resource.from_contents(document)) for document in _DOCUMENTS.values()
)
IMAGE = f"registry/web@sha256:{'1' * 64}"


def validate(told: OutsideEvent) -> None:
    """Raises where the published schema of its type does not take what is sent."""
    schema = _DOCUMENTS[told.kind.replace(".", "")]
    checker = jsonschema.Draft202012Validator(schema, registry=_REGISTRY, format_checker=jsonschema.FormatChecker())
    checker.validate(json.loads(told.encode()))


def told(events: Sequence[Event]) -> list[OutsideEvent]:
    """What outside tools are told of these events."""
    return [each for event in events for each in cdevents_of(Telling(event, SOURCE.commit, "https://slipway.example"))]


def kinds(events: Sequence[OutsideEvent]) -> list[str]:
    """`build.started`, …"""
    return [event.kind for event in events]


def change() -> Event:
    """The push that the scenarios' deployments come of."""
    fact = ChangeTaken(change="change-1", deployments=("d1",), ref=SOURCE.ref, commit=SOURCE.commit, repository=SOURCE.repository)
    return Event.of(fact, "main", "todo", cause="change-1")


def after_one() -> Record:
    """The environment after a first deployment."""
    plan = Scenario().run().saga.plan
    assert plan is not None
    return Record(releases=plan.releases, databases=plan.databases)


def second(script: Script = lambda _command: None) -> Scenario:
    """Another commit in an environment that has one."""
    source = SOURCE.model_copy(update={"commit": "b" * 40})
    return Scenario(record=after_one(), origin=origin(source=source), script=script)


def stuck_then_accepted() -> Scenario:
    """An undo keeps failing until a person takes it as it stands."""

    def script(command: Command) -> Failure | str | None:
        return fails("check-endpoint-web")(command) or fails("switch-web", direction=Direction.UNDO)(command)

    scenario = Scenario(script=script).run()
    scenario.feed(i.Accepted(by="ada"))
    return scenario.run()


STORIES = {
    "the first deployment": Scenario(),
    "the second": second(),
    "one that changes nothing": Scenario(record=after_one()),
    "a build that fails": Scenario(script=fails("build-web")),
    "a check that fails": second(fails("check-endpoint-web")),
    "a first one that fails": Scenario(script=fails("check-endpoint-web")),
    "a denied one": Scenario(script=fails("authorise")),
}


@pytest.mark.parametrize("name", STORIES)
def test_every_event_of_a_deployment_is_valid(name: str) -> None:
    """Whatever its course, and with every link to something that was told, under ids of their own."""
    events = told([change(), *STORIES[name].run().events])
    known: set[str] = set()
    for event in events:
        validate(event)
        assert event.id not in known
        linked = {end.context_id for link in event.document.context.links for end in (link.origin, link.target) if end is not None}
        assert linked <= known, event.id
        known.add(event.id)


def test_a_first_deployment_is_told_whole() -> None:
    """From the push to the service, with the artifact that it runs."""
    events = told([change(), *Scenario().run().events])
    without_tasks = [kind for kind in kinds(events) if not kind.startswith("taskrun")]
    assert without_tasks == [
        "change.merged", "pipelinerun.queued", "pipelinerun.started", "build.queued", "build.started", "build.finished",
        "artifact.packaged", "artifact.published", "service.deployed", "pipelinerun.finished",
    ]  # fmt: skip
    deployed = events[kinds(events).index("service.deployed")]
    assert deployed.document.subject.content == {
        "environment": {"id": "todo/production", "source": "slipway/main/todo"}, "artifactId": purl(IMAGE)
    }  # fmt: skip
    packaged = events[kinds(events).index("artifact.packaged")]
    assert packaged.document.subject.content == {"change": {"id": SOURCE.commit, "source": "slipway/main/todo"}}
    assert events[-1].document.subject.content["outcome"] == "success"


def test_what_keeps_its_release_is_no_build() -> None:
    """Each image that is built is queued once and finished once; where nothing is built, nothing is queued."""
    first = Scenario(trees={"web": "1"}).run()
    assert first.saga.plan is not None
    record = Record(releases=first.saga.plan.releases, databases=first.saga.plan.databases)
    for tree, builds in (("1", []), ("2", ["build.queued", "build.started", "build.finished"])):
        events = told([change(), *Scenario(trees={"web": tree}, record=record).run().events])
        assert [kind for kind in kinds(events) if kind.startswith("build.")] == builds
        assert kinds(events)[-1] == "pipelinerun.finished"


def test_every_step_is_a_task_run_that_ends() -> None:
    """Each that is started is finished; the check of permissions is none."""
    events = told(second(fails("check-endpoint-web")).run().events)
    started = [event.document.subject.id for event in events if event.kind == "taskrun.started"]
    finished = [event.document.subject.id for event in events if event.kind == "taskrun.finished"]
    assert sorted(started) == sorted(finished)
    assert "d1-switch-web" in started
    assert "d1-switch-web.undo" in started
    assert "d1-authorise" not in started


def test_a_second_deployment_upgrades() -> None:
    """What ran before is told apart from what is new."""
    assert "service.upgraded" in kinds(told(second().run().events))


def test_a_failed_check_of_the_address_is_an_incident_that_ends_with_the_roll_back() -> None:
    """People saw it, until the former release took the traffic again."""
    events = told(second(fails("check-endpoint-web")).run().events)
    told_kinds = [kind for kind in kinds(events) if kind.partition(".")[0] in ("service", "incident", "pipelinerun")]
    assert told_kinds == [
        "pipelinerun.queued", "pipelinerun.started", "service.upgraded", "incident.detected", "service.rolledback",
        "incident.resolved", "pipelinerun.finished",
    ]  # fmt: skip
    detected, resolved = (events[kinds(events).index(f"incident.{predicate}")] for predicate in ("detected", "resolved"))
    assert detected.document.subject.id == resolved.document.subject.id
    assert detected.document.subject.content["service"] == {"id": "todo/production/web", "source": "slipway/main/todo"}
    assert events[-1].document.subject.content["outcome"] == "failure"


def test_a_failure_that_nobody_saw_is_no_incident() -> None:
    """Before traffic moved only the run failed."""
    assert "incident.detected" not in kinds(told(Scenario(script=fails("check-container-web")).run().events))


def test_a_service_that_was_not_there_before_is_removed_by_the_roll_back() -> None:
    """There is no artifact to return to."""
    events = told(Scenario(script=fails("check-endpoint-web")).run().events)
    assert kinds(events).count("service.removed") == 1
    assert "service.rolledback" not in kinds(events)


def test_a_roll_back_by_hand_rolls_its_services_back() -> None:
    """The traffic goes to an older release, because a person asked for it."""
    switched = next(event for event in second().run().events if event.name == "TrafficSwitched")
    by_hand = switched.model_copy(update={"data": {**switched.data, "kind": ReleaseKind.ROLLBACK}})
    assert "service.rolledback" in kinds(told([by_hand]))


def test_a_stuck_deployment_is_an_incident_until_a_person_decides() -> None:
    """It is told each time that it gets stuck, and each time that somebody frees it."""
    events = told(stuck_then_accepted().events)
    for event in events:
        validate(event)
    stuck = [event for event in events if event.document.subject.id == "d1-stuck"]
    assert kinds(stuck) == ["incident.detected", "incident.resolved"]


@pytest.mark.parametrize(("action", "kind"), [("created", "created"), ("updated", "modified"), ("deleted", "deleted")])
def test_environments_are_told(action: str, kind: str) -> None:
    """As they come, change and go."""
    fact = CatalogueChanged(kind="environment", name="production", action=action, by="ada")
    (only,) = told([Event.of(fact, "main", "todo", "production")])
    validate(only)
    assert kinds([only]) == [f"environment.{kind}"]
    assert only.bus_subject == f"cdevents.main.todo.environment.{kind}"


def test_telling_again_tells_the_same() -> None:
    """Ids and bodies are made of the event alone, so that a replay is deduplicated."""
    events = [change(), *Scenario().run().events]
    assert [(event.id, event.encode()) for event in told(events)] == [(event.id, event.encode()) for event in told(events)]
    again = change()
    assert [event.id for event in told([again])] == ["change-1.change.merged"]


def test_the_headers_repeat_the_context() -> None:
    """CloudEvents in binary mode, as the binding of CDEvents has it."""
    (only,) = told([change()])
    headers = only.headers("notifier")
    body = json.loads(only.encode())
    context = body["context"]
    assert (headers["ce-id"], headers["ce-source"], headers["ce-type"]) == (context["id"], context["source"], context["type"])
    assert headers["ce-subject"] == body["subject"]["id"] == SOURCE.commit
    assert headers["ce-time"] == context["timestamp"]
    assert headers["Nats-Msg-Id"] == context["id"]
    assert headers["ce-specversion"] == "1.0"
    assert only.bus_subject == "cdevents.main.todo.change.merged"


def test_the_list_of_kinds_is_whole() -> None:
    """Each has its schema, and each that a deployment tells is in it."""
    assert {kind.replace(".", "") for kind in KINDS} == set(_DOCUMENTS) - {
        "embeddedlinkend",
        "embeddedlinkpath",
        "embeddedlinkrelation",
        "embeddedlinksarray",
    }
    assert {event.kind for story in STORIES.values() for event in told(story.events)} <= set(KINDS)


def test_a_fact_of_a_newer_version_is_not_told() -> None:
    """Nothing is guessed."""
    assert told([Event(name="RocketLaunched", organization="main")]) == []


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("127.0.0.1:5000/main/todo/web@sha256:ab12", "pkg:oci/web@sha256%3Aab12?repository_url=127.0.0.1:5000/main/todo/web"),
        ("Postgres", "pkg:oci/postgres?repository_url=Postgres"),
    ],
)
def test_an_image_as_package_url(image: str, expected: str) -> None:
    """With its digest as version, and where it is."""
    assert purl(image) == expected
