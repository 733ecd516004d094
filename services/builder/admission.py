"""Lets a build begin only where disk and memory are left for it: a build that fills either takes the machine down with it."""

import asyncio
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil
from prometheus_client import Gauge

from shared.work import StepFailure, Work

_MIB = 2**20
WAITING = Gauge("slipway_builds_waiting_for_room", "Builds that wait until disk and memory are left for them")


@dataclass(frozen=True)
class Room:
    """What is free, in bytes; `disk` is of the fullest of the disks that count."""

    disk: int
    memory: int


@dataclass(frozen=True)
class Admission:
    """Waits until there is room. `measure` tells what is free."""

    measure: Callable[[], Room]
    disk_bytes: int
    memory_bytes: int
    wait_s: float
    every_s: float = 1.0

    async def wait(self, work: Work) -> None:
        """Returns once there is room; raises `StepFailure` (`no_space`) when there was none for too long."""
        with WAITING.track_inprogress():
            await self._wait(work)

    async def _wait(self, work: Work) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.wait_s
        said = ""
        while lack := self._lack(self.measure()):
            if loop.time() >= deadline:
                message = (
                    f"The build did not begin: {lack}. Free some (docker system df shows what images and caches take), and deploy again"
                )
                raise StepFailure("no_space", message, may_pass=True)
            if lack.partition(" ")[0] != said:
                said = lack.partition(" ")[0]
                work.log(f"waiting for room: {lack}")
            await asyncio.sleep(min(self.every_s, max(0.0, deadline - loop.time())))

    def _lack(self, room: Room) -> str | None:
        if room.disk < self.disk_bytes:
            return f"disk: {room.disk // _MIB} MiB are free on the machine that builds, {self.disk_bytes // _MIB} MiB must be"
        if room.memory < self.memory_bytes:
            return f"memory: {room.memory // _MIB} MiB are free on the machine that builds, {self.memory_bytes // _MIB} MiB must be"
        return None


def measure(folders: Iterable[Path]) -> Room:
    """What is free on this machine; folders that are not here (an engine elsewhere) do not count."""
    disks = [shutil.disk_usage(folder).free for folder in folders if folder.exists()]
    return Room(min(disks, default=2**63), psutil.virtual_memory().available)
