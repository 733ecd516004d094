"""Starting a container, also one that was started already without the engine's knowing."""

import asyncio

from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.unknown_run import end_unknown_run

_TRIES, _EVERY_S = 15, 0.2
"""The engine notices within moments that those processes have ended."""


async def try_start(engine: Engine, name: str) -> str | None:
    """Starts a container; the engine's words where that cannot be. Processes of its that the engine does not know of are ended first."""
    words = await engine.try_start(name)
    if words is None:
        return None
    found = await engine.inspect(name)
    if found is None or found.running or not end_unknown_run(found.id):
        return words
    for _ in range(_TRIES):
        await asyncio.sleep(_EVERY_S)
        words = await engine.try_start(name)
        if words is None:
            break
    return words
