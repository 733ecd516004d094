"""A container engine of the tests' own, which may die, and all that runs on it with it: a reboot, as far as it can be played."""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from embedded import engine
from embedded.settings import EngineSettings
from tests.polling import until

_NEVER = "0001-01-01T00:00:00Z"
IP = shutil.which("ip") or "/sbin/ip"


def why_not() -> str | None:
    """What keeps a second engine from being started here; None where nothing does."""
    return None if os.geteuid() == 0 and shutil.which("dockerd") else "only root can start an engine, and dockerd must be installed"


@dataclass(frozen=True)
class MortalEngine:
    """It."""

    settings: EngineSettings

    def start(self) -> None:
        """It answers."""
        engine.ensure(self.settings)

    def kill(self) -> None:
        """`kill -9` of the engine. Its containers go on."""
        _kill([process for process in self._processes() if process.name() in {"dockerd", "containerd"}])

    def kill_with_everything(self) -> None:
        """The engine, its containers, and all between them."""
        owned = self._processes()
        _kill([*owned, *(child for process in owned for child in process.children(recursive=True))])

    def forget_start(self, container: str) -> None:
        """While the engine is dead: as if it had died between the container's (its id) start and writing that down."""
        path = self.settings.data_root / "containers" / container / "config.v2.json"
        kept = json.loads(path.read_text())
        kept["State"] |= {"Running": False, "Pid": 0, "StartedAt": _NEVER, "FinishedAt": _NEVER}
        path.write_text(json.dumps(kept | {"HasBeenStartedBefore": False}))

    def _processes(self) -> list[psutil.Process]:
        """The engine's own: each names one of its folders."""
        folders = (str(self.settings.data_root), str(self.settings.exec_root))
        return [process for process in psutil.process_iter() if any(folder in word for word in _words(process) for folder in folders)]


def _words(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    until(lambda: not any(_runs(process) for process in processes), within=10, what="all of them are dead")


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


@contextmanager
def mortal_engine(folder: Path) -> Iterator[MortalEngine]:
    """Started, and ended afterwards with all that it left on the machine."""
    bridge = f"slm{secrets.token_hex(4)}"
    subprocess.run([IP, "link", "add", bridge, "type", "bridge"], check=True)
    subprocess.run([IP, "address", "add", f"10.211.{secrets.randbelow(256)}.1/24", "dev", bridge], check=True)
    settings = EngineSettings(
        host=None, socket=folder / "docker.sock", data_root=folder / "data", exec_root=folder / "exec", bridge=bridge, iptables=False
    )
    made = MortalEngine(settings)
    try:
        made.start()
        yield made
    finally:
        engine.stop(settings)
        made.kill_with_everything()
        subprocess.run([IP, "link", "delete", bridge], check=True)
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if line.split()[1].startswith(f"{folder}/"):
                subprocess.run(["umount", line.split()[1]], check=True)
