"""What people push: commits of one repository, each with a manifest."""

from datetime import UTC, datetime
from functools import cache

from services.coordinator.inputs import BuildsPlanned, Planned
from services.coordinator.plan import plan_builds, plan_deployment
from services.coordinator.saga import DeploymentState, Origin, Saga
from services.coordinator.snapshot import Record, Snapshot
from shared.contracts import facts as f
from shared.contracts.commands import Source
from shared.contracts.manifest import DatabaseManifest, JobManifest, Manifest, ServiceManifest
from shared.contracts.places import EnvironmentKind, Place
from shared.contracts.releases import ReleaseKind

PLACE = Place(organization="main", project="todo", environment="production")
START = datetime(2026, 1, 1, tzinfo=UTC)
REPOSITORY, CONNECTION, REF = "slipway/main/todo", "todo", "refs/heads/main"
_WEB, _WORKER, _DATABASE = ServiceManifest(port=3000), ServiceManifest(), DatabaseManifest()
_LARGER = DatabaseManifest(memory_bytes=2 * _DATABASE.memory_bytes)
_STORED = ServiceManifest(port=3000, databases=("db",))
_GROWN, _OTHER = DatabaseManifest(storage_bytes=2 * _DATABASE.storage_bytes), DatabaseManifest(version="17")
MANIFESTS = (
    Manifest(services={"worker": _WORKER}),
    Manifest(services={"web": _WEB}),
    Manifest(services={"web": _WEB, "worker": _WORKER}),
    Manifest(
        services={"web": _STORED},
        databases={"db": _DATABASE},
        jobs={"migrate": JobManifest(service="web", command=("migrate",), undo=("migrate", "down"))},
    ),
    Manifest(
        services={"web": _STORED, "worker": _WORKER},
        databases={"db": _LARGER},
        jobs={name: JobManifest(service="worker", command=(name,), undo=(name, "down")) for name in ("migrate", "seed")},
    ),
    Manifest(services={"web": _STORED}, databases={"db": _GROWN}),
    Manifest(services={"web": _STORED}, databases={"db": _OTHER}),
)
USUAL, WITH_DATABASES, OF_OTHER_DATABASES = (0, 1, 2, 3, 4), (3, 4), (5, 3, 5, 6, 0)
"""Of these, by their places, a schedule pushes some."""


def commit(number: int) -> str:
    """The commits of the branch, in order."""
    return f"{number:040x}"


@cache
def source(number: int, *, ending: bool = False) -> Source:
    """A commit, and where it is; with `ending` a credential is made when it is wanted."""
    fields = {"connection": CONNECTION, "repository": REPOSITORY, "clone_url": "http://slipway", "ref": REF, "commit": commit(number)}
    return Source.model_validate(fields | ({"valid_until": START} if ending else {}))


@cache
def inspected(number: int, variant: int, *, stale: bool) -> f.SourceInspected:
    """What the builder finds at a commit. Two commits after each other may leave a service as it was."""
    manifest = MANIFESTS[variant]
    return f.SourceInspected(manifest=manifest, trees={name: _tree(name, number) for name in manifest.services}, stale=stale)


def _tree(service: str, number: int) -> str:
    return str(number if service == "web" else (number + 1) // 2)


def origin(arrival: int, **more: object) -> Origin:
    """Of the one environment that there is."""
    given = {"place": PLACE, "environment_kind": EnvironmentKind.PRODUCTION, "target": "local", "kind": ReleaseKind.DEPLOY}
    return Origin(**(given | {"arrival": arrival, "connection": CONNECTION} | more))  # type: ignore[arg-type]


@cache
def record(variant: int) -> Record:
    """What an environment runs after a deployment long ago."""
    saga = Saga("d0", origin(0, source=source(0)), DeploymentState.RUNNING, START, inspected=inspected(0, variant, stale=False))
    builds = plan_builds(saga, Snapshot(), Record())
    assert isinstance(builds, BuildsPlanned)
    saga.builds = builds.builds
    saga.images = {name: image(name, 0) for name in saga.builds}
    planned = plan_deployment(saga, Snapshot(), Record())
    assert isinstance(planned, Planned)
    return Record(releases=planned.plan.releases, databases=planned.plan.databases)


def image(service: str, number: int) -> str:
    """What is built of a service at a commit."""
    return f"registry/{service}@sha256:{number:064x}"


def images(service: str, number: int) -> set[str]:
    """What a service may run at a commit: built of it, or of one beside it that has the same tree."""
    near = (number - 1, number, number + 1)
    return {image(service, other) for other in near if other >= 0 and _tree(service, other) == _tree(service, number)}
