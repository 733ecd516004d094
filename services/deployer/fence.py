"""The fence of the local target: the highest epoch seen per environment, and a lease for one look and one effect.

A worker that wakes up after its deployment was undone carries a lower epoch and is refused. The lease is a
lock file (`flock`, so that it falls with its process) that holds the process id of whoever has it, and a number of that very lease.
"""

import asyncio
import fcntl
import os
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.deployer.files import write_durably
from shared.contracts.commands import Command
from shared.contracts.places import Place
from shared.work import LowerEpoch, Unavailable

log = structlog.get_logger()

LIMIT_S = 30.0
"""Nobody holds a lease longer: an effect is given up well before, and a process that does not give it up is killed."""
_TRY_EVERY_S = 0.005


@dataclass(frozen=True)
class Claim:
    """What one command may do in its environment, as long as no higher epoch was seen there."""

    fence: "Fence"
    place: Place
    epoch: int
    deployment: str
    step: str

    @property
    def step_key(self) -> str:
        """What effects are idempotent by."""
        return f"{self.deployment}-{self.step}"

    def lease(self) -> AbstractAsyncContextManager[None]:
        """Exclusive in the environment while entered. For one look and one effect, never for a wait; not reentrant.

        Raises `LowerEpoch` where a higher epoch was seen in the meantime.
        """
        return self.fence.lease(self.place, self.epoch)


class Fence:
    """Epochs and locks in a folder (`$SLIPWAY_HOME/target`)."""

    def __init__(self, folder: Path, limit_s: float = LIMIT_S) -> None:
        self._epochs = folder / "epochs"
        self._locks = folder / "locks"
        self._limit_s = limit_s
        self._here: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        for part in (self._epochs, self._locks):
            part.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def admit(self, command: Command) -> Claim:
        """Remembers the command's epoch durably, before anything it does; raises `LowerEpoch`.

        A command without an epoch was sent without the environment's lock and counts as epoch 0.
        """
        claim = Claim(self, command.place, command.epoch or 0, command.deployment or "", command.step or "")
        async with claim.lease():
            pass
        return claim

    def highest(self, place: Place) -> int:
        """The highest epoch seen; 0 where there was none."""
        try:
            return int((self._epochs / place.subject).read_text())
        except FileNotFoundError:
            return 0

    @asynccontextmanager
    async def _hold(self, place: Place, epoch: int | None) -> AsyncIterator[None]:
        async with self._here[place.subject]:
            descriptor = os.open(self._locks / place.subject, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                await self._lock(descriptor, place)
                if epoch is not None:
                    self._see(place, epoch)
                try:
                    async with asyncio.timeout(self._limit_s * 0.8):
                        yield
                except TimeoutError as error:
                    raise Unavailable(f"an effect in {place} took longer than {self._limit_s * 0.8:g} s") from error
            finally:
                os.close(descriptor)

    def lease(self, place: Place, epoch: int | None = None) -> AbstractAsyncContextManager[None]:
        """The lease of an environment; with an epoch only if no higher one was seen. Reconcile, which has none, goes without."""
        return self._hold(place, epoch)

    def _see(self, place: Place, epoch: int) -> None:
        highest = self.highest(place)
        if epoch < highest:
            message = (
                f"{place} has seen epoch {highest}, this command has {epoch}: a later deployment has had it since. "
                "Where the platform was restored from a backup, deploy again: the next deployment counts on from there"
            )
            raise LowerEpoch(message, highest)
        if epoch > highest:
            write_durably(self._epochs / place.subject, str(epoch))

    async def _lock(self, descriptor: int, place: Place) -> None:
        """Waits for the lock, and ends a process that holds one lease longer than the limit: how long others waited does not count."""
        holder, since = b"", time.monotonic()
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if (now := os.pread(descriptor, 128, 0)) != holder:
                    holder, since = now, time.monotonic()
                elif time.monotonic() - since > self._limit_s:
                    _kill(holder, place)
                    since = time.monotonic()
                await asyncio.sleep(_TRY_EVERY_S)
            else:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()} {started_at(os.getpid())} {time.monotonic_ns()}".encode(), 0)
                return


def _kill(holder: bytes, place: Place) -> None:
    """Ends the process that the lock file named (process id, its start, the lease's own number), if it still is that process."""
    pid, started, *_ = [*holder.decode().split(), "", ""]
    if pid.isdigit() and int(pid) != os.getpid() and started_at(int(pid)) == started:
        log.warning("worker killed: it held a lease too long", place=str(place), pid=int(pid))
        os.kill(int(pid), signal.SIGKILL)


def started_at(pid: int) -> str:
    """When a process started, in clock ticks since boot: tells it from a later one with the same id. Empty where there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return status.rpartition(")")[2].split()[19]
