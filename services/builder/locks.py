"""Locks of mirrors, across processes."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_POLL_S = 0.02


@asynccontextmanager
async def locked(path: Path, *, exclusive: bool, used: bool = True) -> AsyncIterator[None]:
    """Holds the mirror's lock, across processes; the lock ends with its holder. Its time says when the mirror was last used."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = await _lock(path.with_suffix(".lock"), fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
    try:
        if used:
            os.utime(descriptor)
        yield
    finally:
        os.close(descriptor)


async def _lock(file: Path, kind: int) -> int:
    """The descriptor. A file that was removed with its mirror while it was waited for holds nobody off: the new one is locked."""
    while True:
        descriptor, held = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), False
        try:
            while not _try_lock(descriptor, kind):
                await asyncio.sleep(_POLL_S)
            held = _is_at(file, descriptor)
        finally:
            if not held:
                os.close(descriptor)
        if held:
            return descriptor


def _is_at(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
