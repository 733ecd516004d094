"""What the pages show, made ready: rows with times and places on a time line."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.api.access import Caller
from services.api.projection import Deployment, Step
from services.api.resources.deployments import scopes_of
from services.api.store import archive, places
from services.api.store.places import Environment, Project, Reads
from shared.contracts.events import Stage
from shared.messages import utc_now

WIDTH = 1000.0
"""Units of the time line's width."""
_NARROWEST = 4.0


@dataclass(frozen=True)
class Standing:
    """An environment and its newest deployment."""

    environment: Environment
    newest: Deployment | None


@dataclass(frozen=True)
class ProjectRow:
    """A project and its environments."""

    project: Project
    environments: Sequence[Standing]


@dataclass(frozen=True)
class Bar:
    """A stretch on the time line."""

    x: float
    width: float


@dataclass(frozen=True)
class StepRow:
    """A step with how long it took and where that lies on the time line."""

    step: Step
    seconds: float | None
    bar: Bar | None
    undo: Bar | None


@dataclass(frozen=True)
class StageRow:
    """A stage and its steps."""

    name: str
    steps: Sequence[StepRow]


async def projects(reads: Reads, caller: Caller) -> list[ProjectRow]:
    """Every project that the caller sees, with its environments."""
    rows = []
    for organization in await places.organizations(reads, caller.organizations(), "", 1000):
        for project in await places.projects(reads, organization.slug, "", 1000):
            if not caller.sees(organization.slug, project.slug):
                continue
            standings = await _standings(reads, caller, project)
            rows.append(ProjectRow(project, standings))
    return rows


async def _standings(reads: Reads, caller: Caller, project: Project) -> list[Standing]:
    standings = []
    for environment in await places.environments(reads, project.organization, project.slug):
        if not caller.sees(project.organization, project.slug, environment.slug):
            continue
        newest = await archive.deployments(
            reads,
            scopes_of(caller),
            "",
            1,
            organization=project.organization,
            project=project.slug,
            environment=environment.slug,
        )
        standings.append(Standing(environment, newest[0] if newest else None))
    return standings


def pipeline(deployment: Deployment, steps: Sequence[Step]) -> list[StageRow]:
    """Steps by stage, each with its stretch on the time line from the deployment's start to its end (or now)."""
    start = deployment.created_at
    moments = [moment for step in steps for moment in (step.ended_at, step.undo_ended_at) if moment]
    end = max([deployment.ended_at or utc_now(), *moments])
    span = max((end - start).total_seconds(), 0.001)

    def bar(began: datetime | None, ended: datetime | None) -> Bar | None:
        if began is None:
            return None
        x = max(0.0, (began - start).total_seconds() / span * WIDTH)
        width = max(_NARROWEST, ((ended or end) - began).total_seconds() / span * WIDTH)
        return Bar(round(min(x, WIDTH - _NARROWEST), 1), round(min(width, WIDTH - x), 1))

    rows = [
        StepRow(
            step,
            None if step.started_at is None else ((step.ended_at or end) - step.started_at).total_seconds(),
            bar(step.started_at, step.ended_at),
            bar(step.undo_started_at, step.undo_ended_at),
        )
        for step in steps
    ]
    known = [str(stage) for stage in Stage]
    names = [*known, *sorted({row.step.stage or "" for row in rows} - {*known, ""})]
    stages = [StageRow(name, [row for row in rows if (row.step.stage or Stage.DEPLOY) == name]) for name in names]
    return [stage for stage in stages if stage.steps]


def seconds(value: float | None) -> str:
    """`0.42 s`, `12.3 s`, `3 min 05 s`."""
    if value is None:
        return ""
    if value < 60:
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"


def short_ref(ref: str | None) -> str:
    """`refs/heads/main` → `main`."""
    return (ref or "").removeprefix("refs/heads/").removeprefix("refs/tags/")


def words(state: str) -> str:
    """`rolled_back` → `rolled back`."""
    return state.replace("_", " ")


def ago(moment: datetime) -> str:
    """`3 min ago`."""
    passed = (utc_now() - moment).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if passed >= size:
            return f"{int(passed // size)} {unit} ago"
    return "just now"
