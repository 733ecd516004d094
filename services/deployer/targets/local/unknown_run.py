"""Processes of a container that run without the engine's knowing.

An engine that is killed between starting a container and writing that down takes it for one that never ran: its processes go on, its next
start is refused since they are there, it is removed without them, and no call of the engine's ends them.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path

_SHIM = "containerd-shim"
_PROC = Path("/proc")


def unknown_run(container: str, proc: Path = _PROC) -> tuple[int, ...]:
    """What runs on this machine of a container (its id) that the engine says does not run: process ids, its shim first."""
    processes = [int(path.name) for path in proc.iterdir() if path.name.isdigit()]
    shims = [pid for pid in processes if _is_shim_of(proc / str(pid), container)]
    inside = [pid for pid in processes if container in _read(proc / str(pid) / "cgroup")]
    return (*shims, *inside)


def end_unknown_run(container: str, proc: Path = _PROC) -> bool:
    """Kills all that; whether there was anything. The shim goes first: with it the engine's own record of the run ends."""
    found = unknown_run(container, proc)
    for pid in found:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return bool(found)


def _is_shim_of(process: Path, container: str) -> bool:
    program, *words = _read(process / "cmdline").split("\0")
    return Path(program).name.startswith(_SHIM) and container in words


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
