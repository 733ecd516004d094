"""What differs from the record is found object by object, said, and mended; nothing else is touched."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from services.deployer.targets.local.route_files import PREFIX
from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.contracts.examination import Difference
from shared.contracts.releases import DatabaseLink
from tests.integration.deployer.rig import Site, deploy
from tests.polling import eventually


def docker(*words: str) -> None:
    """A person's hand."""
    subprocess.run(["docker", *words], check=True, capture_output=True)


def network(here: Site) -> str:
    """The environment's network."""
    return here.target.workloads.networks.name(here.place)


def container(here: Site) -> str:
    """The container of the service web."""
    live = here.target.records.service(here.place, "web").live
    assert live is not None
    return live.container


def files(here: Site, folder: Path, pattern: str) -> list[Path]:
    """The environment's files in a folder."""
    return sorted(folder.glob(pattern.format(here.place.subject)))


def stop(here: Site) -> None:
    """A stopped container."""
    docker("kill", container(here))


def remove(here: Site) -> None:
    """A removed one."""
    docker("rm", "-f", container(here))


def limit(here: Site) -> None:
    """One with other limits."""
    docker("update", "--memory", "32m", "--memory-swap", "32m", container(here))


def policy(here: Site) -> None:
    """One that would not start with the engine."""
    docker("update", "--restart", "no", container(here))


def cut_off(here: Site) -> None:
    """One that was taken off its network."""
    docker("network", "disconnect", network(here), container(here))


def no_network(here: Site) -> None:
    """A network that was removed under its stopped containers."""
    docker("kill", container(here))
    docker("network", "rm", network(here))


def imposter(here: Site) -> None:
    """Another container under its name."""
    name = container(here)
    docker("rm", "-f", name)
    labels = {"instance": here.machine.settings.instance, "organization": "main", "role": "application", "key": "another"}
    labels |= {"project": here.place.project, "environment": here.place.environment}
    flags = [word for label, value in labels.items() for word in ("--label", f"slipway.{label}={value}")]
    docker("run", "-d", "--name", name, *flags, here.machine.image, "sleep", "60")


def no_route(here: Site) -> None:
    """A route file that is gone."""
    for path in files(here, here.machine.settings.dynamic_folder, f"{PREFIX}{{}}.*"):
        path.unlink()


def other_route(here: Site) -> None:
    """One that somebody has edited."""
    (path,) = files(here, here.machine.settings.dynamic_folder, f"{PREFIX}{{}}.*")
    path.write_text(path.read_text().replace("8000", "8001"))


def no_certificate(here: Site) -> None:
    """A private key that is gone."""
    for path in files(here, here.machine.settings.certificate_folder, "{}.*.key"):
        path.unlink()


Sabotage = Callable[[Site], None]


@pytest.mark.parametrize(
    ("sabotage", "kind", "words"),
    [
        (stop, "container", "does not run"),
        (remove, "container", "is gone"),
        (limit, "container", "other limits"),
        (policy, "container", "would not start with the engine"),
        (cut_off, "container", "not on the environment's network"),
        (no_network, "network", "is gone"),
        (imposter, "container", "another release"),
        (no_route, "route", "is gone"),
        (other_route, "route", "not as recorded"),
        (no_certificate, "certificate", "or its key"),
    ],
)
async def test_each_difference_is_found_and_mended(here: Site, sabotage: Sabotage, kind: str, words: str) -> None:
    """It is named with what mending does; looking changes nothing; after mending nothing differs and the service answers."""
    await deploy(here.deployment(), here.release("one"))
    upkeep = here.target.upkeep
    assert await upkeep.examine(here.place) == []
    sabotage(here)
    broken = await here.described()
    differences = await upkeep.examine(here.place)
    found = [each for each in differences if each.kind == kind and words in each.what]
    assert found, differences
    assert all(each.mendable and each.remedy and each.place == here.place for each in found)
    assert await here.described() == broken
    done = await upkeep.mend(here.place)
    assert any(str(here.place) in line for line in done) or kind == "route"

    async def mended() -> bool:
        return await here.get_or_none() == (200, "one")

    await eventually(mended)
    assert await upkeep.examine(here.place) == []


async def test_a_database_is_looked_at_too(here: Site) -> None:
    """Stopped, limited otherwise, off its network: it comes back with its rows, under its name."""
    first, spec = here.deployment(), here.database()
    await first.do(c.ProvisionDatabase, "provision-database-main", f.DatabaseProvisioned, database=spec)
    await first.do(c.ConnectDatabase, "connect-database-main", f.DatabaseConnected, database=spec)
    await deploy(first, here.release("one", databases=(DatabaseLink(database="main", variable="DATABASE_URL"),)))
    record = here.target.records.database(here.place, "main")
    assert record is not None
    docker("network", "disconnect", network(here), record.container)
    docker("update", "--memory", "300m", "--memory-swap", "300m", record.container)
    docker("kill", record.container)
    found = await here.target.upkeep.examine(here.place)
    assert {each.name for each in found} == {record.container}
    assert len(found) == 3
    assert here.target.upkeep.databases(here.place) == {"main": spec}
    await here.target.upkeep.mend(here.place)
    assert await here.target.upkeep.examine(here.place) == []
    await first.do(c.CheckDatabase, "check-database-main", f.DatabaseHealthy, database=spec)
    back = await here.target.engine.inspect(record.container)
    assert back is not None
    assert "main" in back.networks[network(here)].aliases


async def test_names_are_looked_at_too(here: Site) -> None:
    """One that nobody holds any more could be taken by another service; one too many keeps others from it. A deployment sets both right."""
    release = here.release("one")
    await deploy(here.deployment(), release)
    records = here.target.records
    (claim,) = records.claims(here.place)
    records.release(claim)
    records.claim(claim.model_copy(update={"host": f"shop.{claim.host}"}))
    found = {each.name: each for each in await here.target.upkeep.examine(here.place)}
    assert {each.kind.value for each in found.values()} == {"domain"}
    assert found[claim.host].what == "is not held for the service web, which answers to it"
    assert found[f"shop.{claim.host}"].what == "is held for the service web, which does not answer to it"
    assert not any(each.mendable for each in found.values())
    await deploy(here.deployment(), here.release("two"), release)
    assert await here.target.upkeep.examine(here.place) == []


async def test_what_no_record_speaks_of_is_never_removed_unless_it_was_undone(here: Site) -> None:
    """A container or volume of nobody's is told of with the command that removes it; mending leaves it alone."""
    await deploy(here.deployment(), here.release("one"))
    labels = [
        word
        for name, value in {
            "instance": here.machine.settings.instance,
            "organization": "main",
            "project": here.place.project,
            "environment": here.place.environment,
            "role": "application",
            "epoch": "999",
        }.items()
        for word in ("--label", f"slipway.{name}={value}")
    ]
    name = f"{here.machine.settings.instance}-stranger-{here.place.project}"
    docker("create", "--name", name, *labels, here.machine.image, "true")
    docker("volume", "create", *labels, name)
    found = await here.target.upkeep.examine(here.place)
    assert {(each.kind.value, each.mendable) for each in found} == {("container", False), ("volume", False)}
    assert {each.remedy.rpartition(": ")[2] for each in found} == {f"docker rm -f {name}", f"docker volume rm {name}"}
    await here.target.upkeep.mend(here.place)
    assert await here.target.upkeep.examine(here.place) == found


async def test_stray_files_belong_to_no_environment(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Route files and certificates that no record speaks of are removed when asked; those of others stay."""
    from services.deployer.targets.local import certificates

    await deploy(here.deployment(), here.release("one"))
    before = await here.described()
    route = here.machine.settings.dynamic_folder / f"{PREFIX}main.{here.place.project}.production.gone.yml"
    route.write_text("{}")
    foreign = here.machine.settings.dynamic_folder / "foreign.yml"
    foreign.write_text("{}")
    certificate = here.machine.settings.certificate_folder / f"main.{here.place.project}.production.gone.{'0' * 32}.pem"
    certificate.write_text("x")
    certificate.with_suffix(".key").write_text("x")

    def ours(found: list[Difference]) -> set[str]:
        return {each.name for each in found if here.place.project in each.name}

    assert ours(await here.target.upkeep.examine(None)) == {route.name, certificate.name}
    monkeypatch.setattr(certificates, "_SETTLED_S", 0.0)
    await here.target.upkeep.mend(None)
    assert ours(await here.target.upkeep.examine(None)) == set()
    assert not certificate.with_suffix(".key").exists()
    assert foreign.exists()
    foreign.unlink()
    assert await here.described() == before


async def test_an_environment_without_a_record_is_seen(here: Site) -> None:
    """What carries the instance's labels is looked at, whether or not the target's store knows of it."""
    await deploy(here.deployment(), here.release("one"))
    assert here.place in await here.target.upkeep.places()
    assert here.target.upkeep.releases(here.place).keys() == {"web"}
    here.target.records.keep_service(here.target.records.service(here.place, "web").model_copy(update={"live": None}))
    for claim in list(here.target.records.claims(here.place)):
        here.target.records.release(claim)
    assert here.place in await here.target.upkeep.places()
    found = await here.target.upkeep.examine(here.place)
    assert any(each.kind == "container" for each in found)
