"""What a container of the data plane shall be."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FINGERPRINT = "slipway.fingerprint"


def name_of(found: Mapping[str, Any]) -> str:
    """The name of a container as the engine lists it; its id where it has none, as a dead one may."""
    return str((found["Names"] or [found["Id"]])[0]).removeprefix("/")


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
    environment: tuple[tuple[str, str], ...] = ()
    folder: Path = Path("/")
    """Where its program works."""

    def fingerprint(self) -> str:
        """Equal for containers that are to be made alike."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def configuration(self, restart: str = "unless-stopped") -> dict[str, object]:
        """As the Engine API's `POST /containers/create` wants it."""
        return {
            "Labels": {**dict(self.labels), FINGERPRINT: self.fingerprint()},
            "Image": self.image,
            "Cmd": list(self.command),
            "Env": [f"{name}={value}" for name, value in self.environment],
            "User": self.user,
            "WorkingDir": str(self.folder),
            "HostConfig": {
                "NetworkMode": "host",
                "RestartPolicy": {"Name": restart},
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
