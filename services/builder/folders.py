"""Temporary folders, named after the process that uses them, so that what a killed one left can be told and removed."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

_MEMORY = Path("/dev/shm")  # noqa: S108 -- what lies there is ours, 0700, and never touches a disk

_CLOCKS_S = 2.0
"""What the beginning of a process may be off by: the kernel tells the time of its own start in whole seconds."""


@dataclass(frozen=True)
class Folders:
    """Where builds lie while they run (`work`), and secrets while they are used (memory, where there is a tmpfs)."""

    instance: str
    work: Path

    @property
    def _secrets(self) -> Path:
        return _MEMORY if os.access(_MEMORY, os.W_OK) else self.work

    @property
    def _prefix(self) -> str:
        return f"{self.instance}-builder-"

    @asynccontextmanager
    async def checkout(self) -> AsyncIterator[Path]:
        """A folder for a checkout; gone afterwards, in a thread: there may be very much in it."""
        self.work.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = self._new(self.work)
        try:
            yield folder
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    @contextmanager
    def private(self) -> Iterator[Path]:
        """A folder for secret values, readable by this user only; gone afterwards."""
        if self._secrets == self.work:
            self.work.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._folder(self._secrets) as folder:
            yield folder

    def sweep(self) -> None:
        """Removes what processes left that are no more."""
        for root in {self._secrets, self.work}:
            for left in root.glob(f"{self._prefix}*"):
                process = left.name.removeprefix(self._prefix).partition("-")[0]
                if process.isdigit() and not _is_of(left, int(process)):
                    shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def _folder(self, root: Path) -> Iterator[Path]:
        folder = self._new(root)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _new(self, root: Path) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{self._prefix}{os.getpid()}-", dir=root))


def _is_of(folder: Path, process: int) -> bool:
    """Whether a running process made it: one that began later has only the same number, as after a reboot or in a container."""
    try:
        return folder.stat().st_mtime > psutil.Process(process).create_time() - _CLOCKS_S
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
