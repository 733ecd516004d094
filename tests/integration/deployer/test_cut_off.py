"""A container that somebody took off its network takes no traffic."""

import subprocess

import pytest

from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.work import StepFailure
from tests.integration.deployer.rig import Site, deploy, prepare


async def test_a_candidate_without_an_address_gets_no_route(here: Site) -> None:
    """The former release stays as it is, and the reason says what was done."""
    one, two = here.release("one"), here.release("two")
    await deploy(here.deployment(), one)
    second = here.deployment()
    await prepare(second, two, one)
    workloads = here.target.workloads
    by_hand = ["docker", "network", "disconnect", workloads.networks.name(here.place), workloads.container(here.place, two)]
    subprocess.run(by_hand, check=True, capture_output=True)
    with pytest.raises(StepFailure, match="taken off its network") as failed:
        await second.do(c.ExposeCandidate, "expose-web", f.CandidateExposed, release=two, former=one)
    assert failed.value.failure.code == "stopped_from_outside"
    assert here.target.records.service(here.place, "web").runs(one.key)
    assert await here.get() == (200, "one")
