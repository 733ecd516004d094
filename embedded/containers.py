"""Makes a container of the data plane run: it outlives the control plane, and is touched only if it is not as it shall be."""

import asyncio
from dataclasses import dataclass
from typing import cast

from aiodocker import Docker
from aiodocker.containers import DockerContainer
from aiodocker.exceptions import DockerError
from aiodocker.types import JSONObject

from embedded.container import FINGERPRINT, Container

_STOP_SECONDS = 10


async def ensure(docker: Docker, container: Container) -> bool:
    """Make it run as it shall; True if something had to be done. One that is right is left alone."""
    found = await _inspect(docker, container.name)
    if found is not None:
        if found.fingerprint == container.fingerprint():
            if found.running:
                return False
            await docker.containers.container(container.name).start()
            return True
        await remove(docker, container.name)
    made = await docker.containers.create(config=cast("JSONObject", container.configuration()), name=container.name)
    await made.start()
    return True


async def is_running(docker: Docker, name: str) -> bool:
    """Whether a container of that name runs."""
    found = await _inspect(docker, name)
    return found is not None and found.running


async def was_started(docker: Docker, name: str) -> bool:
    """Whether there is a container of that name which ran at some time. One whose maker died first never did."""
    found = await _inspect(docker, name)
    return found is not None and found.was_started


async def remove(docker: Docker, name: str) -> bool:
    """Stop and remove it; False if there is none."""
    container: DockerContainer = docker.containers.container(name)
    try:
        await container.stop(t=_STOP_SECONDS)
        await container.delete(force=True)
    except DockerError as error:
        if error.status != 404:
            raise
        return False
    return True


async def stop(docker: Docker, name: str) -> None:
    """Stop it, if there is one that runs."""
    try:
        await docker.containers.container(name).stop(t=_STOP_SECONDS)
    except DockerError as error:
        if error.status not in (304, 404):
            raise


async def run_once(docker: Docker, container: Container, limit_s: float) -> str | None:
    """Run it to its end and remove it; None where it ended well, else its last words. After `limit_s` it is killed."""
    await remove(docker, container.name)
    configuration = container.configuration(restart="no")
    made = await docker.containers.create(config=cast("JSONObject", configuration), name=container.name)
    try:
        await made.start()
        ended = await asyncio.wait_for(made.wait(), limit_s)
        if ended["StatusCode"] == 0:
            return None
        return await last_words(docker, container.name) or f"it ended with status {ended['StatusCode']}"
    except TimeoutError:
        return f"it did not end within {limit_s:.0f} s"
    finally:
        await made.delete(force=True)


async def last_words(docker: Docker, name: str, lines: int = 5) -> str:
    """The end of its log."""
    words = await docker.containers.container(name).log(stdout=True, stderr=True, tail=lines)
    return "".join(words).strip()


async def _inspect(docker: Docker, name: str) -> "_State | None":
    try:
        found = await docker.containers.container(name).show()
    except DockerError as error:
        if error.status != 404:
            raise
        return None
    state, labels = found["State"], found["Config"]["Labels"] or {}
    return _State(bool(state["Running"]), state["Status"] != "created", labels.get(FINGERPRINT))


@dataclass(frozen=True)
class _State:
    """What is there under a name."""

    running: bool
    was_started: bool
    fingerprint: str | None
