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
    """What is left after the round of retention that comes anyway, and belongs to nothing."""
    return asyncio.run(_leftovers(machine, projects))


async def _leftovers(machine: Machine, projects: set[str]) -> list[str]:
    settings = Settings(home=machine.home.path, instance=machine.home.instance, registry=f"127.0.0.1:{machine.ports['registry']}")
    registry, engine, ledger = Registry(settings.registry), Engine(settings.docker_host), Ledger(settings.state / "images")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(registry.close)
        stack.push_async_callback(engine.close)
        await Retention(settings, registry, engine, ledger).prune()
        repositories = await registry.repositories()
        known = {
            f"{registry.host}/{repository}:{tag}"
            for repository in repositories
            for tag in (*await registry.tags(repository), *ledger.times(repository))
        }
        ours, used = await engine.images(f"slipway.instance={machine.home.instance}"), await engine.used_images()
    strange = [name for name in repositories if name.split("/")[-2] not in projects]
    return [*(f"the images of {name} belong to nothing" for name in strange), *unknown(ours, used, known)]


def unknown(images: Sequence[EngineImage], used: set[str], known: set[str]) -> Iterator[str]:
    """Images that nothing runs, and of whose names neither registry nor ledger has any: retention never comes to them."""
    for image in images:
        if not used & {image.id, *image.tags, *image.digests} and not known & set(image.tags):
            yield f"the image {(*image.tags, *image.digests, image.id)[0]} is left on the engine"
