"""What is read of what git says is bounded, where a server's words are in it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from services.webhooks.git.repositories import GitError, Repositories
from tests.polling import eventually


def _running(sign: str) -> Sequence[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            found.append((process / "cmdline").read_text(errors="replace"))
    return [shown for shown in found if sign in shown]


@pytest.mark.parametrize("stream", [1, 2])
async def test_git_that_says_too_much_is_ended(tmp_path: Path, stream: int) -> None:
    """On either of its outputs; nothing of it goes on."""
    repositories = Repositories(tmp_path, Path("/nonexistent"), 10**9)
    endless = {"alias.endless": f"!exec yes {tmp_path} >&{stream}"}
    async with asyncio.timeout(20):
        with pytest.raises(GitError, match="more than 2 MB"):
            await repositories.git_with(endless, tmp_path, "endless", most=2 * 2**20)

    async def ended() -> bool:
        return not _running(str(tmp_path))

    assert await eventually(ended)


async def test_what_git_has_started_ends_with_it(tmp_path: Path) -> None:
    """Such as ssh, which else stays for as long as its server likes."""
    repositories = Repositories(tmp_path, Path("/nonexistent"), 10**9)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await repositories.git_with({"alias.wait": f"!exec sh -c 'sleep 60; true' {tmp_path}"}, tmp_path, "wait")

    async def ended() -> bool:
        return not _running(str(tmp_path))

    assert await eventually(ended, within=5)


async def test_an_error_is_told_by_its_last_words(tmp_path: Path) -> None:
    """A server may say a lot before."""
    repositories = Repositories(tmp_path, Path("/nonexistent"), 10**9)
    talking = {"alias.talk": "!yes words | head -c 1000000 >&2; echo the reason >&2; exit 1"}
    with pytest.raises(GitError, match=r"the reason$") as raised:
        await repositories.git_with(talking, tmp_path, "talk", most=2 * 2**20)
    assert len(str(raised.value)) < 3000
