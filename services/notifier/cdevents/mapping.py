"""The table from Slipway's facts to CDEvents. Pure: the same event always makes the same CDEvents, under the same ids.

What a deployment's steps have in common (task runs) is told by their outcome; the rest by the fact, a row each.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from pydantic import JsonValue

from services.notifier.cdevents.purl import purl
from services.notifier.cdevents.telling import UNDOING, Telling, related
from shared.contracts import events as e
from shared.contracts import facts as f
from shared.contracts.cdevents import Link, OutsideEvent
from shared.contracts.facts import Fact, UnknownFact
from shared.contracts.places import EnvironmentKind
from shared.contracts.releases import ReleaseKind
from shared.contracts.steps import BUILD, CHECK_ENDPOINT, BuildFailed, EndpointFailed, title_of
from shared.printable import printable

F = TypeVar("F", bound=Fact)
Row = Callable[[Telling, F], Iterator[OutsideEvent]]

TABLE: dict[type[Fact], Callable[[Telling, Fact], Iterator[OutsideEvent]]] = {}
"""By the fact's class."""

_OUTCOMES = {"done": "success", "undone": "success", "failed": "failure", "undo_failed": "failure"}
_STARTED = ("started", "undoing")
_BRANCHES = "refs/heads/"
_BUILD = f"{BUILD.name}-"
_CHECK_ENDPOINT = f"{CHECK_ENDPOINT.name}-"


def cdevents_of(telling: Telling) -> list[OutsideEvent]:
    """What outside tools are told of an event; nothing of facts that this version does not know."""
    try:
        fact = telling.event.fact()
    except (UnknownFact, ValueError):
        return []
    row = TABLE.get(type(fact))
    return [*_task(telling, fact), *(row(telling, fact) if row else ())]


def _task(telling: Telling, fact: Fact) -> Iterator[OutsideEvent]:
    """A step is a task run, and so is its undo. Checking permissions is none: until then the run is queued."""
    event = telling.event
    if event.step is None or event.stage in (None, e.Stage.AUTH):
        return
    title = f"undo: {title_of(event.step)}" if event.outcome in UNDOING else title_of(event.step)
    content: dict[str, JsonValue] = {"taskName": title, "uri": telling.uri, "pipelineRun": {"id": telling.run, "source": telling.source}}
    subject = f"{telling.run}-{telling.task}"
    if event.outcome in _STARTED:
        yield telling.told("taskrun.started", subject, content, about=telling.task, links=telling.after("pipelinerun.started"))
    elif event.outcome in _OUTCOMES:
        content["outcome"] = _OUTCOMES[event.outcome]
        if (failure := getattr(fact, "failure", None)) is not None:
            content["errors"] = printable(failure.message)
        yield telling.told("taskrun.finished", subject, content, about=telling.task, links=telling.after("taskrun.started", telling.task))


def _of(kind: type[F]) -> Callable[[Row[F]], Row[F]]:
    """Adds a row to the table."""

    def register(row: Row[F]) -> Row[F]:
        def tell(telling: Telling, fact: Fact) -> Iterator[OutsideEvent]:
            assert isinstance(fact, kind)
            return row(telling, fact)

        TABLE[kind] = tell
        return row

    return register


# Changes and pipeline runs


@_of(e.ChangeTaken)
def _change_taken(telling: Telling, fact: e.ChangeTaken) -> Iterator[OutsideEvent]:
    """A push to a branch, under the change's own id: a change may be settled again, by another event."""
    if fact.repository and fact.ref.startswith(_BRANCHES):
        content: dict[str, JsonValue] = {"repository": {"id": fact.repository}}
        yield replace(telling, change=fact.change).told("change.merged", fact.commit, content)


@_of(e.DeploymentCreated)
def _created(telling: Telling, fact: e.DeploymentCreated) -> Iterator[OutsideEvent]:
    pushed = fact.change and (fact.ref or "").startswith(_BRANCHES) and fact.environment_kind is not EnvironmentKind.PREVIEW
    links = related("TRIGGER", f"{fact.change}.change.merged") if pushed else ()
    content: dict[str, JsonValue] = {"pipelineName": telling.pipeline, "uri": telling.uri}
    yield telling.told("pipelinerun.queued", telling.run, content, links=links)


@_of(f.DeploymentAuthorized)
def _authorized(telling: Telling, _fact: f.DeploymentAuthorized) -> Iterator[OutsideEvent]:
    yield _begun(telling)


@_of(f.DeploymentApproved)
def _approved(telling: Telling, _fact: f.DeploymentApproved) -> Iterator[OutsideEvent]:
    yield _begun(telling)


def _begun(telling: Telling) -> OutsideEvent:
    content: dict[str, JsonValue] = {"pipelineName": telling.pipeline, "uri": telling.uri}
    return telling.told("pipelinerun.started", telling.run, content, links=telling.after("pipelinerun.queued"))


@_of(e.DeploymentSucceeded)
def _succeeded(telling: Telling, _fact: e.DeploymentSucceeded) -> Iterator[OutsideEvent]:
    yield _ended(telling, "success")


@_of(e.DeploymentRolledBack)
def _rolled_back(telling: Telling, fact: e.DeploymentRolledBack) -> Iterator[OutsideEvent]:
    if fact.failed_step.startswith(_CHECK_ENDPOINT):
        yield _incident(telling, "resolved", fact.failed_step, "The former release takes the traffic again.")
    yield _ended(telling, "failure", fact.reason)


@_of(e.DeploymentFailed)
def _failed(telling: Telling, fact: e.DeploymentFailed) -> Iterator[OutsideEvent]:
    yield _ended(telling, "failure", fact.reason)


@_of(f.DeploymentDenied)
def _denied(telling: Telling, fact: f.DeploymentDenied) -> Iterator[OutsideEvent]:
    yield _ended(telling, "cancel", fact.reason)


@_of(e.DeploymentCancelled)
def _cancelled(telling: Telling, fact: e.DeploymentCancelled) -> Iterator[OutsideEvent]:
    yield _ended(telling, "cancel", f"cancelled by {fact.by}")


@_of(e.DeploymentSuperseded)
def _superseded(telling: Telling, fact: e.DeploymentSuperseded) -> Iterator[OutsideEvent]:
    yield _ended(telling, "cancel", fact.reason)


def _ended(telling: Telling, outcome: str, errors: str = "") -> OutsideEvent:
    content: dict[str, JsonValue] = {"pipelineName": telling.pipeline, "uri": telling.uri, "outcome": outcome}
    if errors:
        content["errors"] = printable(errors)
    return telling.told("pipelinerun.finished", telling.run, content, links=telling.ends("pipelinerun.queued"))


# Builds and artifacts


@_of(e.BuildPlanned)
def _planned(telling: Telling, fact: e.BuildPlanned) -> Iterator[OutsideEvent]:
    for service in fact.built:
        yield _build(telling, "queued", service)


@_of(e.StepStarted)
def _step_started(telling: Telling, _fact: e.StepStarted) -> Iterator[OutsideEvent]:
    if (step := telling.event.step or "").startswith(_BUILD):
        yield _build(telling, "started", step.removeprefix(_BUILD))


@_of(f.ImageBuilt)
def _image_built(telling: Telling, fact: f.ImageBuilt) -> Iterator[OutsideEvent]:
    yield _build(telling, "finished", fact.service, {"artifactId": purl(fact.image)})
    if not fact.reused:
        change: dict[str, JsonValue] = {"id": telling.commit or telling.run, "source": telling.source}
        links = telling.after("build.finished", fact.service)
        yield telling.told("artifact.packaged", purl(fact.image), {"change": change}, about=fact.service, links=links)


@_of(BuildFailed)
def _build_failed(telling: Telling, _fact: BuildFailed) -> Iterator[OutsideEvent]:
    yield _build(telling, "finished", (telling.event.step or "").removeprefix(_BUILD))


@_of(f.ImagePushed)
def _image_pushed(telling: Telling, fact: f.ImagePushed) -> Iterator[OutsideEvent]:
    links = telling.after("pipelinerun.started")
    yield telling.told("artifact.published", purl(fact.image), about=fact.service, links=links)


def _build(telling: Telling, predicate: str, service: str, content: dict[str, JsonValue] | None = None) -> OutsideEvent:
    links = telling.after("build.queued", service) if predicate != "queued" else telling.after("pipelinerun.started")
    return telling.told(f"build.{predicate}", f"{telling.run}-build-{service}", content, about=service, links=links)


# Environments, services, incidents


_ENVIRONMENTS = {"created": "environment.created", "updated": "environment.modified", "deleted": "environment.deleted"}


@_of(e.CatalogueChanged)
def _catalogue_changed(telling: Telling, fact: e.CatalogueChanged) -> Iterator[OutsideEvent]:
    if fact.kind == "environment" and (kind := _ENVIRONMENTS.get(fact.action)) is not None:
        yield telling.told(kind, telling.pipeline, {"name": fact.name})


@_of(f.TrafficSwitched)
def _switched(telling: Telling, fact: f.TrafficSwitched) -> Iterator[OutsideEvent]:
    if fact.kind is ReleaseKind.ROLLBACK:
        yield _service(telling, "rolledback", fact.service, fact.image)
    else:
        published = related("ARTIFACT", telling.context_id("artifact.published", fact.service))
        yield _service(telling, "upgraded" if fact.former else "deployed", fact.service, fact.image, published)


@_of(f.TrafficRestored)
def _restored(telling: Telling, fact: f.TrafficRestored) -> Iterator[OutsideEvent]:
    if fact.image:
        yield _service(telling, "rolledback", fact.service, fact.image)
    else:
        yield _service(telling, "removed", fact.service)


@_of(f.ServiceRemoved)
def _removed(telling: Telling, fact: f.ServiceRemoved) -> Iterator[OutsideEvent]:
    yield _service(telling, "removed", fact.service)


def _service(telling: Telling, predicate: str, service: str, image: str = "", links: tuple[Link, ...] = ()) -> OutsideEvent:
    content: dict[str, JsonValue] = {"environment": telling.environment}
    if image:
        content["artifactId"] = purl(image)
    links = (*telling.after("pipelinerun.started"), *links)
    return telling.told(f"service.{predicate}", f"{telling.pipeline}/{service}", content, about=service, links=links)


@_of(EndpointFailed)
def _endpoint_failed(telling: Telling, fact: EndpointFailed) -> Iterator[OutsideEvent]:
    yield _incident(telling, "detected", telling.event.step or "", fact.failure.message)


@_of(e.DeploymentStuck)
def _stuck(telling: Telling, fact: e.DeploymentStuck) -> Iterator[OutsideEvent]:
    yield _incident(telling, "detected", "stuck", fact.failure.message)


@_of(e.DeploymentUnstuck)
def _unstuck(telling: Telling, fact: e.DeploymentUnstuck) -> Iterator[OutsideEvent]:
    yield _incident(telling, "resolved", "stuck", f"{fact.action} by {fact.by}" if fact.by else "The undo has worked after all.")


def _incident(telling: Telling, predicate: str, what: str, description: str) -> OutsideEvent:
    """An incident is a step whose failure people see, or a deployment that is stuck: that can happen again, so the event's id tells it apart."""
    content: dict[str, JsonValue] = {"description": printable(description), "environment": telling.environment}
    if what.startswith(_CHECK_ENDPOINT):
        content["service"] = {"id": f"{telling.pipeline}/{what.removeprefix(_CHECK_ENDPOINT)}", "source": telling.source}
    about = f"{what}.{telling.event.sequence}" if what == "stuck" else what
    came_after = "incident.detected" if predicate == "resolved" and what != "stuck" else ""
    links = telling.after(came_after, what) if came_after else telling.after("pipelinerun.started")
    return telling.told(f"incident.{predicate}", f"{telling.run}-{what}", content, about=about, links=links)
