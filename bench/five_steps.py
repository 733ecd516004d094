"""The saga that is measured: five steps in a row, each a no-op."""

from services.coordinator.saga import Origin, Plan, Step
from shared.contracts.places import EnvironmentKind, Place
from shared.contracts.releases import ContainerSpec, Release, ReleaseKind

STEPS = 5


def origin(number: int) -> Origin:
    """A deployment of an environment of its own."""
    return Origin(
        place=Place(organization="bench", project=f"p{number}", environment="production"),
        environment_kind=EnvironmentKind.PRODUCTION,
        target="local",
        kind=ReleaseKind.DEPLOY,
        arrival=number,
    )


def plan() -> tuple[Plan, tuple[Step, ...]]:
    """Five services, each connected after the one before."""
    releases = {
        f"s{n}": Release(id=f"r{n}", key=f"k{n}", service=f"s{n}", number=1, deployment="d", container=ContainerSpec(image="i@sha256:0"))
        for n in range(STEPS)
    }
    steps = tuple(
        Step(f"connect-container-s{n}", "connect-container", f"s{n}", (f"connect-container-s{n - 1}",) if n else ()) for n in range(STEPS)
    )
    return Plan(releases=releases), steps
