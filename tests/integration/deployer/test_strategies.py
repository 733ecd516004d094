"""Workers and `recreate`: what cannot run beside its former release changes over in the switch."""

import asyncio

import pytest

from services.deployer.fence import Claim
from services.deployer.targets.local.container_state import Container
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.workloads import Workloads
from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.contracts.manifest import HealthCheck, Strategy
from shared.contracts.releases import Release, Sealed
from shared.work import StepFailure
from tests.integration.deployer.rig import Deployment, Site, deploy, prepare, retire, roll_back, switch
from tests.polling import eventually

_PATIENT = 3
"""After so many restarts the engine waits for most of a second before the next."""


async def running(here: Site, release: Release) -> bool | None:
    """Whether a release's container runs; None where it has none."""
    found = await here.target.engine.inspect(here.target.workloads.container(here.place, release))
    return None if found is None else found.running


def worker(here: Site, text: str, script: str = "while true; do sleep 1; done") -> Release:
    """A service without a port."""
    return here.release(text, service="mailer", port=None, command=("sh", "-c", f": {text}; {script}"))


async def work(deployment: Deployment, release: Release, former: Release | None = None) -> None:
    """What the coordinator plans for a worker, up to the switch."""
    await deployment.do(c.DeployContainer, "deploy-container-mailer", f.ContainerDeployed, release=release, former=former)
    await deployment.do(c.ConnectContainer, "connect-container-mailer", f.ContainerConnected, release=release, former=former)
    await deployment.do(c.CheckCandidate, "check-container-mailer", f.CandidateHealthy, release=release, former=former)


async def deploy_worker(here: Site, release: Release) -> None:
    """A whole deployment of a worker where none was before."""
    first = here.deployment()
    await work(first, release)
    await switch(first, release)
    await retire(first, release)


async def test_worker_changes_over_in_the_switch(here: Site) -> None:
    """The new worker starts in the switch, the former one stops there and is kept until the pivot."""
    one, two = worker(here, "one"), worker(here, "two")
    first = here.deployment()
    await work(first, one)
    assert await running(here, one) is False
    await switch(first, one)
    await retire(first, one)
    second = here.deployment()
    await work(second, two, one)
    assert (await running(here, one), await running(here, two)) == (True, False)
    await switch(second, two, one)
    assert (await running(here, one), await running(here, two)) == (False, True)
    await retire(second, two, one)
    assert (await running(here, one), await running(here, two)) == (None, True)


@pytest.mark.parametrize("script", ["while true; do sleep 1; done", "exit 4"], ids=["after the switch", "crashed in the switch"])
async def test_worker_comes_back(here: Site, script: str) -> None:
    """Undone, the former worker runs again and the new one is gone; also where the new one crashed in the switch."""
    one, two = worker(here, "one"), worker(here, "two", script)
    await deploy_worker(here, one)
    before = await here.described()
    second = here.deployment()
    await work(second, two, one)
    if script == "exit 4":
        with pytest.raises(StepFailure) as failed:
            await switch(second, two, one)
        assert failed.value.failure.code == "crashed_at_start"
    else:
        await switch(second, two, one)
    for _ in range(2):
        await roll_back(second, two, one)
        assert await here.described() == before


async def test_a_switch_that_comes_again_stops_the_former_worker(here: Site) -> None:
    """The deployer died when the new worker was live, and before it had asked the former one to stop."""
    one, two = worker(here, "one"), worker(here, "two")
    await deploy_worker(here, one)
    second = here.deployment()
    await work(second, two, one)
    await switch(second, two, one)
    await here.target.engine.start(here.target.workloads.container(here.place, one))
    await switch(second, two, one)
    assert (await running(here, one), await running(here, two)) == (False, True)


async def test_a_look_at_the_target_does_not_start_what_an_undo_has_stopped(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the stop of the new worker and the return of the former one, the record still speaks of the new one."""
    one, two = worker(here, "one"), worker(here, "two")
    await deploy_worker(here, one)
    second = here.deployment()
    await work(second, two, one)
    await switch(second, two, one)
    back = Workloads.bring_back

    async def looked_before(self: Workloads, claim: Claim, release: Release, secrets: Sealed) -> bool:
        if release.key == one.key and claim.deployment == second.id:
            await here.target.reconcile.once()
            assert not await running(here, two)
        return await back(self, claim, release, secrets)

    monkeypatch.setattr(Workloads, "bring_back", looked_before)
    await roll_back(second, two, one)
    assert (await running(here, one), await running(here, two)) == (True, None)
    assert not here.target.records.service(here.place, "mailer").giving_way


async def test_a_former_worker_that_is_still_stopping_comes_back(here: Site) -> None:
    """The deployer died when it had asked the former worker to stop, and the undo finds it running: it would end a moment later."""
    one = worker(here, "one", "trap 'sleep 4; exit 0' TERM; while true; do sleep 0.1; done")
    two = worker(here, "two", "trap 'exit 0' TERM; while true; do sleep 0.1; done")
    await deploy_worker(here, one)
    second = here.deployment()
    await work(second, two, one)
    dies = asyncio.create_task(switch(second, two, one))
    await eventually(lambda: running(here, two))
    name = here.target.workloads.container(here.place, one)
    before = await here.target.engine.inspect(name)
    assert before is not None
    await eventually(lambda: _signalled(here, before))
    dies.cancel()
    await asyncio.wait([dies])
    assert await running(here, one)
    await roll_back(second, two, one)
    found = await here.target.engine.inspect(name)
    assert found is not None
    assert found.started_at > before.started_at
    assert found.running


async def _signalled(here: Site, container: Container) -> bool:
    return (await here.target.engine.seen(container)).signal


async def status(here: Site, release: Release) -> str:
    """What the engine says of a release's container."""
    found = await here.target.engine.inspect(here.target.workloads.container(here.place, release))
    return "" if found is None else found.status


@pytest.mark.parametrize("way", ["forwards", "backwards"])
async def test_a_worker_that_crashes_again_and_again_is_stopped(here: Site, way: str) -> None:
    """It is found between two of its starts, and is not started once more beside the other release."""
    seems_ready = HealthCheck(command=("true",), start_period_s=5, interval_s=0.1)
    crashing, good = (
        worker(here, *given).model_copy(update={"health": seems_ready}) for given in (("crashing", "sleep 0.3; exit 3"), ("good",))
    )
    former, release = (crashing, good) if way == "forwards" else (good, crashing)
    first = here.deployment()
    await work(first, former)
    await switch(first, former)
    await retire(first, former)
    second = here.deployment()
    await work(second, release, former)

    async def is_between_two_starts() -> bool:
        shown = await here.docker.containers.container(here.target.workloads.container(here.place, crashing)).show()
        return bool(shown["State"]["Status"] == "restarting" and shown["RestartCount"] > _PATIENT)

    if way == "forwards":
        await eventually(is_between_two_starts)
        await switch(second, release, former)
        assert await status(here, crashing) == "exited"
    else:
        await second.do(c.SwitchTraffic, "switch-mailer", f.TrafficSwitched, release=release, former=former)
        await eventually(is_between_two_starts)
        await second.undo(c.SwitchTraffic, "switch-mailer", f.TrafficRestored, release=release, former=former)
        assert (await running(here, good), await status(here, crashing)) == (True, "exited")


async def test_recreate_stops_the_former_release_first(here: Site) -> None:
    """With `recreate` the two never run at once; undone, the former one, which was kept, answers again."""
    one, two = here.release("one", strategy=Strategy.RECREATE), here.release("two", strategy=Strategy.RECREATE)
    await deploy(here.deployment(), one)
    assert await here.get() == (200, "one")
    before = await here.described()
    second = here.deployment()
    await prepare(second, two, one)
    assert (await running(here, one), await running(here, two)) == (True, False)
    await switch(second, two, one)
    assert (await running(here, one), await running(here, two)) == (False, True)
    assert await here.get() == (200, "two")
    await roll_back(second, two, one)
    assert await here.described() == before
    assert await here.get() == (200, "one")


@pytest.mark.parametrize("lands", ["before the removal", "after the undo"])
async def test_a_start_that_lands_late_is_undone(here: Site, lands: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request of a deployer that died: the undo found the new worker not started, and the former one does not run beside it."""
    one, two = worker(here, "one"), worker(here, "two")
    await deploy_worker(here, one)
    before, second, engine = await here.described(), here.deployment(), here.target.engine
    await work(second, two, one)
    remove, starts = engine.remove_idle, ["before the removal"]

    async def remove_idle(_engine: Engine, name: str) -> bool:
        if lands in starts:
            starts.clear()
            await engine.start(name)
        return await remove(name)

    monkeypatch.setattr(Engine, "remove_idle", remove_idle)
    await second.undo(c.SwitchTraffic, "switch-mailer", f.TrafficRestored, release=two, former=one)
    await engine.try_start(here.target.workloads.container(here.place, two))
    assert (await running(here, one), await running(here, two)) == (True, None)
    await roll_back(second, two, one)
    assert await here.described() == before


async def test_recreate_that_does_not_become_healthy(here: Site) -> None:
    """What fails in the switch is undone like anything else."""
    one = here.release("one", strategy=Strategy.RECREATE)
    two = here.release(
        "two", strategy=Strategy.RECREATE, health=HealthCheck(http="/missing", start_period_s=0.5, interval_s=0.1, retries=1)
    )
    await deploy(here.deployment(), one)
    before = await here.described()
    second = here.deployment()
    await prepare(second, two, one)
    with pytest.raises(StepFailure) as failed:
        await switch(second, two, one)
    assert failed.value.failure.code == "unhealthy"
    await roll_back(second, two, one)
    assert await here.described() == before
    assert await here.get() == (200, "one")


async def test_command_as_a_check(here: Site) -> None:
    """A check by a command in the container."""
    ready = "sleep 0.5; touch /tmp/ready; while true; do sleep 1; done"
    one = here.release(
        "one",
        service="mailer",
        port=None,
        command=("sh", "-c", ready),
        health=HealthCheck(command=("sh", "-c", "test -e /tmp/ready"), start_period_s=5, interval_s=0.1),
    )
    first = here.deployment()
    await work(first, one)
    await switch(first, one)
    assert await running(here, one)
