"""Images: on the engine and in the registry lies only what the builder's retention keeps."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack

from services.builder.engine import Engine, EngineImage
from services.builder.ledger import Ledger
from services.builder.registry import Registry
from services.builder.retention import Retention
from services.builder.settings import Settings
from tests.faults.strikes.machine import Machine


def leftovers(machine: Machine, projects: set[str]) -> list[str]:
    """What belongs to nothing: with a name, now; without one, after the round of retention that comes anyway."""
    return asyncio.run(_leftovers(machine, projects))


async def _leftovers(machine: Machine, projects: set[str]) -> list[str]:
    settings = Settings(home=machine.home.path, instance=machine.home.instance, registry=f"127.0.0.1:{machine.ports['registry']}")
    registry, engine, ledger = Registry(settings.registry), Engine(settings.docker_host), Ledger(settings.state / "images")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(registry.close)
        stack.push_async_callback(engine.close)
        repositories = await registry.repositories()
        strange = [name for name in repositories if name.split("/")[-2] not in projects]
        known = {
            f"{registry.host}/{repository}:{tag}"
            for repository in repositories
            for tag in (*await registry.tags(repository), *ledger.times(repository))
        }
        label = f"slipway.instance={machine.home.instance}"
        named = [image for image in await engine.images(label) if image.tags or image.digests]
        found = list(unknown(named, await engine.used_images(), known))  # retention notes what it did not know
        await Retention(settings, registry, engine, ledger).prune()
        found += unknown(await engine.images(label), await engine.used_images(), known)
    return [*(f"the images of {name} belong to nothing" for name in strange), *dict.fromkeys(found)]


def unknown(images: Sequence[EngineImage], used: set[str], known: set[str]) -> Iterator[str]:
    """Images that nothing runs, and of whose names neither registry nor ledger has any: retention never comes to them."""
    for image in images:
        if not used & {image.id, *image.tags, *image.digests} and not known & set(image.tags):
            yield f"the image {(*image.tags, *image.digests, image.id)[0]} is left on the engine"
