"""After a roll-back the target is as it was: whatever was done, half done or never done, once or twice, and whoever comes late."""

from dataclasses import replace
from itertools import count
from typing import NamedTuple

import pytest

from services.deployer.fence import Claim
from services.deployer.targets.local.container_state import Container
from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.contracts.releases import Release
from shared.work import LowerEpoch
from tests.integration.deployer.rig import Deployment, Site, deploy, prepare, roll_back, switch


class Row(NamedTuple):
    """A step with an undo."""

    command: type[c.Command]
    step: str
    done: type[f.Fact]
    undone: type[f.Fact]


ROWS = (
    Row(c.DeployContainer, "deploy-container-web", f.ContainerDeployed, f.ContainerRemoved),
    Row(c.ConnectContainer, "connect-container-web", f.ContainerConnected, f.NetworkRestored),
    Row(c.ExposeCandidate, "expose-web", f.CandidateExposed, f.RouteRemoved),
    Row(c.AssignDomain, "assign-domain-web", f.DomainAssigned, f.DomainRestored),
    Row(c.IssueCertificate, "issue-certificate-web", f.CertificateIssued, f.CertificateRestored),
    Row(c.SwitchTraffic, "switch-web", f.TrafficSwitched, f.TrafficRestored),
)


async def undo_down_from(deployment: Deployment, last: int, release: Release, former: Release | None) -> None:
    """The undos of the first rows, in reverse order."""
    for row in reversed(ROWS[: last + 1]):
        await deployment.undo(row.command, row.step, row.undone, release=release, former=former)


@pytest.mark.parametrize("last", range(len(ROWS)), ids=[row.step for row in ROWS])
async def test_undo_after_each_step(here: Site, last: int) -> None:
    """Undone after any step, with more hosts than before, all is as it was; a second time changes nothing."""
    one = here.release("one")
    await deploy(here.deployment(), one)
    before = await here.described()
    two = here.release("two", hosts=(here.place.host("web"), f"more.{here.place.project}.localhost"))
    second = here.deployment()
    for row in ROWS[: last + 1]:
        await second.do(row.command, row.step, row.done, release=two, former=one)
    assert await here.described() != before or ROWS[last].command is c.ConnectContainer
    for _ in range(2):
        await undo_down_from(second, last, two, one)
        assert await here.described() == before
    assert await here.get() == (200, "one")


@pytest.mark.parametrize("first", [True, False], ids=["new service", "known service"])
async def test_undo_of_what_never_happened(here: Site, first: bool) -> None:
    """Undoing steps that never reached the target changes nothing."""
    one, two = here.release("one"), here.release("two")
    if not first:
        await deploy(here.deployment(), one)
    before = await here.described()
    await roll_back(here.deployment(), two, None if first else one)
    assert await here.described() == before


async def test_first_deployment_leaves_nothing(here: Site) -> None:
    """A service that is new is gone after its roll-back, and so are its network, names and certificate."""
    before = await here.described()
    first, one = here.deployment(), here.release("one")
    await prepare(first, one)
    await switch(first, one)
    await roll_back(first, one)
    assert await here.described() == before
    assert (await here.get_or_none()) is None


@pytest.mark.parametrize("row", ROWS, ids=[row.step for row in ROWS])
async def test_late_worker_is_refused(here: Site, row: Row) -> None:
    """A worker that wakes up after the undo is refused, and leaves nothing."""
    one, two = here.release("one"), here.release("two")
    await deploy(here.deployment(), one)
    before = await here.described()
    second = here.deployment()
    await prepare(second, two, one)
    await roll_back(second, two, one)
    with pytest.raises(LowerEpoch):
        await second.do(row.command, row.step, row.done, release=two, former=one)
    assert await here.described() == before


async def test_request_that_lands_after_the_undo_is_swept(here: Site) -> None:
    """A container that the engine makes after its worker died and the undo had looked is removed by the next undo, or by reconcile."""
    one, two = here.release("one"), here.release("two")
    await deploy(here.deployment(), one)
    before = await here.described()
    second = here.deployment()
    await second.do(c.DeployContainer, "deploy-container-web", f.ContainerDeployed, release=two, former=one)
    late = (await here.target.engine.inspect(here.target.workloads.container(here.place, two))).labels  # type: ignore[union-attr]
    await second.undo(c.DeployContainer, "deploy-container-web", f.ContainerRemoved, release=two, former=one)
    for end in ("undo", "reconcile"):
        await here.target.engine.create("late-" + here.place.project, {"Image": here.machine.image, "Labels": dict(late)})
        assert await here.described() != before
        if end == "undo":
            await second.undo(c.AssignDomain, "assign-domain-web", f.DomainRestored, release=two, former=one)
        else:
            await here.target.reconcile.once()
        assert await here.described() == before


@pytest.mark.parametrize("status", ["created", "removing", "dead"])
async def test_request_that_lands_between_a_look_and_a_creation(here: Site, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that an undone step left behind the back of the next deployment makes way, and so does one that is being removed,
    whoever made it."""
    first, second, one, engine = here.deployment(), here.deployment(), here.release("one"), here.target.engine
    await first.do(c.DeployContainer, "deploy-container-web", f.ContainerDeployed, release=one)
    name, inspect, looks = here.target.workloads.container(here.place, one), engine.inspect, count(1)
    former, maker = await inspect(name), second if status == "created" else first

    async def late(wanted: str) -> Container | None:
        found, look = await inspect(wanted), next(looks)
        return found and replace(found, status=status) if look == 2 else None if look == 1 else found

    with monkeypatch.context() as landing:
        landing.setattr(engine, "inspect", late)
        await maker.do(c.DeployContainer, "deploy-container-web", f.ContainerDeployed, release=one)
    found = await inspect(name)
    assert found is not None
    assert former is not None
    assert (found.id != former.id, found.label("deployment")) == (True, maker.id)
    await deploy(maker, one)
    assert await here.get() == (200, "one")


async def test_what_the_same_step_made_is_left(here: Site) -> None:
    """A creation that comes again keeps the container."""
    engine, name = here.target.engine, "again-" + here.place.project
    made = {"Image": here.machine.image, "Labels": {"slipway.step": "a"}}
    await engine.create(name, made)
    try:
        first = await engine.inspect(name)
        await engine.create(name, made)
        assert await engine.inspect(name) == first
    finally:
        await engine.remove(name)


async def test_container_is_removed_by_its_own_undo(here: Site) -> None:
    """The candidate goes by its undo, without the sweep's help; what is live stays."""
    one, two = here.release("one"), here.release("two")
    await deploy(here.deployment(), one)
    before = await here.described()
    second = here.deployment()
    await second.do(c.DeployContainer, "deploy-container-web", f.ContainerDeployed, release=two, former=one)
    claim = Claim(here.target.fence, here.place, second.epoch, second.id, "deploy-container-web")
    assert await here.target.workloads.remove(claim, two)
    assert not await here.target.workloads.remove(claim, one)
    assert await here.described() == before


async def test_undo_after_half_a_step(here: Site) -> None:
    """A worker that died between its effects (made but not started, recorded but not routed) leaves nothing after the undo."""
    one, two = here.release("one"), here.release("two")
    await deploy(here.deployment(), one)
    before = await here.described()
    second = here.deployment()
    await prepare(second, two, one)
    name = here.target.workloads.container(here.place, two)
    await here.target.engine.signal(name, "SIGKILL")
    record = here.target.records.service(here.place, "web")
    placed = record.candidate
    assert placed is not None
    here.target.records.keep_service(record.switched_to(placed))
    await roll_back(second, two, one)
    assert await here.described() == before
    assert await here.get() == (200, "one")


async def test_do_again_after_half_a_step(here: Site) -> None:
    """A command that comes again after its worker died half-way finishes the step."""
    one, two = here.release("one"), here.release("two")
    await deploy(here.deployment(), one)
    second = here.deployment()
    await prepare(second, two, one)
    record = here.target.records.service(here.place, "web")
    assert record.candidate is not None
    here.target.records.keep_service(record.switched_to(record.candidate))
    assert await here.get() == (200, "one")
    await switch(second, two, one)
    assert await here.get() == (200, "two")


async def test_network_that_a_container_of_somebody_elses_is_on(here: Site) -> None:
    """It is left as one in use; a sweep after that container has gone takes it away."""
    before, engine = await here.described(), here.target.engine
    first, one = here.deployment(), here.release("one")
    await prepare(first, one)
    foreign, network = "foreign-" + here.place.project, here.target.workloads.networks.name(here.place)
    await engine.create(foreign, {"Image": here.machine.image, "Cmd": ["sleep", "60"], "HostConfig": {"NetworkMode": network}})
    await engine.start(foreign)
    try:
        await roll_back(first, one)
        assert await engine.networks.find(network) is not None
    finally:
        await engine.remove(foreign)
    await here.target.sweep.run(Claim(here.target.fence, here.place, first.epoch + 1, first.id, "switch-web"))
    assert await here.described() == before
