"""A container of the data plane: it outlives the control plane, and is touched only if it is not as it shall be."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiodocker import Docker
from aiodocker.containers import DockerContainer
from aiodocker.exceptions import DockerError
from aiodocker.types import JSONObject

FINGERPRINT = "slipway.fingerprint"
_STOP_SECONDS = 10


@dataclass(frozen=True)
class Mount:
    """A folder or file of this machine in the container."""

    source: Path
    target: Path
    read_only: bool = True


@dataclass(frozen=True)
class Container:
    """What shall run. Always: the host's network, a read-only root, no way to more rights, `unless-stopped`."""

    name: str
    image: str
    command: tuple[str, ...]
    user: str
    mounts: tuple[Mount, ...]
    memory: int
    """Limit in bytes."""
    labels: tuple[tuple[str, str], ...]
    content: str = ""
    """The content of its configuration files: when it changes, the container is made anew."""
    capabilities: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """Equal for containers that are to be made alike."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def configuration(self) -> JSONObject:
        """As the Engine API's `POST /containers/create` wants it."""
        return {
            "Labels": {**dict(self.labels), FINGERPRINT: self.fingerprint()},
            "Image": self.image,
            "Cmd": list(self.command),
            "User": self.user,
            "HostConfig": {
                "NetworkMode": "host",
                "RestartPolicy": {"Name": "unless-stopped"},
                "ReadonlyRootfs": True,
                "CapDrop": ["ALL"],
                "CapAdd": list(self.capabilities),
                "SecurityOpt": ["no-new-privileges"],
                "Memory": self.memory,
                "PidsLimit": 512,
                "Mounts": [
                    {
                        "Type": "bind",
                        "Source": str(mount.source),
                        "Target": str(mount.target),
                        "ReadOnly": mount.read_only,
                    }
                    for mount in self.mounts
                ],
            },
        }


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
    made = await docker.containers.create(config=container.configuration(), name=container.name)
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
