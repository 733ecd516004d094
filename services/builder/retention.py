"""Removes images that nothing can need any more, so that builds do not fill the disk.

Kept of each service, whatever its age: the newest images by when they were last built, pushed or asked for (the ledger),
and every image that any container of the engine uses, running or stopped. What was wanted within a day is kept too: a
deployment may be on its way with it. So `keep_images` must not be less than the releases that people may return to.
An image that was built and never came into the registry, since its deployment was cancelled or its builder killed, goes after a day.
Removed is only what carries this instance's label, in the registry and in the engine; a copied ready image carries none.
Base images lie in repositories that are no service's, and are not looked at. The registry frees the space of what was
deleted only while it is stopped: `Ledger.note_deleted` has it swept at the next start of the platform.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.builder.engine import Engine, EngineRefused
from services.builder.ledger import Ledger
from services.builder.registry import ImageName, Registry, RegistryRefused
from services.builder.settings import Settings
from shared.work import Unavailable

log = structlog.get_logger()

EVERY_S = 3600.0
_LONGEST_S = 3600.0
"""Of a round: an engine that takes a call and never answers would hold it for ever."""
_RECENT_S = 24 * 3600.0
_UNUSED_CACHE_H = 7 * 24


@dataclass(frozen=True)
class Tagged:
    """One tag of a service's repository."""

    tag: str
    digest: str
    wanted_at: float


def unneeded(images: Sequence[Tagged], used: set[str], keep: int, now: float, recent_s: float = _RECENT_S) -> list[Tagged]:
    """What may go: a digest goes with all of its tags or not at all. Pure."""
    newest: dict[str, float] = {}
    for image in images:
        newest[image.digest] = max(newest.get(image.digest, 0.0), image.wanted_at)
    order = sorted(newest, key=lambda digest: newest[digest], reverse=True)
    kept = {*order[:keep], *used, *(digest for digest in order if now - newest[digest] < recent_s)}
    return [image for image in images if image.digest not in kept]


@dataclass(frozen=True)
class Retention:
    """The periodic prune of one builder."""

    settings: Settings
    registry: Registry
    engine: Engine
    ledger: Ledger
    every_s: float = EVERY_S

    async def run(self) -> None:
        """Prunes for ever; a round that fails, for whatever reason, is left for the next one."""
        while True:
            try:
                async with asyncio.timeout(_LONGEST_S):
                    await self.prune()
            except TimeoutError:
                log.warning("images were not pruned", reason=f"the round did not end within {_LONGEST_S:g} s")
            except (Unavailable, RegistryRefused, EngineRefused) as error:
                log.warning("images were not pruned", reason=str(error))
            except Exception:  # the edge of a task: a full disk, or a label that nobody foresaw, ends no builds
                log.exception("images were not pruned")
            await asyncio.sleep(self.every_s)

    async def prune(self) -> int:
        """One round; how many images went."""
        used = await self._used_digests()
        gone = 0
        for repository in await self.registry.repositories():
            gone += await self._prune_repository(repository, used)
        gone += await self._prune_unexported(time.time())
        gone += await self._prune_engine()
        if self.settings.prune_build_cache:
            freed = await self.engine.prune_build_cache(self.settings.build_cache_bytes, _UNUSED_CACHE_H)
            log.info("build cache pruned", freed_bytes=freed)
        return gone

    async def _prune_repository(self, repository: str, used: set[str]) -> int:
        tags = await self.registry.tags(repository)
        self.ledger.note_unknown(repository, tags)
        times = self.ledger.times(repository)
        found = [(tag, stored) for tag in tags if (stored := await self.registry.find(repository, tag)) is not None]
        images = [Tagged(tag, stored.digest, times.get(tag, 0.0)) for tag, stored in found]
        by_tag = dict(found)
        gone = 0
        for image in unneeded(images, used, self.settings.keep_images, time.time()):
            labels = await self.registry.labels(repository, by_tag[image.tag])
            if labels.get("slipway.instance") != self.settings.instance:
                continue
            if self.ledger.times(repository).items() - times.items():
                break  # some image is wanted since: the next round sees which
            if await self.registry.delete(repository, image.digest):
                gone += 1
                self.ledger.note_deleted()
                log.info("image removed", repository=repository, tag=image.tag, digest=image.digest)
            await self.engine.remove(f"{self.registry.host}/{repository}:{image.tag}")
            self.ledger.forget(repository, image.tag)
        return gone

    async def _used_digests(self) -> set[str]:
        """Digests that containers use: by the name that they were started with, or by what the engine knows of their image."""
        used = await self.engine.used_images()
        named = {name.partition("@")[2] for name in used if "@" in name}
        known = {
            digest.partition("@")[2]
            for image in await self.engine.images(self._label)
            if image.id in used or used & {*image.tags, *image.digests}
            for digest in image.digests
        }
        return named | known

    async def _prune_unexported(self, now: float) -> int:
        """Images that the engine has under a name of ours, and the registry does not."""
        used, gone = await self.engine.used_images(), 0
        for image in await self.engine.images(self._label):
            for name in map(ImageName.of, image.tags):
                if name.registry != self.registry.host or name.tag is None or used & {image.id, *image.tags, *image.digests}:
                    continue
                if await self.registry.find(name.repository, name.tag) is not None:
                    continue
                self.ledger.note_unknown(name.repository, (name.tag,))
                if now - self.ledger.times(name.repository)[name.tag] > _RECENT_S:
                    await self.engine.remove(str(name))
                    self.ledger.forget(name.repository, name.tag)
                    gone += 1
                    log.info("image removed", repository=name.repository, tag=name.tag, reason="never exported")
        return gone

    async def _prune_engine(self) -> int:
        """Images of ours without any name, left where a key was built twice."""
        used = await self.engine.used_images()
        nameless = [
            image.id for image in await self.engine.images(self._label) if not image.tags and not image.digests and image.id not in used
        ]
        for identity in nameless:
            await self.engine.remove(identity)
        return len(nameless)

    @property
    def _label(self) -> str:
        return f"slipway.instance={self.settings.instance}"
