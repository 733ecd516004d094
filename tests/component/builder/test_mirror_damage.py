"""Mirrors that a power cut or a killed git has left unusable: the next deployment mends them."""

from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

import pytest

from services.builder.handlers import mirrors_of
from services.builder.mirror_upkeep import MirrorUpkeep
from shared.work import StepFailure
from tests.component.builder.conftest import Builder
from tests.component.builder.forge import running_forge
from tests.component.builder.repository import Repository, git

FILES = {"slipway.yaml": "services: {web: {}}\n", "Dockerfile": "FROM scratch\n"}


def empty(path: Path, name: str) -> None:
    """The object as a power cut leaves it: its name is on the disk, its content is not."""
    identity = git(path, "rev-parse", name)
    file = path / "objects" / identity[:2] / identity[2:]
    file.chmod(0o600)
    file.write_bytes(b"")


def commit_is_empty(path: Path) -> None:
    """Of the commit that is wanted."""
    empty(path, git(path, "for-each-ref", "--format=%(objectname)", "refs/slipway/"))


def locks_are_left(path: Path) -> None:
    """By gits that were killed while they fetched and while they packed."""
    for name in ("shallow.lock", "packed-refs.lock", "refs/slipway/x.lock", "objects/pack/multi-pack-index.lock"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()


def half_is_made(path: Path) -> None:
    """The mirror, as a git that was killed at `git init` leaves it."""
    for name in ("objects", "refs"):
        rmtree(path / name)


@pytest.mark.parametrize("damage", [commit_is_empty, locks_are_left, half_is_made])
async def test_a_damaged_mirror_holds_no_deployment_up(builder: Builder, repository: Repository, damage: Callable[[Path], None]) -> None:
    """Neither of the commit that was fetched last nor of the next one, nor where that is asked for its ancestors."""
    first = repository.commit(FILES)
    await builder(repository.inspect())
    (path,) = mirrors_of(builder.settings).root.glob("*.git")
    damage(path)
    await builder(repository.inspect(first, ref="refs/tags/gone"))
    damage(path)
    second = repository.commit({"n": "2"})
    await builder(repository.inspect(second, first, ref="refs/tags/gone"))
    await builder(repository.inspect(second))
    await builder(repository.inspect(first))


async def test_upkeep_removes_a_mirror_that_lacks_what_a_commit_leads_to(builder: Builder, repository: Repository) -> None:
    """Its first round is at the builder's start, which comes after every power cut; the next fetch brings all."""
    repository.commit(FILES)
    await builder(repository.inspect())
    mirrors = mirrors_of(builder.settings)
    (path,) = mirrors.root.glob("*.git")
    empty(path, f"{repository.head}:Dockerfile")
    await MirrorUpkeep(mirrors).once()
    assert list(mirrors.root.iterdir()) == []
    await builder(repository.inspect())


async def test_a_sound_mirror_is_kept_whatever_the_forge_says(builder: Builder, repository: Repository) -> None:
    """Words that git does not explain are no reason to fetch everything anew."""
    repository.commit(FILES)
    with running_forge(repository.folder.parent) as forge:
        url = forge.url("repository/.git")
        await builder(repository.inspect(clone_url=url))
        (path,) = mirrors_of(builder.settings).root.glob("*.git")
        made = path.stat().st_ino
        repository.commit({"n": "2"})
        forge.refuses = 418
        with pytest.raises(StepFailure) as failed:
            await builder(repository.inspect(clone_url=url))
    assert failed.value.failure.code == "clone_failed"
    assert path.stat().st_ino == made


async def test_a_mirror_that_never_became_whole_goes(builder: Builder, repository: Repository) -> None:
    """With the next fetch, and with upkeep where there is none."""
    repository.commit(FILES)
    await builder(repository.inspect())
    mirrors = mirrors_of(builder.settings)
    (path,) = mirrors.root.glob("*.git")
    path.rename(path.with_suffix(".new"))
    await builder(repository.inspect())
    assert sorted(found.suffix for found in mirrors.root.iterdir()) == [".git", ".lock"]
    path.rename(path.with_suffix(".new"))
    await MirrorUpkeep(mirrors).once()
    assert list(mirrors.root.iterdir()) == []


async def test_what_broken_off_fetches_left_goes(builder: Builder, repository: Repository) -> None:
    """With the next fetch, and with upkeep: packs up to the limit of a source each."""
    repository.commit(FILES)
    await builder(repository.inspect())
    mirrors = mirrors_of(builder.settings)
    (path,) = mirrors.root.glob("*.git")
    left = [path / "objects" / name for name in ("pack/tmp_pack_x", "pack/tmp_idx_x", "tmp_objdir-bulk-fsync-x/00/x")]

    def leave() -> None:
        for file in left:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()

    leave()
    await builder(repository.inspect(repository.commit({"n": "2"}), ref="refs/tags/gone"))
    assert not any(file.exists() for file in left)
    leave()
    await MirrorUpkeep(mirrors).once()
    assert not any(file.exists() for file in left)
