"""The machine of the whole run, and an environment a test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from embedded.images.provision import load
from tests.integration.deployer.rig import ENGINE, Machine, Site, machine, site


@pytest.fixture(scope="session")
def target_machine() -> Iterator[Machine]:
    """A home and a Traefik for the whole run."""
    with machine() as made:
        yield made


@pytest.fixture
async def here(target_machine: Machine) -> AsyncIterator[Site]:
    """An environment of the test's own."""
    async with site(target_machine) as made:
        yield made


@pytest.fixture(scope="session")
def node_image() -> str:
    """Node.js, on the engine."""
    return load("node", engine=ENGINE)
