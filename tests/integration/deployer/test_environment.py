"""What a container gets: variables, secrets, names, limits, and nothing more."""

import asyncio
import json

from shared.contracts import commands as c
from shared.contracts import facts as f
from tests.integration.deployer.rig import MIB, Site, deploy, prepare, roll_back, switch

STEP = "run-job-migrate"


async def ask(here: Site, script: str) -> tuple[str, ...]:
    """What a script says in a container of the environment."""
    deployment = here.deployment()
    ran = await deployment.do(c.RunJob, STEP, f.JobSucceeded, job=here.job(script))
    await here.target.jobs.clear(await here.target.fence.admit(_command(here, deployment.id, deployment.epoch)))
    return ran.log_tail


def _command(here: Site, deployment: str, epoch: int) -> c.CheckDatabase:
    return c.CheckDatabase(
        place=here.place, target="local", deployment=deployment, step="any", epoch=epoch, timeout_s=5, database=here.database()
    )


async def test_variables_and_secrets(here: Site) -> None:
    """Variables and opened secrets are in the container's environment; the secret is in no label, record or log line."""
    one = here.release(
        "one",
        variables={"COLOUR": "blue"},
        secret_names=("API_KEY",),
        command=("sh", "-c", 'mkdir /tmp/www; echo "$COLOUR $API_KEY $PORT" > /tmp/www/index.html; exec httpd -f -p $PORT -h /tmp/www'),
    )
    first = here.deployment()
    await deploy(first, one, None, here.sealed(API_KEY="canary-value"))
    assert await here.get() == (200, "blue canary-value 8000")
    assert first.journal.secret == {"API_KEY": "canary-value"}
    found = await here.target.engine.inspect(here.target.workloads.container(here.place, one))
    assert found is not None
    assert "canary-value" not in json.dumps(dict(found.labels)) + " ".join(found.command)
    for path in here.machine.settings.home.rglob("*"):
        assert not path.is_file() or b"canary-value" not in path.read_bytes()


async def test_rights_and_limits(here: Site) -> None:
    """Nobody, a read-only root but for /tmp, no capabilities, no new privileges, limits on memory, processors, processes and log."""
    one = here.release("one", memory=48 * MIB)
    await deploy(here.deployment(), one)
    shown = await here.docker.containers.container(here.target.workloads.container(here.place, one)).show()
    host = shown["HostConfig"]
    assert shown["Config"]["User"] == "65532:65532"
    assert host["ReadonlyRootfs"]
    assert list(host["Tmpfs"]) == ["/tmp"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"], host["PidsLimit"]) == (48 * MIB, 48 * MIB, 10**9, 512)
    assert host["LogConfig"]["Config"]["max-size"] == "10m"
    assert not host["PortBindings"]


async def test_names_move_with_the_switch(here: Site) -> None:
    """Other services find a service by its name: the former release until the switch, and the new one as well from there."""
    one, two = here.release("one"), here.release("two")
    await deploy(here.deployment(), one)
    await deploy(here.deployment(), here.release("other", service="shop"))
    fetch = "for i in 1 2 3 4 5 6 7 8; do wget -q -O - http://web:8000/; done | sort -u"
    second = here.deployment()
    await prepare(second, two, one)
    probe = await second.do(c.RunJob, "run-job-before", f.JobSucceeded, job=here.job(fetch))
    assert probe.log_tail == ("one",)
    await switch(second, two, one)
    await second.do(c.RetireRelease, "retire-web", f.ReleaseRetired, release=two, former=one)
    assert await ask(here, fetch) == ("two",)


async def test_names_come_back(here: Site) -> None:
    """After a roll-back the name leads to the former release alone."""
    one, two = here.release("one"), here.release("two")
    await deploy(here.deployment(), one)
    await deploy(here.deployment(), here.release("other", service="shop"))
    before = await here.described()
    second = here.deployment()
    await prepare(second, two, one)
    await switch(second, two, one)
    await roll_back(second, two, one)
    assert await here.described() == before


async def test_two_services_switch_together(here: Site) -> None:
    """Several services of one deployment are prepared side by side and switch one after the other."""
    old = {name: here.release(f"{name}-one", service=name) for name in ("web", "shop")}
    new = {name: here.release(f"{name}-two", service=name) for name in ("web", "shop")}
    first = here.deployment()
    for release in old.values():
        await prepare(first, release)
    for release in old.values():
        await switch(first, release)
    second = here.deployment()
    for name, release in new.items():
        await prepare(second, release, old[name])
    for name, release in new.items():
        await switch(second, release, old[name])
    assert await here.get("web") == (200, "web-two")
    assert await here.get("shop") == (200, "shop-two")


async def test_service_that_is_gone(here: Site) -> None:
    """A service that left the manifest has no route, container, name or certificate; the other one goes on."""
    web, shop = here.release("one"), here.release("other", service="shop")
    await deploy(here.deployment(), web)
    before = await here.described()
    await deploy(here.deployment(), shop)
    third = here.deployment()
    for _ in range(2):
        await third.do(c.RemoveService, "remove-service-shop", f.ServiceRemoved, former=shop)
        assert await here.described() == before
    assert await here.get() == (200, "one")
    last = here.deployment()
    await last.do(c.RemoveService, "remove-service-web", f.ServiceRemoved, former=web)
    state = await here.target.state.describe(here.place)
    assert not any((state.containers, state.routes, state.networks, state.domains, state.certificates, state.services))


async def test_many_steps_at_once(here: Site) -> None:
    """Services and a database of a new environment are made side by side, on one network, each with an address of its own."""
    first = here.deployment()
    releases = [here.release(name, service=name) for name in ("web", "shop", "blog")]
    spec = here.database()
    await asyncio.gather(
        first.do(c.ProvisionDatabase, "provision-database-main", f.DatabaseProvisioned, database=spec),
        *(prepare(first, release) for release in releases),
    )
    for release in releases:
        await switch(first, release)
    for release in releases:
        assert await here.get(release.service) == (200, release.service)
    state = await here.target.state.describe(here.place)
    addresses = [part["address"] for container in state.containers.values() for part in container["networks"].values()]  # type: ignore[attr-defined]
    assert len(set(addresses)) == 4
    assert len(state.networks) == 1
    for release in reversed(releases):
        await roll_back(first, release)
    await first.undo(c.ProvisionDatabase, "provision-database-main", f.DatabaseRestored, database=spec)
    state = await here.target.state.describe(here.place)
    assert not any((state.containers, state.routes, state.networks, state.domains, state.certificates, state.services, state.databases))
