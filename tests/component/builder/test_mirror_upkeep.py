"""Upkeep of mirrors: grown ones shrink, unused ones go, and what is asked for afterwards is there all the same."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import pytest

from services.builder.git import Git
from services.builder.handlers import mirrors_of
from services.builder.locks import locked
from services.builder.mirror_upkeep import MirrorUpkeep
from services.builder.mirrors import Mirrors, Remote
from services.builder.programs import Finished
from tests.component.builder.conftest import Builder
from tests.component.builder.repository import Repository, git

MANIFEST = "services: {web: {}}\n"


async def test_old_commits_are_forgotten_and_fetched_again(builder: Builder, repository: Repository) -> None:
    """Only the newest commits stay; an older one is fetched when it is wanted."""
    commits = [
        repository.commit({"slipway.yaml": MANIFEST, "Dockerfile": "FROM scratch\n", "n": str(number)}, f"Number {number}")
        for number in range(4)
    ]
    for commit in commits:
        await builder(repository.inspect(commit))
    mirrors = mirrors_of(builder.settings)
    (path,) = mirrors.root.glob("*.git")
    await MirrorUpkeep(mirrors, commits=2).once()
    kept = git(path, "for-each-ref", "--format=%(objectname)").split()
    assert len(kept) == 2
    forgotten = next(commit for commit in commits if commit not in kept)
    await builder(repository.inspect(forgotten))
    assert forgotten in git(path, "for-each-ref", "--format=%(objectname)").split()


async def test_unused_mirrors_go(builder: Builder, repository: Repository) -> None:
    """What nobody used for a month is removed; a used one stays."""
    repository.commit({"slipway.yaml": MANIFEST, "Dockerfile": "FROM scratch\n"})
    await builder(repository.inspect())
    mirrors = mirrors_of(builder.settings)
    (path,) = mirrors.root.glob("*.git")
    await MirrorUpkeep(mirrors).once()
    assert path.exists()
    os.utime(path.with_suffix(".lock"), (0, 0))
    await MirrorUpkeep(mirrors).once()
    assert list(mirrors.root.iterdir()) == []
    await builder(repository.inspect())
    assert path.exists()


async def test_a_mirror_that_takes_long_to_pack_is_fetched_anew(
    builder: Builder, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who inspects a new commit waits for the packing, and has less than five minutes."""
    repository.commit({"slipway.yaml": MANIFEST, "Dockerfile": "FROM scratch\n"})
    await builder(repository.inspect())
    mirrors = mirrors_of(builder.settings)
    (path,) = mirrors.root.glob("*.git")
    call, packing = Git.__call__, []

    async def slow(git: Git, *arguments: str, given: bytes | None = None, env: dict[str, str] | None = None) -> Finished:
        if "gc" in arguments:
            packing.append(git.limit_s)
            git = replace(git, limit_s=0)
        return await call(git, *arguments, given=given, env=env)

    monkeypatch.setattr(Git, "__call__", slow)
    await MirrorUpkeep(mirrors).once()
    assert [limit_s <= 120 for limit_s in packing] == [True]
    assert list(mirrors.root.iterdir()) == []
    await builder(repository.inspect())
    assert path.exists()


async def test_two_builders_remove_a_mirror_at_once(builder: Builder, repository: Repository) -> None:
    """One does; the other finds nothing left to do, and leaves nothing."""
    repository.commit({"slipway.yaml": MANIFEST, "Dockerfile": "FROM scratch\n"})
    await builder(repository.inspect())
    mirrors = mirrors_of(builder.settings)
    (path,) = mirrors.root.glob("*.git")
    os.utime(path.with_suffix(".lock"), (0, 0))
    await asyncio.gather(MirrorUpkeep(mirrors).once(), MirrorUpkeep(mirrors).once())
    assert list(mirrors.root.iterdir()) == []


async def test_a_mirror_that_was_half_removed_is_none(builder: Builder, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """A builder that is killed at it leaves nothing that passes for a mirror, and the next round removes the rest."""
    repository.commit({"slipway.yaml": MANIFEST, "Dockerfile": "FROM scratch\n"})
    await builder(repository.inspect())
    mirrors = mirrors_of(builder.settings)
    (path,) = mirrors.root.glob("*.git")
    os.utime(path.with_suffix(".lock"), (0, 0))

    def killed(folder: Path, **_: object) -> None:
        rmtree(next(folder.glob("objects")))
        raise OSError("killed")

    with monkeypatch.context() as patched:
        patched.setattr("services.builder.mirror_repair.shutil.rmtree", killed)
        await MirrorUpkeep(mirrors).once()
    await builder(repository.inspect())
    await MirrorUpkeep(mirrors).once()
    assert sorted(found.suffix for found in mirrors.root.iterdir()) == [".git", ".lock"]


async def test_a_commit_that_upkeep_forgets_in_the_moment_in_which_it_came_is_fetched_again(
    builder: Builder, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upkeep holds the lock before whoever has fetched holds it again."""
    repository.commit({"slipway.yaml": MANIFEST, "Dockerfile": "FROM scratch\n"})
    fetch, fetched = Mirrors._fetch, []

    async def forgotten(mirrors: Mirrors, remote: Remote, path: Path, commit: str, ref: str | None) -> None:
        await fetch(mirrors, remote, path, commit, ref)
        fetched.append(commit)
        if len(fetched) == 1:
            rmtree(path)

    monkeypatch.setattr(Mirrors, "_fetch", forgotten)
    await builder(repository.inspect(ref="refs/tags/gone"))  # a branch would be fetched along with its head
    assert len(fetched) == 2


async def test_who_waited_for_a_mirror_that_was_removed_holds_the_next_one(tmp_path: Path) -> None:
    """The lock that it waited for is gone, and another would take a new one beside it."""
    path = tmp_path / "one.git"
    entered, done = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with locked(path, exclusive=True):
            entered.set()
            await done.wait()

    async with locked(path, exclusive=True):
        waiting = asyncio.create_task(hold())
        await asyncio.sleep(0)
        path.with_suffix(".lock").unlink()
    async with asyncio.timeout(10):
        await entered.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), locked(path, exclusive=True):
            pass
    done.set()
    await waiting


async def test_a_mirror_that_cannot_be_kept_up_is_passed_over(builder: Builder, repository: Repository) -> None:
    """One that git does not get done with, and one that cannot be removed: the others have their turn all the same."""
    repository.commit({"slipway.yaml": MANIFEST, "Dockerfile": "FROM scratch\n"})
    await builder(repository.inspect())
    mirrors = mirrors_of(builder.with_settings(source_timeout_s=1.0).settings)
    (path,) = mirrors.root.glob("*.git")
    endless, no_folder = mirrors.root / "00.git", mirrors.root / "01.git"
    git(mirrors.root, "init", "--quiet", "--bare", str(endless))
    os.mkfifo(endless / "packed-refs")
    endless.with_suffix(".lock").touch()
    no_folder.touch()
    no_folder.with_suffix(".lock").touch()
    os.utime(no_folder.with_suffix(".lock"), (0, 0))
    await MirrorUpkeep(mirrors, commits=0).once()
    assert git(path, "for-each-ref") == ""
    assert endless.exists()
