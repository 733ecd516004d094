"""Record against target: what a reboot, an engine's restart or a hand changed is set right."""

import asyncio
import datetime as dt
import subprocess
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from services.deployer.targets.local import certificates
from services.deployer.targets.local.container_state import Container
from services.deployer.targets.local.naming import place_labels
from services.deployer.targets.local.route_files import PREFIX
from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.contracts.manifest import Strategy
from shared.contracts.releases import Release
from shared.work import LowerEpoch
from tests.integration.deployer.rig import Site, deploy, prepare, retire, roll_back, switch
from tests.polling import eventually


async def test_nothing_to_do(here: Site) -> None:
    """On a target that is as recorded nothing changes."""
    await deploy(here.deployment(), here.release("one"))
    before = await here.described()
    assert not any(str(here.place) in line for line in await here.target.reconcile.once())
    assert await here.described() == before


async def test_stopped_service_runs_again(here: Site) -> None:
    """A live container that does not run is started, under its own address."""
    one = here.release("one")
    await deploy(here.deployment(), one)
    before = await here.described()
    subprocess.run(["docker", "kill", here.target.workloads.container(here.place, one)], check=True, capture_output=True)
    await here.target.reconcile.once()
    await eventually(lambda: _is(here, "one"))
    assert await here.described() == before


async def test_removed_service_is_made_again(here: Site) -> None:
    """A live container that was removed is made anew from the record, secrets included, and takes the traffic."""
    command = ("sh", "-c", 'mkdir /tmp/www; echo "$API_KEY" > /tmp/www/index.html; exec httpd -f -p $PORT -h /tmp/www')
    one = here.release("one", command=command, secret_names=("API_KEY",))
    await deploy(here.deployment(), one, None, here.sealed(API_KEY="opened again"))
    subprocess.run(["docker", "rm", "-f", here.target.workloads.container(here.place, one)], check=True, capture_output=True)
    await here.target.reconcile.once()
    await eventually(lambda: _is(here, "opened again"))


async def test_one_that_cannot_be_brought_back_does_not_stop_the_rest(here: Site) -> None:
    """A live release whose image is gone is reported; another service of the environment is brought back all the same."""
    one, other = here.release("one"), here.release("other", service="shop")
    await deploy(here.deployment(), one)
    await deploy(here.deployment(), other)
    record = here.target.records.service(here.place, "shop")
    assert record.live is not None
    gone = other.model_copy(update={"container": other.container.model_copy(update={"image": "127.0.0.1:1/gone:1"})})
    here.target.records.keep_service(record.model_copy(update={"live": record.live.model_copy(update={"release": gone})}))
    for release in (one, other):
        subprocess.run(["docker", "rm", "-f", here.target.workloads.container(here.place, release)], check=True, capture_output=True)
    done = await here.target.reconcile.once()
    assert any("shop cannot be set right" in line for line in done)
    await eventually(lambda: _is(here, "one"))


async def test_an_image_s_own_volumes_go_with_their_containers(here: Site) -> None:
    """What an engine that died left of them is removed, since they carry our labels; those of a container that is there stay."""
    one = here.release("one", image=here.machine.settings.postgres_images["18"])
    await deploy(here.deployment(), one)
    name, engine = here.target.workloads.container(here.place, one), here.target.engine
    (first,) = (await engine.inspect(name)).volumes  # type: ignore[union-attr]
    await here.target.reconcile.once()
    assert await engine.volumes.find(first) is not None
    subprocess.run(["docker", "rm", "-f", name], check=True, capture_output=True)  # without -v: its volume stays
    assert await engine.volumes.find(first) is not None
    await here.target.reconcile.once()
    (second,) = (await engine.inspect(name)).volumes  # type: ignore[union-attr]
    assert await engine.volumes.find(first) is None
    assert await engine.volumes.find(second) is not None
    assert await engine.remove(name)
    assert await engine.volumes.find(second) is None


async def test_routes_are_written_again(here: Site) -> None:
    """A route file that is gone or wrong is as the record says; one that no record speaks of is removed."""
    await deploy(here.deployment(), here.release("one"))
    before = await here.described()
    folder = here.machine.settings.dynamic_folder
    (own,) = folder.glob(f"{PREFIX}{here.place.subject}.*")
    own.unlink()
    stray = folder / f"{PREFIX}{here.place.subject}.stray.yml"
    stray.write_text("{}")
    await here.target.reconcile.once()
    assert await here.described() == before
    await eventually(lambda: _is(here, "one"))


async def test_candidates_of_finished_epochs_are_removed(here: Site) -> None:
    """A candidate whose deployment is over is removed; one of the running deployment stays."""
    one = here.release("one")
    await deploy(here.deployment(), one)
    before = await here.described()
    second = here.deployment()
    two = here.release("two")
    await second.do(c.DeployContainer, "deploy-container-web", f.ContainerDeployed, release=two, former=one)
    await here.target.reconcile.once()
    name = here.target.workloads.container(here.place, two)
    assert await here.target.engine.inspect(name) is not None
    await here.target.fence.admit(
        c.CheckDatabase(
            place=here.place, target="local", deployment="later", step="any", epoch=second.epoch + 2, timeout_s=1, database=here.database()
        )
    )
    await here.target.reconcile.once()
    assert await here.target.engine.inspect(name) is None
    assert await here.described() == before


async def test_release_that_gives_way_is_left_alone(here: Site) -> None:
    """A release that `recreate` stopped on purpose is not started in the middle of its switch."""
    one, two = here.release("one", strategy=Strategy.RECREATE), here.release("two", strategy=Strategy.RECREATE)
    await deploy(here.deployment(), one)
    second = here.deployment()
    await prepare(second, two, one)
    switching = asyncio.create_task(second.do(c.SwitchTraffic, "switch-web", f.TrafficSwitched, release=two, former=one))

    async def gives_way() -> bool:
        return here.target.records.service(here.place, "web").giving_way

    await eventually(gives_way, every=0.001)
    await here.target.reconcile.once()
    await switching
    found = await here.target.engine.inspect(here.target.workloads.container(here.place, one))
    assert found is not None
    assert not found.running


def meanwhile(monkeypatch: pytest.MonkeyPatch, here: Site, container: str, work: Callable[[], Awaitable[object]]) -> None:
    """Who looks at a container next acts on what he saw only when something else was done."""
    engine = here.target.engine
    inspect = engine.inspect

    async def look(name: str) -> Container | None:
        found = await inspect(name)
        if name == container:
            monkeypatch.undo()
            await work()
        return found

    monkeypatch.setattr(engine, "inspect", look)


async def test_release_that_gives_way_after_the_look_is_left_alone(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that a switch has stopped since reconcile looked at it is not started beside the one that took its place."""
    one, two = here.release("one", strategy=Strategy.RECREATE), here.release("two", strategy=Strategy.RECREATE)
    await deploy(here.deployment(), one)
    second = here.deployment()
    await prepare(second, two, one)
    former = here.target.workloads.container(here.place, one)
    meanwhile(monkeypatch, here, former, lambda: switch(second, two, one))
    await here.target.reconcile.once()
    found = await here.target.engine.inspect(former)
    assert found is not None
    assert not found.running
    assert await here.get() == (200, "two")


@pytest.mark.parametrize("end", ["replaced", "removed"])
async def test_release_that_is_no_more_is_not_made_again(here: Site, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """A container that was gone when reconcile looked stays gone where its release has been retired, or its service removed, since."""
    one = here.release("one")
    await deploy(here.deployment(), one)
    former = here.target.workloads.container(here.place, one)
    second, two = here.deployment(), here.release("two")
    await prepare(second, two, one)
    subprocess.run(["docker", "rm", "-f", former], check=True, capture_output=True)

    async def work() -> None:
        if end == "replaced":
            await switch(second, two, one)
            await retire(second, two, one)
        else:
            await second.do(c.RemoveService, "remove-service-web", f.ServiceRemoved, former=one)

    meanwhile(monkeypatch, here, former, work)
    await here.target.reconcile.once()
    assert await here.target.engine.inspect(former) is None


async def test_certificate_is_renewed(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that nears its end is replaced, and the old files go."""
    monkeypatch.setattr(certificates, "_VALID", dt.timedelta(days=1))
    await deploy(here.deployment(), here.release("one"))
    monkeypatch.undo()
    old = here.target.records.service(here.place, "web").certificate
    done = await here.target.reconcile.once()
    assert any("certificate of web renewed" in line for line in done)
    new = here.target.records.service(here.place, "web").certificate
    assert new != old
    assert not list(here.machine.settings.certificate_folder.glob(f"*{old}*"))
    assert await here.get() == (200, "one")


async def test_certificate_of_one_that_cannot_be_brought_back_is_renewed(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that does not run again may be mended by hand, and then shall be reached."""
    one = here.release("one")
    monkeypatch.setattr(certificates, "_VALID", dt.timedelta(days=1))
    await deploy(here.deployment(), one)
    monkeypatch.undo()
    record = here.target.records.service(here.place, "web")
    assert record.live is not None
    gone = one.model_copy(update={"container": one.container.model_copy(update={"image": "127.0.0.1:1/gone:1"})})
    here.target.records.keep_service(record.model_copy(update={"live": record.live.model_copy(update={"release": gone})}))
    subprocess.run(["docker", "rm", "-f", here.target.workloads.container(here.place, one)], check=True, capture_output=True)
    done = await here.target.reconcile.once()
    assert any("web cannot be set right" in line for line in done)
    assert any("certificate of web renewed" in line for line in done)


async def test_a_release_whose_retirement_failed_goes_when_the_next_deployment_turns_back(here: Site) -> None:
    """It is asked to stop, and answers what it has; in the record it would run until a deployment succeeds."""
    one, two, three = here.release("one"), here.release("two"), here.release("three")
    await deploy(here.deployment(), one)
    second, third = here.deployment(), here.deployment()
    await prepare(second, two, one)
    await switch(second, two, one)
    await prepare(third, three, two)
    with pytest.raises(LowerEpoch):
        await retire(second, two, one)
    rounds = asyncio.create_task(here.target.reconcile.run())
    try:
        await asyncio.wait_for(here.target.reconcile.looked.wait(), 20)
        await roll_back(third, three, two)
        await eventually(partial(_is_gone, here, one))
    finally:
        rounds.cancel()
    assert here.target.records.service(here.place, "web").former is None
    assert await here.get() == (200, "two")


async def _is_gone(here: Site, release: Release) -> bool:
    return await here.target.engine.inspect(here.target.workloads.container(here.place, release)) is None


async def test_detached_volumes_go_after_days(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A detached volume is removed when its days are over, not before."""
    from services.deployer.targets.local import reconcile

    first, spec = here.deployment(), here.database()
    await first.do(c.ProvisionDatabase, "provision-database-main", f.DatabaseProvisioned, database=spec)
    undone = await first.undo(c.ProvisionDatabase, "provision-database-main", f.DatabaseRestored, database=spec)
    assert undone.detached_volume is not None
    await here.target.reconcile.once()
    assert await here.target.engine.volumes.find(undone.detached_volume) is not None
    monkeypatch.setattr(reconcile, "DETACHED_KEPT", dt.timedelta(0))
    await here.target.reconcile.once()
    assert await here.target.engine.volumes.find(undone.detached_volume) is None
    assert (await here.target.state.describe(here.place)).detached == ()


async def test_a_network_that_nothing_uses_goes(here: Site) -> None:
    """Also where nothing else of its environment is left: no record and no container."""
    networks, engine = here.target.workloads.networks, here.target.engine
    await networks.ensure(here.place)
    await here.target.reconcile.once()
    assert await engine.networks.find(networks.name(here.place)) is None


ODD_LABELS = {
    "no environment": {"slipway.organization": "Bad Name"},
    "an epoch that is no number": {"slipway.epoch": "soon", "slipway.role": "application"},
    "an epoch without end": {"slipway.epoch": "9" * 5000, "slipway.role": "application"},
}


@pytest.mark.parametrize("odd", ODD_LABELS.values(), ids=ODD_LABELS.keys())
async def test_a_container_with_odd_labels_is_left_alone(here: Site, odd: dict[str, str]) -> None:
    """One that was started by hand, from an image that brought labels of ours, keeps nothing else from being set right."""
    one = here.release("one")
    await deploy(here.deployment(), one)
    labels = place_labels(here.machine.settings.instance, here.place) | odd
    words = [f"--label={name}={value}" for name, value in labels.items()]
    made = subprocess.run(["docker", "create", *words, here.machine.image, "true"], check=True, capture_output=True, text=True)
    subprocess.run(["docker", "rm", "-f", here.target.workloads.container(here.place, one)], check=True, capture_output=True)
    await here.target.reconcile.once()
    await eventually(lambda: _is(here, "one"))
    assert await here.target.engine.inspect(made.stdout.strip()) is not None
    assert here.place in await here.target.upkeep.places()
    await here.target.upkeep.examine(here.place)


async def test_long_labels_are_no_reason_to_look_again(here: Site) -> None:
    """What the engine tells of a container with an image's long labels is read past: the engine is still there."""
    waiting = asyncio.create_task(here.target.engine.until_gone())
    labels = place_labels(here.machine.settings.instance, here.place) | {f"long{number}": "x" * 60_000 for number in range(10)}
    configuration = {"Image": here.machine.image, "Cmd": ["true"], "Labels": labels}
    for number in range(8):  # the first may come before it listens
        await here.target.engine.create(f"{here.place.project}-{number}", configuration)
    assert not (await asyncio.wait([waiting], timeout=1))[0]
    waiting.cancel()


async def _is(here: Site, text: str, service: str = "web") -> bool:
    return await here.get_or_none(service) == (200, text)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same subnet", "another"])
async def test_a_network_that_was_removed_is_made_again_for_all(here: Site, elsewhere: bool) -> None:
    """Every service is on it and answers, also where its former range has been taken by a network of somebody else's. A database keeps
    the address that applications know it by, where it can."""
    await here.deployment().do(c.ProvisionDatabase, "provision-database-main", f.DatabaseProvisioned, database=here.database())
    database = here.target.records.database(here.place, "main")
    assert database is not None
    services = ("web", "shop")
    for service in services:
        await deploy(here.deployment(), here.release(service, service=service))
    engine, network = here.target.engine, here.target.workloads.networks.name(here.place)
    found = await engine.networks.find(network)
    assert found is not None
    address = await here.target.databases.networks.address(here.place, database.container)
    for container in (database.container, *(name for each in here.target.records.services(here.place) for name in each.containers())):
        _docker("kill", container)
    _docker("network", "rm", network)
    if elsewhere:
        labels = [f"--label={name}={value}" for name, value in place_labels(here.machine.settings.instance, here.place).items()]
        _docker("network", "create", *labels, "--subnet", found["IPAM"]["Config"][0]["Subnet"], f"{network}-other")
    await here.target.reconcile.once()
    for service in services:
        await eventually(partial(_is, here, service, service))
    assert (await here.target.databases.networks.address(here.place, database.container) == address) != elsewhere
    await here.deployment().do(c.CheckDatabase, "check-database-main", f.DatabaseHealthy, database=here.database())


def _docker(*words: str) -> None:
    subprocess.run(["docker", *words], check=True, capture_output=True)
