"""What a container writes is kept in bounds, however it writes it."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import repeat
from types import TracebackType
from typing import Self, cast

from aiodocker import Docker
from aiodocker.stream import Message

from services.deployer.targets.local.engine import Engine

KIB = 2**10
FRAME = 16 * KIB
"""Of what a container writes an engine hands on so much at once."""


class WritingDocker:
    """An engine with one container, which writes in these parts, and whose commands do so too."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts
        self.read = 0
        self.containers = self

    def container(self, _name: str) -> "WritingDocker":
        """It."""
        return self

    async def log(self, **_how: object) -> AsyncIterator[str]:
        """What it writes."""
        for part in self.parts:
            self.read += 1
            yield part

    async def exec(self, _command: list[str]) -> "WritingDocker":
        """Its command."""
        return self

    def start(self, *, detach: bool) -> "WritingDocker":
        """Its output."""
        assert not detach
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    async def read_out(self) -> Message | None:
        """One part."""
        if self.read == len(self.parts):
            return None
        self.read += 1
        return Message(1, self.parts[self.read - 1].encode())

    async def inspect(self) -> dict[str, int]:
        """How it ended."""
        return {"ExitCode": 3}


async def followed(*parts: str) -> list[str]:
    """The lines."""
    async with aclosing(Engine(cast("Docker", WritingDocker(*parts))).follow("c")) as lines:
        return [line async for line in lines]


async def test_lines() -> None:
    """However they are cut into parts."""
    assert await followed("one\ntw", "o\n", "\nfo", "ur") == ["one", "two", "", "four"]
    assert await followed() == []


async def test_a_line_without_end_comes_in_pieces() -> None:
    """Each of at most 64 KiB, as soon as it is there; nothing is lost, and what follows is a line of its own."""
    docker = WritingDocker(*repeat("x" * FRAME, 100), "end\nnext\n")
    async with aclosing(Engine(cast("Docker", docker)).follow("c")) as lines:
        assert await anext(lines) == "x" * 64 * KIB
        assert docker.read == 5
        rest = [line async for line in lines]
    assert max(map(len, rest)) <= 64 * KIB
    assert "".join(rest) == "x" * (100 * FRAME - 64 * KIB) + "endnext"
    assert rest[-1] == "next"


async def test_the_end_of_a_commands_output_is_kept() -> None:
    """The last 64 KiB, and its exit code."""
    docker = WritingDocker(*repeat("x" * FRAME, 1000), "no such table\n")
    code, written = await Engine(cast("Docker", docker)).execute("c", ("check",))
    assert (code, len(written)) == (3, 64 * KIB)
    assert written.endswith("xno such table\n")
