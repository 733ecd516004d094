"""Makes a container of the data plane run: it outlives the control plane, and is touched only if it is not as it shall be."""

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
    return _State(bool(found["State"]["Running"]), (found["Config"]["Labels"] or {}).get(FINGERPRINT))


@dataclass(frozen=True)
class _State:
    """What is there under a name."""

    running: bool
    fingerprint: str | None
