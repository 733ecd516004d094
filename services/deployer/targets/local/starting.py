"""Starting a container, also one that was started already without the engine's knowing.

An engine that is killed between starting a container and writing that down takes it for one that never ran: its processes go on, its next
start is refused since they are there, and no call of the engine's ends them.
"""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from services.deployer.targets.local.engine import Engine

_SHIM = "containerd-shim"
_TRIES, _EVERY_S = 15, 0.2
"""The engine notices within moments that those processes have ended."""


async def try_start(engine: Engine, name: str) -> str | None:
    """Starts a container; the engine's words where that cannot be. Processes of its that the engine does not know of are ended first."""
    words = await engine.try_start(name)
    if words is None:
        return None
    found = await engine.inspect(name)
    if found is None or found.running or not end_unknown_run(found.id):
        return words
    for _ in range(_TRIES):
        await asyncio.sleep(_EVERY_S)
        words = await engine.try_start(name)
        if words is None:
            break
    return words


def end_unknown_run(container: str, proc: Path = Path("/proc")) -> bool:
    """Kills what runs on this machine of a container (its id) that the engine says does not run; whether there was anything.

    The shim goes first: with it the engine's own record of the run ends.
    """
    processes = [int(path.name) for path in proc.iterdir() if path.name.isdigit()]
    shims = [pid for pid in processes if _is_shim_of(proc / str(pid), container)]
    inside = [pid for pid in processes if container in _read(proc / str(pid) / "cgroup")]
    for pid in (*shims, *inside):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return bool(shims or inside)


def _is_shim_of(process: Path, container: str) -> bool:
    program, *words = _read(process / "cmdline").split("\0")
    return Path(program).name.startswith(_SHIM) and container in words


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
