"""What a call of the container engine may end with, besides its answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiodocker.exceptions import DockerError

from shared.work import Unavailable

Json = dict[str, Any]
_CONNECTION_FAILED = 900


@asynccontextmanager
async def engine_errors() -> AsyncIterator[None]:
    """Raises `Unavailable` where the engine does not answer; what else it says stays a `DockerError`."""
    try:
        yield
    except DockerError as error:
        if error.status == _CONNECTION_FAILED:
            raise Unavailable(f"the container engine does not answer: {error.message}") from error
        raise
    except (aiohttp.ClientError, ConnectionError) as error:
        raise Unavailable(f"the container engine does not answer: {error!r}") from error
