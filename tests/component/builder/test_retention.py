"""Retention: old images go, needed and foreign ones stay."""

import asyncio
import os
import time
from pathlib import Path
from typing import cast

import pytest

from services.builder.handlers import ledger_of
from services.builder.registry import ImageName, Registry, Stored
from services.builder.retention import Retention
from shared.contracts.facts import ImageBuilt
from shared.contracts.places import Place
from tests.component.builder.conftest import Builder
from tests.component.builder.engine import TestEngine
from tests.component.builder.repository import Repository
from tests.polling import eventually

REPOSITORY = "main/kept/web"


def retention_of(builder: Builder) -> Retention:
    """The builder's retention, one image of each service kept."""
    settings = builder.settings.model_copy(update={"keep_images": 1})
    return Retention(settings, builder.outside.registry, builder.outside.engine, ledger_of(settings))


async def build(builder: Builder, repository: Repository, key: str, days_ago: float) -> str:
    """An image that was last wanted so many days ago."""
    repository.commit({"Dockerfile": "ARG BASE\nFROM ${BASE}\nCOPY key /\nCMD sleep 100\n", "key": key})
    place = Place(organization="main", project="kept", environment="production")
    fact = await builder(repository.build(key=key).model_copy(update={"place": place}))
    assert isinstance(fact, ImageBuilt)
    then = time.time() - days_ago * 86400
    os.utime(builder.settings.state / "images" / REPOSITORY / key, (then, then))
    return fact.image


async def test_old_images_go_and_needed_ones_stay(builder: Builder, repository: Repository, engine: TestEngine) -> None:
    """Kept are the newest, what was wanted within a day, and what a container uses, running or not."""
    await build(builder, repository, "old", 30)
    stopped = await build(builder, repository, "used", 20)
    await build(builder, repository, "newest", 3)
    container = engine.docker("create", "--network=none", stopped).strip()
    assert not ledger_of(builder.settings).deleted.exists()
    assert await retention_of(builder).prune() == 1
    assert ledger_of(builder.settings).deleted.exists(), "the registry has something to sweep"
    registry = builder.outside.registry
    assert await registry.find(REPOSITORY, "old") is None
    assert await registry.find(REPOSITORY, "used") is not None
    assert await registry.find(REPOSITORY, "newest") is not None
    tags = engine.docker("images", "--format={{.Tag}}", f"{registry.host}/{REPOSITORY}").split()
    assert "old" not in tags
    assert {"used", "newest"} <= set(tags)
    engine.docker("rm", container)
    assert await retention_of(builder).prune() == 1
    assert await registry.find(REPOSITORY, "used") is None
    assert await registry.find(REPOSITORY, "newest") is not None


async def test_an_image_that_was_never_exported_goes_after_a_day(builder: Builder, repository: Repository, engine: TestEngine) -> None:
    """Its deployment was cancelled, or its builder killed, between build and export."""
    await build(builder, repository, "whole", 0)
    registry = builder.outside.registry
    whole, lost = (f"{registry.host}/{REPOSITORY}:{tag}" for tag in ("whole", "lost"))
    engine.docker("tag", whole, lost)
    assert await retention_of(builder).prune() == 0, "it counts from when it was first seen"
    then = time.time() - 2 * 86400
    os.utime(builder.settings.state / "images" / REPOSITORY / "lost", (then, then))
    assert await retention_of(builder).prune() == 1
    tags = engine.docker("images", "--format={{.Tag}}", f"{registry.host}/{REPOSITORY}").split()
    assert "lost" not in tags
    assert "whole" in tags


async def test_images_of_others_are_not_touched(builder: Builder, repository: Repository, base: str) -> None:
    """What carries another instance's label, or none, stays, however old."""
    old = await build(builder, repository, "theirs", 30)
    await build(builder, repository, "newer", 3)
    ledger = ledger_of(builder.settings)
    for repository_name, tag in (("base/busybox", "1"),):
        ledger.touch(repository_name, tag)
        os.utime(builder.settings.state / "images" / repository_name / tag, (0, 0))
    other = builder.with_settings(instance="another")
    assert await retention_of(other).prune() == 0
    digest = ImageName.of(old).digest or ""
    assert await builder.outside.registry.find(REPOSITORY, digest) is not None
    assert await builder.outside.registry.find("base/busybox", ImageName.of(base).tag or "") is not None


async def test_base_images_are_never_looked_at(builder: Builder, engine: TestEngine, tmp_path: Path) -> None:
    """However old, and even with our own label: a repository that is no service's is not pruned."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nARG N\nLABEL number=${N}\n")
    registry, label = builder.outside.registry, f"slipway.instance={builder.settings.instance}"
    for number in ("1", "2"):
        name = f"{registry.host}/slipway/node:{number}"
        engine.docker("build", "--quiet", "--label", label, f"--build-arg=N={number}", "--tag", name, ".", folder=tmp_path)
        engine.docker("push", "--quiet", name)
        ledger_of(builder.settings).touch("slipway/node", number)
        os.utime(builder.settings.state / "images" / "slipway/node" / number, (int(number), int(number)))
    assert await retention_of(builder).prune() == 0
    assert sorted(await registry.tags("slipway/node")) == ["1", "2"]
    assert "slipway/node" not in await registry.repositories()


async def test_an_image_that_is_asked_for_while_a_round_runs_stays(
    builder: Builder, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round asks the registry for each tag, and times are read before: they hold no longer."""
    await build(builder, repository, "old", 30)
    await build(builder, repository, "newest", 3)
    labels = Registry.labels

    async def asked_for_meanwhile(registry: Registry, name: str, stored: Stored) -> dict[str, str]:
        ledger_of(builder.settings).touch(REPOSITORY, "old")
        return await labels(registry, name, stored)

    with monkeypatch.context() as patched:
        patched.setattr(Registry, "labels", asked_for_meanwhile)
        assert await retention_of(builder).prune() == 0
    assert await builder.outside.registry.find(REPOSITORY, "old") is not None


class BrokenRegistry:
    """Its rounds end by what nobody foresaw, or not at all."""

    def __init__(self, *, hangs: bool) -> None:
        self.rounds = 0
        self.hangs = hangs

    async def repositories(self) -> list[str]:
        """As `Registry.repositories`."""
        self.rounds += 1
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_round_that_fails_is_followed_by_the_next(builder: Builder, monkeypatch: pytest.MonkeyPatch, hangs: bool) -> None:
    """Whatever it was: what ended the task would end all builds of the process, and what held it would fill the disk."""
    broken = BrokenRegistry(hangs=hangs)
    settings = builder.settings
    monkeypatch.setattr("services.builder.retention._LONGEST_S", 0.01)
    retention = Retention(settings, cast("Registry", broken), builder.outside.engine, ledger_of(settings), every_s=0.01)
    task = asyncio.create_task(retention.run())

    async def again() -> bool:
        return broken.rounds > 1 or task.done()

    try:
        await eventually(again, within=10)
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_unknown_image_counts_from_when_it_was_first_seen(builder: Builder, repository: Repository) -> None:
    """Another builder pushed it: its age is not known, so it is new."""
    await build(builder, repository, "first", 30)
    await build(builder, repository, "second", 30)
    for path in (builder.settings.state / "images" / REPOSITORY).iterdir():
        path.unlink()
    assert await retention_of(builder).prune() == 0


async def test_the_build_cache_is_pruned_where_it_is_ours(builder: Builder, repository: Repository) -> None:
    """With the setting on, BuildKit is asked; what is recent stays."""
    await build(builder, repository, "cached", 0)
    ours = retention_of(builder.with_settings(prune_build_cache=True))
    assert await ours.prune() == 0
