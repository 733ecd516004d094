"""Runs programs in a clean environment; whoever is cancelled or out of time leaves no process behind."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE

from shared.subprocesses import Program, spawn

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GRACE_S = 1.0
"""From SIGTERM to SIGKILL."""
_SETPRIV = Path("/usr/bin/setpriv")
_ENDING_WITH_US = [str(_SETPRIV), "--pdeathsig", "TERM", "--"] if _SETPRIV.exists() else []
"""A builder that is killed takes its programs along, and with a client its build (util-linux; elsewhere they go on to their end)."""


@dataclass(frozen=True)
class Finished:
    """A program that ended."""

    status: int
    out: bytes
    err: str


@asynccontextmanager
async def started(
    *arguments: str,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: int = DEVNULL,
    limits: Mapping[str, int] | None = None,
) -> AsyncIterator[Program]:
    """A program in a session of its own; what still runs when the block ends, however it ends, is terminated."""
    clean = {"PATH": PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", **env}
    command = (*_ENDING_WITH_US, *arguments)
    process = await spawn(*command, env=clean, cwd=cwd, stdin=stdin, start_new_session=True, limit=2**20, limits=limits)
    try:
        yield process
    finally:
        await _end(process)
        process.close()


async def run(
    *arguments: str,
    env: Mapping[str, str],
    cwd: Path | None = None,
    given: bytes | None = None,
    limits: Mapping[str, int] | None = None,
) -> Finished:
    """Runs a program to its end. `limits` as for `spawn`."""
    stdin = DEVNULL if given is None else PIPE
    async with started(*arguments, env=env, cwd=cwd, stdin=stdin, limits=limits) as process:
        out, err = await process.communicate(given or b"")
    return Finished(process.returncode or 0, out, err.decode(errors="replace"))


async def _end(process: Program) -> None:
    if process.returncode is None:
        _signal(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(GRACE_S):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            _signal(process, signal.SIGKILL)


def _signal(process: Program, number: int) -> None:
    """To the program and all that it started; they are one session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
