"""What stands in for public images where the engine cannot pull any.

Nothing is rewritten: the deployer gets a table of PostgreSQL images instead of pulling `postgres:<major>`, and a
Dockerfile that declares the build argument NODE_IMAGE (`ARG NODE_IMAGE=node:22-slim`, `FROM ${NODE_IMAGE}`) gets
its value. A Dockerfile with a plain `FROM node:22` needs a registry that can be reached, as everywhere.
"""

import asyncio
import json

from aiodocker import Docker
from aiodocker.exceptions import DockerError

from embedded.images.cache import Cache
from embedded.images.catalogue import RECIPES
from embedded.images.provision import ensure

_PROBE = "postgres:18"
_PROBE_LIMIT_S = 3.0
_NODE = "node"


async def public_images_can_be_pulled(docker: Docker) -> bool:
    """Whether the engine reaches the public registry (or a mirror of it) now. It is asked, since it does the pulling.

    Source: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Distribution
    """
    try:
        async with asyncio.timeout(_PROBE_LIMIT_S):
            await docker._query_json(f"distribution/{_PROBE}/json")  # noqa: SLF001 - aiodocker has no method for it
    except (DockerError, TimeoutError):
        return False
    return True


async def settings_for(docker: Docker, registry: str, cache: Cache | None = None) -> dict[str, str]:
    """Settings (environment variables) of builder and deployer; none where public images can be pulled.

    Makes the images present in `registry` (host:port): some 50 ms, or half a minute the first time on a machine.
    Raises PackageUnavailableError where they cannot be assembled either.
    """
    if await public_images_can_be_pulled(docker):
        return {}
    majors = RECIPES["postgres"].versions
    names = [_NODE, *(f"postgres:{major}" for major in majors)]
    made = await asyncio.to_thread(ensure, names, registry, cache)
    return {
        "SLIPWAY_POSTGRES_IMAGES": json.dumps({major: made[f"postgres:{major}"].reference for major in majors}),
        "SLIPWAY_BUILD_ARGS": json.dumps({"NODE_IMAGE": made[_NODE].reference}),
    }
