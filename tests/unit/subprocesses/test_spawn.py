"""Programs as child processes, on both event loops."""

import asyncio
import gc
import os
import signal
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from shared.subprocesses import MOST_SAID, Program, spawn

ENVIRONMENT = {"PATH": os.environ["PATH"], "WORD": "hello"}
Run = Callable[[Awaitable[None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on one of the loops, with a deadline."""

    async def limited(work: Awaitable[None]) -> None:
        async with asyncio.timeout(20):
            await work

    def go(work: Awaitable[None]) -> None:
        (asyncio.run if request.param == "asyncio" else uvloop.run)(limited(work))

    return go


def test_what_a_program_says_and_how_it_ends(run: Run) -> None:
    """Both outputs, the exit code, and no variable but those that were given."""

    async def work() -> None:
        program = await spawn("sh", "-c", 'echo "$WORD$HOME"; echo bad >&2; exit 3', env=ENVIRONMENT)
        assert await program.communicate() == (b"hello\n", b"bad\n")
        assert (program.returncode, await program.wait()) == (3, 3)

    run(work())


def test_input_larger_than_a_pipe_passes_through(run: Run) -> None:
    """A megabyte goes in and comes out."""

    async def work() -> None:
        program = await spawn("cat", env=ENVIRONMENT, stdin=PIPE)
        given = os.urandom(2**20)
        out, _ = await program.communicate(given)
        assert out == given

    run(work())


def test_of_what_a_program_complains_the_end_is_kept(run: Run) -> None:
    """It may go on for as long as it runs."""

    async def work() -> None:
        program = await spawn("sh", "-c", "yes words | head -c 10000000 >&2; echo the reason >&2", env=ENVIRONMENT)
        _, said = await program.communicate()
        assert (len(said), said[-11:]) == (MOST_SAID, b"the reason\n")

    run(work())


def test_limits_are_those_of_what_a_program_starts_too(run: Run) -> None:
    """Children have them from their parent."""

    async def work() -> None:
        program = await spawn("sh", "-c", "sh -c 'ulimit -d'", env=ENVIRONMENT, limits={"data": 2**30, "fsize": 2**20})
        assert await program.communicate() == (b"%d\n" % 2**20, b"")

    run(work())


def test_a_program_that_does_not_read_its_input(run: Run) -> None:
    """Its end counts, not the broken pipe."""

    async def work() -> None:
        program = await spawn("true", env=ENVIRONMENT, stdin=PIPE)
        await program.communicate(bytes(2**20))
        assert program.returncode == 0

    run(work())


def test_lines_come_while_it_runs_and_a_signal_ends_it(run: Run) -> None:
    """Output is there before the end; a session of its own can be signalled as a whole."""

    async def work() -> None:
        program = await spawn("sh", "-c", "echo ready; sleep 60", env=ENVIRONMENT, start_new_session=True)
        assert program.stdout is not None
        assert await program.stdout.readline() == b"ready\n"
        assert program.returncode is None
        os.killpg(program.pid, signal.SIGTERM)
        assert await program.wait() == -signal.SIGTERM
        program.close()

    run(work())


def test_a_program_that_is_not_there(run: Run) -> None:
    """Raises as `subprocess` does."""

    async def work() -> None:
        with pytest.raises(FileNotFoundError):
            await spawn("/nonexistent/program", env=ENVIRONMENT)

    run(work())


def test_many_at_once(run: Run) -> None:
    """Each hears of its own end."""

    async def one(number: int) -> int:
        program = await spawn("sh", "-c", f"exit {number}", env=ENVIRONMENT)
        await program.communicate()
        return await program.wait()

    async def work() -> None:
        assert await asyncio.gather(*(one(number) for number in range(30))) == list(range(30))

    run(work())


def test_who_is_cancelled_at_the_start_closes_nothing_of_others(run: Run) -> None:
    """Descriptors are numbers that are given again: what is closed twice was somebody else's the second time."""

    async def work() -> None:
        others: list[int] = []
        for turn in range(60):
            starting = asyncio.create_task(spawn("true", env=ENVIRONMENT))
            for _ in range(turn % 4 + 1):
                await asyncio.sleep(0)
            starting.cancel()
            ended = await asyncio.gather(starting, return_exceptions=True)
            others += os.pipe()
            if isinstance(ended[0], Program):
                await ended[0].communicate()
            del starting, ended
            await asyncio.sleep(0.002)
            others += os.pipe()
        gc.collect()
        for other in others:
            os.fstat(other)
            os.close(other)

    run(work())
