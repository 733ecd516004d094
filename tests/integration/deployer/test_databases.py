"""PostgreSQL: made, changed, refused, detached, found by its name."""

import asyncio
import subprocess

import asyncpg
import pytest

from services.deployer.targets.local import links
from services.deployer.targets.local.database_images import DatabaseImages
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.records import Records
from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.contracts.releases import ContainerSpec, DatabaseLink, DatabaseSpec, Sealed
from shared.work import LowerEpoch, StepFailure
from tests.integration.deployer.rig import MIB, Deployment, Site

LINK = (DatabaseLink(database="main", variable="DATABASE_URL"),)


async def provision(deployment: Deployment, spec: DatabaseSpec, former: DatabaseSpec | None = None) -> f.DatabaseProvisioned:
    """All steps of a database."""
    fact = await deployment.do(c.ProvisionDatabase, "provision-database-main", f.DatabaseProvisioned, database=spec, former=former)
    await deployment.do(c.ConnectDatabase, "connect-database-main", f.DatabaseConnected, database=spec, former=former)
    await deployment.do(c.CheckDatabase, "check-database-main", f.DatabaseHealthy, database=spec)
    return fact


async def undo(deployment: Deployment, spec: DatabaseSpec, former: DatabaseSpec | None = None) -> f.DatabaseRestored:
    """All undos of a database."""
    await deployment.undo(c.ConnectDatabase, "connect-database-main", f.DatabaseDisconnected, database=spec, former=former)
    return await deployment.undo(c.ProvisionDatabase, "provision-database-main", f.DatabaseRestored, database=spec, former=former)


async def sql(here: Site, statement: str) -> object:
    """A query as the application would make it, from the host."""
    record = here.target.records.database(here.place, "main")
    assert record is not None
    container = await here.target.engine.inspect(record.container)
    assert container is not None
    (attached,) = container.networks.values()
    connection = await asyncpg.connect(links.url(here.target.key, here.place, "main", attached.address), ssl=False)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("version", ["18", "15"])
async def test_provisioned_in_the_asked_version(here: Site, version: str) -> None:
    """A database runs in the version that was asked for; a command that comes again finds it, with its data."""
    first, spec = here.deployment(), here.database(version)
    made = await provision(first, spec)
    assert made.made
    await sql(here, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert str(await sql(here, "SHOW server_version")).split(".")[0] == version
    await provision(first, spec)
    again = await provision(here.deployment(), spec, spec)
    assert not again.made
    assert await sql(here, "SELECT answer FROM kept") == 42


async def test_applications_find_it_by_its_name(here: Site) -> None:
    """A job reaches the database by the address in DATABASE_URL."""
    first = here.deployment()
    await provision(first, here.database())
    job = here.job(
        'hostport=${DATABASE_URL##*@}; hostport=${hostport%%/*}; nc -w 5 "${hostport%%:*}" "${hostport##*:}" < /dev/null && echo reached',
        databases=LINK,
    )
    ran = await first.do(c.RunJob, "run-job-migrate", f.JobSucceeded, job=job)
    assert ran.log_tail == ("reached",)


async def test_its_name_needs_no_engine(here: Site) -> None:
    """A container knows its databases' addresses by itself: the engine, which answers for names on its networks, may be down."""
    first = here.deployment()
    await provision(first, here.database())
    job = here.job("grep -w main /etc/hosts | cut -f 1", databases=LINK)
    ran = await first.do(c.RunJob, "run-job-migrate", f.JobSucceeded, job=job)
    record = here.target.records.database(here.place, "main")
    assert record is not None
    assert ran.log_tail == (await here.target.databases.networks.address(here.place, record.container),)


async def test_unknown_version(here: Site) -> None:
    """A version that cannot be had is refused, and those that can are listed."""
    with pytest.raises(StepFailure) as failed:
        await provision(here.deployment(), here.database("9"))
    assert failed.value.failure.code == "database_version_unknown"
    assert "there are 18, 15" in failed.value.failure.message


async def test_what_has_no_way_back_is_refused(here: Site) -> None:
    """A shrink and another major version are refused, and the database goes on."""
    spec = here.database(storage=2048 * MIB)
    await provision(here.deployment(), spec)
    before = await here.described()
    for wanted, code in (
        (here.database(storage=1024 * MIB), "database_shrunk"),
        (here.database("15", storage=2048 * MIB), "database_major_changed"),
    ):
        with pytest.raises(StepFailure) as failed:
            await provision(here.deployment(), wanted, spec)
        assert failed.value.failure.code == code
    assert await here.described() == before


async def test_memory_changes_in_place_and_back(here: Site) -> None:
    """More memory is given while the database runs; the undo takes it back, and the container is the same."""
    spec, larger = here.database(), here.database(memory=256 * MIB, storage=2048 * MIB)
    await provision(here.deployment(), spec)
    before = await here.described()
    second = here.deployment()
    await provision(second, larger, spec)
    (container,) = (await here.target.state.describe(here.place)).containers.values()
    assert container["memory_bytes"] == 256 * MIB
    for _ in range(2):
        await undo(second, larger, spec)
        assert await here.described() == before


async def test_an_undo_that_died_half_way_is_done_again(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its former memory was recorded and no more: the next undo gives it to the container."""
    spec, larger = here.database(), here.database(memory=256 * MIB)
    await provision(here.deployment(), spec)
    before = await here.described()
    second = here.deployment()
    await provision(second, larger, spec)
    with monkeypatch.context() as broken:
        broken.setattr(Engine, "update", _fails)
        with pytest.raises(OSError, match="no more"):
            await undo(second, larger, spec)
    await undo(second, larger, spec)
    assert await here.described() == before


@pytest.mark.parametrize("lost", ["container", "network"])
async def test_undone_where_it_was_taken_away_by_hand(here: Site, lost: str) -> None:
    """A database that somebody removed, or took off its network, in the middle of a deployment is as it was, rows included."""
    spec, larger = here.database(), here.database(memory=256 * MIB)
    await provision(here.deployment(), spec)
    await sql(here, "CREATE TABLE kept()")
    second = here.deployment()
    await provision(second, larger, spec)
    record = here.target.records.database(here.place, "main")
    assert record is not None
    by_hand = {"container": ("rm", "-f"), "network": ("network", "disconnect", here.target.databases.networks.name(here.place))}[lost]
    subprocess.run(["docker", *by_hand, record.container], check=True, capture_output=True)
    await undo(second, larger, spec)
    await here.deployment().do(c.CheckDatabase, "check-database-main", f.DatabaseHealthy, database=spec)
    (container,) = (await here.target.state.describe(here.place)).containers.values()
    assert container["memory_bytes"] == spec.memory_bytes
    assert await sql(here, "SELECT to_regclass('kept') IS NOT NULL")


async def test_made_by_a_deployment_that_failed(here: Site) -> None:
    """A database that the deployment made is detached by its undo: the container goes, the volume stays; the next try gets a new one."""
    before = await here.described()
    first, spec = here.deployment(), here.database()
    await provision(first, spec)
    await sql(here, "CREATE TABLE lost()")
    restored = await undo(first, spec)
    assert restored.detached_volume is not None
    assert await here.described() == before
    assert (await here.target.state.describe(here.place)).detached == (restored.detached_volume,)
    assert await here.target.engine.volumes.find(restored.detached_volume) is not None
    await undo(first, spec)
    assert await here.described() == before
    with pytest.raises(LowerEpoch):
        await provision(first, spec)
    await provision(here.deployment(), spec)
    assert await sql(here, "SELECT to_regclass('lost') IS NULL")


async def test_undo_after_half_of_the_making(here: Site) -> None:
    """A volume without a container, or a record without either, is undone as well."""
    before = await here.described()
    spec = here.database()
    for with_volume in (False, True):
        deployment = here.deployment()
        command = c.ProvisionDatabase(
            place=here.place, target="local", deployment=deployment.id, step="provision-database-main",
            epoch=deployment.epoch, timeout_s=60, database=spec,
        )  # fmt: skip
        claim = await here.target.fence.admit(command)
        record = here.target.databases._new(claim, spec)
        here.target.records.keep_database(record)
        if with_volume:
            await here.target.engine.volumes.create(record.volume, here.target.databases._labels(record))
        await undo(deployment, spec)
        assert await here.described() == before


async def test_removed_by_hand(here: Site) -> None:
    """A container that somebody removed comes back on its volume in the next deployment, and by reconcile."""
    spec = here.database()
    await provision(here.deployment(), spec)
    await sql(here, "CREATE TABLE kept()")
    record = here.target.records.database(here.place, "main")
    assert record is not None
    for by_reconcile in (False, True):
        subprocess.run(["docker", "rm", "-f", record.container], check=True, capture_output=True)
        if by_reconcile:
            await here.target.reconcile.once()
            await here.deployment().do(c.CheckDatabase, "check-database-main", f.DatabaseHealthy, database=spec)
        else:
            await provision(here.deployment(), spec, spec)
        assert await sql(here, "SELECT to_regclass('kept') IS NOT NULL")


@pytest.mark.parametrize("by_hand", [("rm", "-f"), ("kill",)])
async def test_an_image_is_pulled_without_the_lease(here: Site, monkeypatch: pytest.MonkeyPatch, by_hand: tuple[str, ...]) -> None:
    """However long that takes, the environment's steps go on; for a container that is there none is asked for."""
    await provision(here.deployment(), here.database())
    record = here.target.records.database(here.place, "main")
    assert record is not None
    subprocess.run(["docker", *by_hand, record.container], check=True, capture_output=True)
    ensure, asked = DatabaseImages.ensure, 0

    async def pulled(images: DatabaseImages, spec: DatabaseSpec) -> str:
        nonlocal asked
        asked += 1
        async with asyncio.timeout(2), here.target.fence.lease(here.place):
            return await ensure(images, spec)

    monkeypatch.setattr(DatabaseImages, "ensure", pulled)
    assert any("main is as recorded again" in line for line in await here.target.reconcile.place(here.place))
    assert asked == (1 if by_hand[0] == "rm" else 0)


async def test_password_is_nowhere_but_in_environments(here: Site) -> None:
    """The derived password is in no record, label, name or argument."""
    await provision(here.deployment(), here.database())
    password = here.target.key.password(here.place, "main")
    shown = subprocess.run(
        ["docker", "ps", "-a", "--no-trunc", "--format", "{{.Names}} {{.Labels}} {{.Command}}"], check=True, capture_output=True, text=True
    )
    assert password not in shown.stdout
    for path in here.machine.settings.target_folder.rglob("*"):
        assert not path.is_file() or password not in path.read_text()


async def test_detached_when_the_environment_no_longer_has_it(here: Site) -> None:
    """A database that left the manifest is detached after the pivot."""
    spec = here.database()
    await provision(here.deployment(), spec)
    second = here.deployment()
    fact = await second.do(c.RemoveDatabase, "remove-database-main", f.DatabaseDetached, former=spec)
    assert fact.detached_volume is not None
    assert (await here.target.state.describe(here.place)).containers == {}
    await second.do(c.RemoveDatabase, "remove-database-main", f.DatabaseDetached, former=spec)


async def test_a_request_that_lands_after_the_removal_is_swept(here: Site) -> None:
    """A container that the engine makes after its worker died and another deployment has removed the database goes with the next look."""
    spec = here.database()
    await provision(here.deployment(), spec)
    record = here.target.records.database(here.place, "main")
    assert record is not None
    labels = here.target.databases._labels(record)
    await here.deployment().do(c.RemoveDatabase, "remove-database-main", f.DatabaseDetached, former=spec)
    await here.target.engine.create(record.container, {"Image": here.machine.image, "Labels": labels})
    await here.target.reconcile.once()
    assert await here.target.engine.inspect(record.container) is None


@pytest.mark.parametrize(("part", "effect", "who"), [(Engine, "remove", "provision"), (Records, "forget_database", "reconcile")])
async def test_a_removal_that_was_given_up_half_way_is_finished_by_who_comes_next(
    here: Site, monkeypatch: pytest.MonkeyPatch, part: type, effect: str, who: str
) -> None:
    """Its volume is kept as detached and serves nobody: the next database of that name is a new one, also where that is undone."""
    spec = here.database()
    await provision(here.deployment(), spec)
    await sql(here, "CREATE TABLE former()")
    record = here.target.records.database(here.place, "main")
    assert record is not None
    second = here.deployment()
    with monkeypatch.context() as broken:
        broken.setattr(part, effect, _fails)
        with pytest.raises(OSError, match="no more"):
            await second.do(c.RemoveDatabase, "remove-database-main", f.DatabaseDetached, former=spec)
    if who == "reconcile":
        await here.target.reconcile.once()
        assert here.target.records.database(here.place, "main") is None
    third = here.deployment()
    assert (await provision(third, spec)).made
    assert await sql(here, "SELECT to_regclass('former') IS NULL")
    assert record.volume in (await here.target.state.describe(here.place)).detached
    await undo(third, spec)
    state = await here.target.state.describe(here.place)
    assert (state.containers, len(state.detached)) == ({}, 2)


def _fails(*_: object) -> None:
    raise OSError("no more")


async def test_a_databases_password_is_taken_out_of_logs(here: Site) -> None:
    """A container that prints its DATABASE_URL shows no password: it is among what is redacted, as secrets are."""
    container = ContainerSpec(image="x@sha256:0", databases=(DatabaseLink(database="main", variable="DATABASE_URL"),))
    values = here.target.secret_values(Sealed(), here.place, container)
    assert here.target.key.password(here.place, "main") in values.values()
