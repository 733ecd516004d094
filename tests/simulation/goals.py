"""What each deployment shall leave, by the book: worked out from what was pushed, not taken from the plan under test; and what the
environment runs, by the deployments that succeeded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.coordinator.saga import Plan, Saga
from services.coordinator.snapshot import Record
from shared.contracts.manifest import JobManifest
from shared.contracts.releases import DatabaseSpec, Release, ReleaseKind
from tests.simulation import applications
from tests.simulation.violation import hold

if TYPE_CHECKING:
    from tests.simulation.world import World

Traits = Mapping[str, object]
"""Service → what its release is made of: the same, and nothing is to be done."""


@dataclass(frozen=True)
class Kept:
    """What an environment runs."""

    record: Record = field(default_factory=Record)
    traits: Traits = field(default_factory=dict)


@dataclass(frozen=True)
class Goal:
    """Of one deployment."""

    releases: Mapping[str, Release]
    databases: Mapping[str, DatabaseSpec]
    jobs: Mapping[str, JobManifest]
    traits: Traits
    former: Record
    changed: tuple[str, ...]


class Goals:
    """The book of what runs and shall run."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.runs = Kept()
        self._kept: dict[str, Kept] = {}
        self._former: dict[str, Kept] = {}
        self._goals: dict[str, Goal] = {}

    def given(self, record: Record, variant: int) -> None:
        """As an earlier deployment left it."""
        self.runs = self._kept["d0"] = Kept(record, _traits(0, variant))

    def taken(self, saga: Saga) -> None:
        """It has the environment: what runs now is what it may return to."""
        self._former[saga.id] = self.runs

    def planned(self, saga: Saga) -> None:
        """Its plan is what was pushed, or what it returns to."""
        assert saga.plan is not None
        match saga.origin.kind:
            case ReleaseKind.DEPLOY:
                goal = self._of_commit(saga, saga.plan)
            case ReleaseKind.ROLLBACK:
                goal = self._of_return(saga, saga.plan)
            case ReleaseKind.REMOVE:
                goal = Goal({}, {}, {}, {}, self.former(saga), ())
        hold(saga.plan.releases.keys() == goal.releases.keys(), f"{saga.id} plans the services {sorted(saga.plan.releases)}")
        hold(saga.plan.databases == goal.databases, f"{saga.id} plans the databases {saga.plan.databases}, not {goal.databases}")
        hold(saga.plan.jobs.keys() == goal.jobs.keys(), f"{saga.id} plans the jobs {sorted(saga.plan.jobs)}, not {sorted(goal.jobs)}")
        for name in goal.releases.keys() - goal.changed:
            hold(saga.plan.releases[name] == goal.former.releases[name], f"{saga.id} gives {name}, which is unchanged, another release")
        self._goals[saga.id] = goal

    def _of_commit(self, saga: Saga, plan: Plan) -> Goal:
        assert saga.origin.source is not None
        number, runs = int(saga.origin.source.commit, 16), self._former[saga.id]
        manifest, traits = applications.MANIFESTS[self._world.variants[number]], _traits(number, self._world.variants[number])
        changed = tuple(name for name in manifest.services if traits[name] != runs.traits.get(name))
        for name in changed:
            release = plan.releases.get(name)
            good = release is not None and release.deployment == saga.id and release.commit == saga.origin.source.commit
            hold(good, f"{saga.id} does not release {name} anew")
            images = applications.images(name, number)
            hold(release is None or release.container.image in images, f"{saga.id} releases {name} with an image that is not the commit's")
        jobs = {name: job for name, job in manifest.jobs.items() if job.service in changed}
        for name, job in jobs.items():
            image = plan.jobs[name].container.image if name in plan.jobs else None
            hold(image == plan.releases[job.service].container.image, f"{saga.id} runs {name} in another image than {job.service}")
        databases = {name: DatabaseSpec(name=name, **asked.model_dump()) for name, asked in manifest.databases.items()}
        return Goal(plan.releases, databases, jobs, traits, runs.record, changed)

    def _of_return(self, saga: Saga, plan: Plan) -> Goal:
        runs, kept = self._former[saga.id], self._kept[saga.origin.rollback_to or ""]
        for name, release in kept.record.releases.items():
            planned = plan.releases.get(name)
            hold(planned is not None and planned.key == release.key, f"{saga.id} does not return to {name} of {saga.origin.rollback_to}")
        changed = tuple(name for name in kept.traits if kept.traits[name] != runs.traits.get(name))
        return Goal(
            plan.releases if plan.releases.keys() == kept.record.releases.keys() else kept.record.releases,
            _returned(runs.record.databases, kept.record.databases), {}, kept.traits, runs.record, changed,
        )  # fmt: skip

    def former(self, saga: Saga) -> Record:
        """What the environment ran when the deployment took it."""
        return self._former[saga.id].record

    def of(self, saga: Saga) -> Goal | None:
        """What it shall leave; None: it was not planned."""
        return self._goals.get(saga.id)

    def succeeded(self, saga: Saga) -> None:
        """What it shall leave is there."""
        goal = self._goals[saga.id]
        self.runs = self._kept[saga.id] = Kept(Record(releases=dict(goal.releases), databases=dict(goal.databases)), goal.traits)


def _returned(now: Mapping[str, DatabaseSpec], then: Mapping[str, DatabaseSpec]) -> dict[str, DatabaseSpec]:
    """Databases stay, with the version and at least the storage that they have."""
    databases = {**now, **then}
    for name in now.keys() & then.keys():
        if now[name].version != then[name].version:
            databases[name] = now[name]
        elif now[name].storage_bytes > then[name].storage_bytes:
            databases[name] = then[name].model_copy(update={"storage_bytes": now[name].storage_bytes})
    return databases


def _traits(number: int, variant: int) -> Traits:
    inspected = applications.inspected(number, variant, stale=False)
    manifest, traits = inspected.manifest, dict[str, object]()
    for name, service in manifest.services.items():
        versions = tuple(manifest.databases[database].version for database in service.databases)
        traits[name] = (inspected.trees[name], service, versions, *(job for job in manifest.jobs.values() if job.service == name))
    return traits
