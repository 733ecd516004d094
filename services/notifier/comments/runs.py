"""What the events of previews' deployments come to. Pure: the same events make the same, in whatever order they came."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from services.notifier.providers.forges.states import FORGE_STATES, Stage, reason_of, words_of
from shared.contracts.events import BuildPlanned, DeploymentCreated, DeploymentPlanned, DeploymentSucceeded, Event
from shared.contracts.facts import Fact, UnknownFact
from shared.contracts.releases import ReleaseKind
from shared.contracts.steps import SWITCH

MILESTONES = frozenset(FORGE_STATES) | {BuildPlanned.__name__, DeploymentPlanned.__name__}
"""Names of the events that a comment is made of."""
_ENDS = (Stage.SUCCEEDED, Stage.ROLLED_BACK, Stage.FAILED, Stage.INACTIVE)
_SWITCHES = f"{SWITCH.name}-"


@dataclass(frozen=True)
class Run:
    """One deployment, as far as was told. `words` say how far it is, `reason` why; empty where no event says."""

    id: str
    project: str
    environment: str
    created_at: datetime
    removes: bool = False
    """It takes the preview away."""
    commit: str = ""
    title: str = ""
    stage: Stage = Stage.QUEUED
    words: str = ""
    reason: str = ""
    ended_at: datetime | None = None
    urls: tuple[str, ...] = ()
    built: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    """Services that get another release, with a new image or only another configuration."""
    services: tuple[str, ...] = ()
    """All that are known of."""

    @property
    def restarted(self) -> tuple[str, ...]:
        """Services that are released anew with the image that they have."""
        return tuple(service for service in self.released if service not in self.built)

    @property
    def kept(self) -> tuple[str, ...]:
        """Services that nothing happens to."""
        return tuple(service for service in self.services if service not in {*self.built, *self.released})


@dataclass(frozen=True)
class Preview:
    """A preview: the newest of its deployments that counts, and the one that it runs."""

    newest: Run
    live: Run | None


def previews_of(events: Iterable[Event]) -> list[Preview]:
    """The previews that these events are of, by their names."""
    of_deployment: dict[str, list[Event]] = {}
    for event in events:
        of_deployment.setdefault(event.deployment or "", []).append(event)
    places: dict[tuple[str, str], list[Run]] = {}
    for each in of_deployment.values():
        if (run := run_of(each)) is not None:
            places.setdefault((run.project, run.environment), []).append(run)
    return [_preview(sorted(runs, key=lambda run: (run.created_at, run.id))) for _, runs in sorted(places.items())]


def _preview(runs: list[Run]) -> Preview:
    """What was superseded is not told of, unless there is nothing else."""
    counting = [run for run in runs if run.words != FORGE_STATES["DeploymentSuperseded"].description]
    live: Run | None = None
    for run in runs:
        if run.stage is Stage.SUCCEEDED:
            live = None if run.removes else run
    return Preview((counting or runs)[-1], live)


def run_of(events: Iterable[Event]) -> Run | None:
    """A deployment by its events; None where its first one has not come."""
    run: Run | None = None
    for event in sorted(events, key=lambda event: event.sequence or 0):
        try:
            fact = event.fact()
        except (UnknownFact, ValueError):
            continue
        if isinstance(fact, DeploymentCreated):
            run = _first(event, fact)
        if run is not None:
            run = _further(_after(run, fact), event)
    return run


def _first(event: Event, fact: DeploymentCreated) -> Run:
    return Run(
        id=event.deployment or "",
        project=event.project or "",
        environment=event.environment or "",
        created_at=event.time,
        removes=fact.kind is ReleaseKind.REMOVE,
        commit=fact.commit or "",
        title=fact.title,
    )


def _after(run: Run, fact: Fact) -> Run:
    match fact:
        case BuildPlanned():
            return replace(run, built=fact.built, services=tuple(dict.fromkeys((*fact.built, *fact.unchanged))))
        case DeploymentPlanned():
            steps = [planned.step for planned in fact.steps]
            return replace(run, released=tuple(step.removeprefix(_SWITCHES) for step in steps if step.startswith(_SWITCHES)))
        case DeploymentSucceeded():
            return replace(run, urls=fact.urls, services=tuple(dict.fromkeys((*run.services, *fact.releases))))
        case _:
            return run


def _further(run: Run, event: Event) -> Run:
    state = FORGE_STATES.get(event.name)
    if state is None:
        return run
    ended_at = event.time if state.stage in _ENDS else None
    return replace(run, stage=state.stage, words=words_of(state, event), reason=reason_of(event), ended_at=ended_at)
