"""A deployment's page, made of its events in the order of their sequence numbers. Pure: the same events give the same page."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from shared.contracts import events as e
from shared.contracts import facts as f
from shared.contracts.answers import Failure
from shared.contracts.events import Event
from shared.contracts.facts import Fact, UnknownFact
from shared.contracts.gates import step_of
from shared.contracts.releases import DatabaseSpec
from shared.contracts.steps import STEP_KINDS, title_of

FINAL = ("succeeded", "rolled_back", "cancelled", "superseded", "denied", "failed")
"""States that a deployment does not leave."""


@dataclass(frozen=True)
class Step:
    """One step, as far as events tell. `state`: pending, running, done, failed, skipped, undoing, undone, undo_failed."""

    step: str
    title: str
    stage: str | None
    state: str = "pending"
    depends_on: tuple[str, ...] = ()
    attempt: int = 0
    worker: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    undo_started_at: datetime | None = None
    undo_ended_at: datetime | None = None
    retries: tuple[str, ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True)
class Deployment:
    """One run of the pipeline over an environment, as far as events tell."""

    id: str
    organization: str
    project: str
    environment: str
    state: str
    created_at: datetime
    sequence: int = 0
    kind: str = "deploy"
    environment_kind: str = "development"
    target: str = ""
    connection: str | None = None
    repository: str | None = None
    ref: str | None = None
    commit: str | None = None
    title: str = ""
    author: str = ""
    pusher: str | None = None
    request: str | None = None
    again: str | None = None
    web_url: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None
    epoch: int | None = None
    waiting_for: str | None = None
    reason: str = ""
    failure: Failure | None = None
    urls: tuple[str, ...] = ()
    releases: dict[str, str] = field(default_factory=dict)
    databases: dict[str, DatabaseSpec] | None = None
    notes: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    superseded_by: str | None = None


@dataclass(frozen=True)
class Pages:
    """A deployment and its steps, in the order in which they were planned or first heard of."""

    deployment: Deployment
    steps: dict[str, Step]


F = TypeVar("F", bound=Fact)
_Rule = Callable[[Pages, Event, Fact], Pages]
_RULES: dict[type[Fact], _Rule] = {}


def fold(events: Iterable[Event]) -> Pages | None:
    """The pages that these events of one deployment make; None where there is none with a project and an environment."""
    pages: Pages | None = None
    once = {event.id: event for event in events}
    for event in sorted(once.values(), key=lambda event: (event.sequence or 0, event.id)):
        if pages is None:
            pages = _first(event)
        if pages is not None:
            pages = _apply(pages, event)
    return pages


def _first(event: Event) -> Pages | None:
    if event.deployment is None or event.project is None or event.environment is None:
        return None
    deployment = Deployment(event.deployment, event.organization, event.project, event.environment, "authorizing", event.time)
    return Pages(deployment, {})


def _apply(pages: Pages, event: Event) -> Pages:
    sequence = max(pages.deployment.sequence, event.sequence or 0)
    pages = replace(pages, deployment=replace(pages.deployment, sequence=sequence))
    try:
        fact = event.fact()
    except UnknownFact:  # of a newer writer: it is in the archive, and shown by its name
        return pages
    if event.step is not None:
        pages = _with_step(pages, event, fact)
    rule = _RULES.get(type(fact))
    return _without_moot_gates(pages if rule is None else rule(pages, event, fact), event)


def _without_moot_gates(pages: Pages, event: Event) -> Pages:
    """Nobody awaits the answers of gates where the deployment does not wait any more."""
    if pages.deployment.state == "waiting" or not (moot := _awaited(pages)):
        return pages
    return replace(pages, steps=pages.steps | {step.step: replace(step, state="skipped", ended_at=event.time) for step in moot})


def _awaited(pages: Pages) -> list[Step]:
    return [step for step in pages.steps.values() if step.state == "running" and step.step.startswith(step_of(""))]


def _with_step(pages: Pages, event: Event, fact: Fact) -> Pages:
    assert event.step is not None
    former = pages.steps.get(event.step) or _unplanned(event)
    return replace(pages, steps=pages.steps | {event.step: _step_after(former, event, fact)})


def _unplanned(event: Event) -> Step:
    """A step of which no plan told: those before the lock."""
    assert event.step is not None
    found = max((known for known in STEP_KINDS if event.step.startswith(known)), key=len, default=None)
    return Step(event.step, title_of(event.step), event.stage or (None if found is None else STEP_KINDS[found].stage))


def _step_after(step: Step, event: Event, fact: Fact) -> Step:  # noqa: PLR0911 -- a table in the form of a match
    match fact:
        case e.StepStarted():
            return replace(
                step,
                state="running",
                attempt=fact.attempt,
                worker=fact.worker,
                started_at=step.started_at or event.time,
            )
        case e.GateRequested():
            return replace(step, state="running", attempt=1, started_at=event.time)
        case e.StepRetried():
            return replace(step, attempt=fact.attempt, retries=(*step.retries, fact.reason))
        case e.UndoStarted():
            return replace(step, state="undoing", undo_started_at=step.undo_started_at or event.time)
        case e.CompensationFailed():
            return replace(step, state="undo_failed", undo_ended_at=event.time, failure=fact.failure)
        case e.StepFailed():
            attempt, began = max(step.attempt, 1), _began(event, step)
            return replace(step, state="failed", attempt=attempt, started_at=began, ended_at=event.time, failure=fact.failure)
        case _ if step.state in ("undoing", "undo_failed") or event.outcome == "undone":
            return replace(step, state="undone", undo_started_at=step.undo_started_at or _began(event), undo_ended_at=event.time)
        case _ if event.outcome in ("done", None):
            attempt, began = max(step.attempt, 1), _began(event, step)
            return replace(step, state="done", attempt=attempt, started_at=began, ended_at=event.time)
        case _ if event.outcome in ("skipped", "cancelled"):
            return replace(step, state="skipped", ended_at=event.time)
        case _:
            return step


def _on(kind: type[F]) -> Callable[[Callable[[Deployment, Event, F], Deployment]], None]:
    """Registers what a fact does to the deployment's own page."""

    def register(rule: Callable[[Deployment, Event, F], Deployment]) -> None:
        def apply(pages: Pages, event: Event, fact: Fact) -> Pages:
            assert isinstance(fact, kind)
            return replace(pages, deployment=rule(pages.deployment, event, fact))

        _RULES[kind] = apply

    return register


@_on(e.DeploymentCreated)
def _created(page: Deployment, event: Event, fact: e.DeploymentCreated) -> Deployment:
    return replace(
        page,
        created_at=event.time,
        kind=fact.kind,
        environment_kind=fact.environment_kind,
        target=fact.target,
        connection=fact.connection,
        repository=fact.repository,
        ref=fact.ref,
        commit=fact.commit,
        title=fact.title,
        author=fact.author,
        pusher=fact.pusher,
        request=fact.request,
        again=fact.again,
        web_url=fact.web_url,
    )


@_on(f.DeploymentAuthorized)
def _authorized(page: Deployment, _event: Event, _fact: f.DeploymentAuthorized) -> Deployment:
    return replace(page, state="building")


@_on(f.ApprovalRequested)
def _approval(page: Deployment, _event: Event, fact: f.ApprovalRequested) -> Deployment:
    return replace(page, state="waiting", waiting_for=fact.reason or fact.rule)


@_on(f.DeploymentApproved)
def _approved(page: Deployment, _event: Event, _fact: f.DeploymentApproved) -> Deployment:
    return replace(page, state="building", waiting_for=None)


@_on(f.SourceInspected)
def _inspected(page: Deployment, _event: Event, fact: f.SourceInspected) -> Deployment:
    return replace(page, title=page.title or fact.title, author=page.author or fact.author)


@_on(e.DeploymentQueued)
def _queued(page: Deployment, _event: Event, fact: e.DeploymentQueued) -> Deployment:
    return replace(page, state="queued", waiting_for=fact.behind)


@_on(e.DeploymentStarted)
def _started(page: Deployment, event: Event, fact: e.DeploymentStarted) -> Deployment:
    return replace(page, state="running", started_at=event.time, epoch=fact.epoch, waiting_for=None)


@_on(e.CompensationStarted)
def _compensating(page: Deployment, _event: Event, fact: e.CompensationStarted) -> Deployment:
    return replace(page, state="compensating", epoch=fact.epoch, reason=fact.reason, failure=fact.failure, waiting_for=None)


@_on(e.DeploymentStuck)
def _stuck(page: Deployment, _event: Event, fact: e.DeploymentStuck) -> Deployment:
    return replace(page, state="stuck", waiting_for=fact.step, failure=fact.failure)


@_on(e.DeploymentUnstuck)
def _unstuck(page: Deployment, _event: Event, _fact: e.DeploymentUnstuck) -> Deployment:
    return replace(page, state="compensating", waiting_for=None)


def _ended(page: Deployment, event: Event, state: str) -> Deployment:
    seconds = (event.time - page.created_at).total_seconds()
    return replace(page, state=state, ended_at=event.time, seconds=round(seconds, 3), waiting_for=None)


@_on(e.DeploymentSucceeded)
def _succeeded(page: Deployment, event: Event, fact: e.DeploymentSucceeded) -> Deployment:
    page = _ended(page, event, "succeeded")
    return replace(page, urls=fact.urls, releases=dict(fact.releases), databases=fact.databases, alerts=fact.alerts)


@_on(e.DeploymentRolledBack)
def _rolled_back(page: Deployment, event: Event, fact: e.DeploymentRolledBack) -> Deployment:
    page = _ended(page, event, "rolled_back")
    return replace(page, reason=fact.reason, failure=fact.failure or page.failure, kept=fact.kept)


@_on(e.DeploymentFailed)
def _failed(page: Deployment, event: Event, fact: e.DeploymentFailed) -> Deployment:
    return replace(_ended(page, event, "failed"), reason=fact.reason, failure=fact.failure)


@_on(e.DeploymentCancelled)
def _cancelled(page: Deployment, event: Event, fact: e.DeploymentCancelled) -> Deployment:
    return replace(_ended(page, event, "cancelled"), reason=f"cancelled by {fact.by}", kept=fact.kept)


@_on(e.DeploymentSuperseded)
def _superseded(page: Deployment, event: Event, fact: e.DeploymentSuperseded) -> Deployment:
    return replace(_ended(page, event, "superseded"), reason=fact.reason, superseded_by=fact.by)


@_on(f.DeploymentDenied)
def _denied(page: Deployment, event: Event, fact: f.DeploymentDenied) -> Deployment:
    return replace(_ended(page, event, "denied"), reason=f"{fact.reason} ({fact.rule})")


def _planned(pages: Pages, _event: Event, fact: Fact) -> Pages:
    assert isinstance(fact, e.DeploymentPlanned)
    steps = dict(pages.steps)
    for planned in fact.steps:
        former = steps.get(planned.step) or Step(planned.step, title_of(planned.step), planned.stage)
        steps[planned.step] = replace(former, stage=planned.stage, depends_on=planned.depends_on)
    return Pages(replace(pages.deployment, notes=fact.notes), steps)


_RULES[e.DeploymentPlanned] = _planned


def _gate(pages: Pages, _event: Event, _fact: Fact) -> Pages:
    waiting, went_on = _awaited(pages), "building" if pages.deployment.epoch is None else "running"
    names = ", ".join(step.title for step in waiting) or None
    return replace(pages, deployment=replace(pages.deployment, state="waiting" if waiting else went_on, waiting_for=names))


_RULES[e.GateRequested] = _RULES[e.GatePassed] = _gate


def _began(event: Event, step: Step | None = None) -> datetime:
    """When its worker began, by the worker's own clock; quick ones are answered at once, without a word of their start."""
    if event.seconds is None and step is not None and step.started_at is not None:
        return step.started_at
    return event.time - timedelta(seconds=event.seconds or 0)
