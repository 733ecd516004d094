"""Services find each other by their names, whenever they came."""

import pytest

from shared.contracts.manifest import Strategy
from shared.contracts.releases import Release
from tests.integration.deployer.rig import Site, deploy, prepare, retire, switch

_SERVER = "require('http').createServer((_, answer) => answer.end()).listen(process.env.PORT)"
_LOOK_UP = "require('dns').resolve4('web', (error, found) => console.log(error ? error.code : found.join(' ')))"


async def caller(here: Site, image: str) -> Release:
    """Another service, which is deployed now."""
    release = here.release("caller", service="api", image=image, command=("node", "-e", _SERVER), memory=128 * 2**20)
    await deploy(here.deployment(), release)
    return release


async def found(here: Site, by: Release) -> str:
    """The addresses at which another service finds the service `web`."""
    name = here.target.workloads.container(here.place, by)
    code, written = await here.target.engine.execute(name, ("node", "-e", _LOOK_UP))
    assert code == 0
    return written.strip()


def live(here: Site) -> str:
    """The address of the live release."""
    record = here.target.records.service(here.place, "web")
    assert record.live is not None
    return record.live.address


@pytest.mark.parametrize("strategy", list(Strategy))
async def test_a_service_that_was_alone_is_found(here: Site, node_image: str, strategy: Strategy) -> None:
    """It was deployed twice before another one came, which finds it although it has no steps in that deployment."""
    one, two = here.release("one", strategy=strategy), here.release("two", strategy=strategy)
    await deploy(here.deployment(), one)
    await deploy(here.deployment(), two, one)
    assert await found(here, await caller(here, node_image)) == live(here)


@pytest.mark.parametrize("strategy", list(Strategy))
async def test_the_name_goes_over_in_the_switch(here: Site, node_image: str, strategy: Strategy) -> None:
    """Where another service is there, it does not find the candidate until the switch, and then it does."""
    one, two = here.release("one", strategy=strategy), here.release("two", strategy=strategy)
    await deploy(here.deployment(), one)
    other, second = await caller(here, node_image), here.deployment()
    await prepare(second, two, one)
    assert await found(here, other) == live(here)
    await switch(second, two, one)
    assert live(here) in await found(here, other)
    await retire(second, two, one)
    assert await found(here, other) == live(here)
