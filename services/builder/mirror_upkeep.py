"""Keeps mirrors small: what nobody used for long goes, and what has grown is packed again. A mirror is only a cache."""

import asyncio
import time
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from services.builder.locks import locked
from services.builder.mirror_repair import NEW, REMOVED, clear, is_hollow, remove, remove_halves
from services.builder.mirrors import Mirrors
from shared.work import StepFailure

log = structlog.get_logger()

EVERY_S = 3600.0
_UNUSED_S = 30 * 24 * 3600.0
_PACKING_S = 120.0
"""Less than half of what an inspection has, which waits meanwhile where it has to fetch. What takes longer is fetched anew, and is small."""
_COMMITS = 50
"""Newest commits of a mirror that are kept for the next fetch to build on."""
_PACKING = ("-c", "gc.auto=2000", "-c", "gc.autoPackLimit=50", "-c", "gc.autoDetach=false", "-c", "gc.pruneExpire=now")


@dataclass(frozen=True)
class MirrorUpkeep:
    """The periodic upkeep of one builder's mirrors. It holds a mirror's lock as long as it changes it."""

    mirrors: Mirrors
    unused_s: float = _UNUSED_S
    commits: int = _COMMITS

    async def run(self) -> None:
        """Keeps up for ever."""
        while True:
            await self.once()
            await asyncio.sleep(EVERY_S)

    async def once(self) -> None:
        """One round over all mirrors; one that cannot be kept up is left for the next round."""
        found = [path for suffix in (".git", REMOVED, NEW) for path in self.mirrors.root.glob(f"*{suffix}")]
        for path in sorted({path.with_suffix(".git") for path in found}):
            try:
                async with locked(path, exclusive=True, used=False):
                    await self._keep(path)
            except (StepFailure, OSError) as error:
                log.warning("mirror was not kept up", mirror=path.name, reason=str(error))

    async def _keep(self, path: Path) -> None:
        lock = path.with_suffix(".lock")
        await asyncio.to_thread(remove_halves, path)  # a builder was killed at one
        unused_s = _unused_s(path, lock)
        if unused_s is None:
            lock.unlink()  # another builder has removed the mirror
        elif unused_s > self.unused_s or await asyncio.to_thread(is_hollow, path) or not await self._pack(path):
            await asyncio.to_thread(remove, path)
            lock.unlink()
            log.info("mirror removed", mirror=path.name, unused_s=round(unused_s))

    async def _pack(self, path: Path) -> bool:
        """False where that takes too long."""
        await asyncio.to_thread(clear, path)
        git, where = self.mirrors.gits.plain, f"--git-dir={path}"
        listed = await git(where, "for-each-ref", "--sort=-creatordate", "--format=delete %(refname)", "refs/slipway/")
        old = listed.out.splitlines()[self.commits :]
        if old:
            await git(where, "update-ref", "--stdin", given=b"\n".join(old) + b"\n")
        try:
            packed = await replace(git, limit_s=_PACKING_S)(*_PACKING, where, "gc", "--auto", "--quiet")
        except StepFailure:
            return False
        if packed.status != 0:
            log.warning("mirror could not be packed", mirror=path.name, reason=packed.err.strip())
        return True


def _unused_s(path: Path, lock: Path) -> float | None:
    """How long nobody has used the mirror; None where it is gone."""
    return time.time() - lock.stat().st_mtime if path.exists() else None
