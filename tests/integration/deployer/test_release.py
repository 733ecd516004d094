"""A release of a service: beside the former one, checked, switched, retired."""

import fcntl

import pytest

from services.deployer.targets.local.certificates import Certificates
from services.deployer.targets.local.records import ServiceRecord
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


async def test_certificates_go_under_the_lease(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a record does not speak of is removed while nobody else can write that record: another worker's new certificate stays."""
    real, held = Certificates.clear, []

    def clear(certificates: Certificates, record: ServiceRecord) -> None:
        held.append(_is_leased(here))
        real(certificates, record)

    one, two = here.release("one"), here.release("two")
    first, second = here.deployment(), here.deployment()
    await deploy(first, one)
    await prepare(second, two, one)
    await switch(second, two, one)
    monkeypatch.setattr(Certificates, "clear", clear)
    await retire(second, two, one)
    await here.deployment().do(c.RemoveService, "remove-service-web", f.ServiceRemoved, former=two)
    assert held == [True, True]


def _is_leased(here: Site) -> bool:
    with (here.machine.settings.target_folder / "locks" / here.place.subject).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
