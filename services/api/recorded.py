"""What the control plane says shall run, against what a target says is live. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from services.api.projection import Deployment
from shared.contracts.examination import Difference, Kind
from shared.contracts.places import Place
from shared.contracts.releases import DatabaseSpec

_IS_TOO_MUCH = "by hand: name it in the manifest and deploy, then leave it out again"


def release_differences(recorded: Sequence[Deployment], live: Mapping[str, Mapping[str, str]], target: str) -> Iterator[Difference]:
    """Services that do not run the release that the environment's last successful deployment left."""
    for deployment in recorded:
        if deployment.target != target:
            continue
        place = place_of(deployment)
        wanted, found = deployment.releases, live.get(str(place), {})
        for service in sorted({*wanted, *found}):
            if wanted.get(service) != found.get(service):
                yield _difference(place, service, wanted.get(service), found.get(service), deployment)


def database_differences(
    recorded: Sequence[Deployment], there: Mapping[str, Mapping[str, DatabaseSpec]], target: str
) -> Iterator[Difference]:
    """Databases that are not what the environment's last successful deployment left, where that is known."""
    for deployment in recorded:
        if deployment.target != target or deployment.databases is None:
            continue
        place = place_of(deployment)
        wanted, found = deployment.databases, there.get(str(place), {})
        for name in sorted({*wanted, *found}):
            if wanted.get(name) != found.get(name):
                yield _database(place, name, wanted.get(name), found.get(name), deployment)


def place_of(deployment: Deployment) -> Place:
    """Where it is."""
    return Place(organization=deployment.organization, project=deployment.project, environment=deployment.environment)


def _difference(place: Place, service: str, wanted: str | None, found: str | None, deployment: Deployment) -> Difference:
    if found is None:
        what = f"shall run since deployment {deployment.id}, and the target has no record of it"
    elif wanted is None:
        what = f"runs, and deployment {deployment.id} left no such service"
    else:
        what = f"is release {found}, and deployment {deployment.id} left release {wanted}"
    remedy = f"by hand: slipway rollback --to {deployment.id}, or slipway deploy" if wanted else _IS_TOO_MUCH
    return Difference(place=place, kind=Kind.RELEASE, name=service, what=what, remedy=remedy, mendable=False)


def _database(place: Place, name: str, wanted: DatabaseSpec | None, found: DatabaseSpec | None, deployment: Deployment) -> Difference:
    if wanted is None:
        what = f"is there, and deployment {deployment.id} left no such database"
        remedy = _IS_TOO_MUCH
    elif found is None:
        what = f"shall be there since deployment {deployment.id}, and the target has no record of it"
        remedy = "by hand: slipway deploy --again makes it anew, empty: restore a backup into it then"
    else:
        left = wanted.model_dump()
        others = [
            f"{key.replace('_', ' ')} {now} in the place of {left[key]}" for key, now in found.model_dump().items() if now != left[key]
        ]
        what = f"has {', '.join(others)}, which deployment {deployment.id} left"
        remedy = "by hand: slipway deploy --again"
    return Difference(place=place, kind=Kind.DATABASE, name=name, what=what, remedy=remedy, mendable=False)
