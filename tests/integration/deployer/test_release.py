"""A release of a service: beside the former one, checked, switched, retired."""

from services.deployer.targets.local.route_files import PRIVATE_HEADER
from shared.contracts import commands as c
from shared.contracts import facts as f
from tests.integration.deployer.rig import Site, deploy, prepare, retire, switch


async def test_first_release_answers_over_tls(here: Site) -> None:
    """A service that is new answers at its address, with a certificate of the local authority, and HTTP leads to HTTPS."""
    await deploy(here.deployment(), here.release("one"))
    assert await here.get() == (200, "one")


async def test_candidate_is_private_until_the_switch(here: Site) -> None:
    """The former release answers everybody until the switch; the candidate only whoever knows the header."""
    one, two = here.release("one"), here.release("two")
    await deploy(here.deployment(), one)
    second = here.deployment()
    await prepare(second, two, one)
    token = here.target.key.private_route(here.place, "web", second.id)
    assert await here.get() == (200, "one")
    assert await here.get(headers={PRIVATE_HEADER: token}) == (200, "two")
    assert await here.get(headers={PRIVATE_HEADER: "guess"}) == (200, "one")
    await switch(second, two, one)
    assert await here.get() == (200, "two")
    await retire(second, two, one)
    assert await here.get() == (200, "two")
    state = await here.target.state.describe(here.place)
    assert len(state.containers) == 1
    (container,) = state.containers.values()
    assert container["restart_policy"] == "unless-stopped"


async def test_same_key_is_left_running(here: Site) -> None:
    """A release whose key runs already changes nothing at any step."""
    one = here.release("one")
    await deploy(here.deployment(), one)
    before = await here.described()
    again = here.deployment()
    deployed = await again.do(c.DeployContainer, "deploy-container-web", f.ContainerDeployed, release=one, former=one)
    assert deployed.already_running
    await deploy(again, one, one)
    assert await here.described() == before
