"""The builder: its parts opened, its handlers run as a participant, its images pruned."""

import asyncio
from contextlib import AsyncExitStack

import structlog

from services.builder.docker_cli import find_client
from services.builder.engine import About, Engine
from services.builder.handlers import Outside, folders_of, handlers, ledger_of, mirrors_of
from services.builder.mirror_upkeep import MirrorUpkeep
from services.builder.registry import Registry
from services.builder.retention import Retention
from services.builder.settings import Settings
from shared.participant import Participant
from shared.process import run, started
from shared.work import Unavailable

_PAUSE_S = 2.0


async def main() -> None:
    """Runs until it is told to stop."""
    settings = Settings()
    async with started("builder", settings) as process, AsyncExitStack() as stack:
        registry, engine = Registry(settings.registry, settings.docker_config), Engine(settings.docker_host, settings.docker_config)
        stack.push_async_callback(registry.close)
        stack.push_async_callback(engine.close)
        process.check("registry", registry.ready)
        process.check("engine", engine.ready)
        folders_of(settings).sweep()
        client = await find_client(settings)

        async def take_commands() -> None:
            outside = Outside(registry, engine, client, await _about(engine))
            await Participant("builder", settings, process.bus, handlers(settings, outside)).run()

        process.spawn("commands", take_commands())
        process.spawn("retention", Retention(settings, registry, engine, ledger_of(settings)).run())
        process.spawn("mirrors", MirrorUpkeep(mirrors_of(settings)).run())
        await process.until_stopped()


async def _about(engine: Engine) -> About:
    """What the engine says of itself, once it answers."""
    while True:
        try:
            return await engine.about()
        except Unavailable as error:
            structlog.get_logger().warning("waiting for the engine", reason=str(error))
            await asyncio.sleep(_PAUSE_S)


if __name__ == "__main__":
    run(main)
