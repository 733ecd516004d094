"""Releases and places for the deployer's unit tests."""

from services.deployer.targets.local.records import Placed
from shared.contracts.places import Place
from shared.contracts.releases import ContainerSpec, Release

PLACE = Place(organization="main", project="shop", environment="production")


def release(key: str, *, hosts: tuple[str, ...] = ("web.localhost",), port: int | None = 8000) -> Release:
    """A release of the service `web`."""
    return Release(
        id=f"id-{key}", key=key, service="web", number=1, deployment="d1", container=ContainerSpec(image="i"), port=port, hosts=hosts
    )


def placed(key: str, deployment: str, address: str = "10.0.0.2", *, port: int | None = 8000) -> Placed:
    """It, in its container."""
    return Placed(
        release=release(key, port=port, hosts=("web.localhost",) if port else ()),
        container=f"c-{key}",
        address=address,
        deployment=deployment,
    )
