"""What a container is made with. Pure."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.deployer.targets.local.container_state import Container
from services.deployer.targets.local.engine_errors import Json
from services.deployer.targets.local.naming import Role
from shared.contracts.manifest import is_root

NOBODY = "65532:65532"
"""Who runs where neither the manifest nor the image names a user other than root."""
LIVE = {"RestartPolicy": {"Name": "unless-stopped"}}
"""What one is updated with when it becomes live: the engine brings it back by itself from then on."""
_LOG = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
_PROCESSES = 512
LOWEST_MEMORY = 6 * 1024 * 1024
"""The engine makes no container with less."""


@dataclass(frozen=True)
class Endpoint:
    """Where a container is put: network, fixed address, and the names that it is found by."""

    network: str
    address: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """What a container may use. Memory in bytes, swap never; processors as a share."""

    memory_bytes: int
    cpu: float | None = None

    def engine(self) -> Json:
        """As the engine's create and update calls want it."""
        memory = max(self.memory_bytes, LOWEST_MEMORY)
        limits: Json = {"Memory": memory, "MemorySwap": memory}
        if self.cpu is not None:
            limits["NanoCpus"] = int(self.cpu * 1e9)
        return limits

    def hold_of(self, found: Container) -> bool:
        """Whether a container has these limits."""
        wanted = self.engine()
        return bool(found.memory_bytes == wanted["Memory"] and found.nano_cpus == wanted.get("NanoCpus", found.nano_cpus))


def configuration(
    *,
    image: str,
    image_volumes: Iterable[str] = (),
    labels: Mapping[str, str],
    environment: Mapping[str, str],
    user: str,
    limits: Limits,
    endpoint: Endpoint,
    command: Sequence[str] | None = None,
    read_only: bool = True,
    writable: Sequence[str] = (),
    volumes: Mapping[str, str] | None = None,
    hosts: Mapping[str, str] | None = None,
) -> Json:
    """The body of `POST /containers/create`: no capabilities, no way to more rights, limits on everything, no restart.

    Its host name is the engine's choice: one of ours would be an alias on the network as well.
    `command` is the whole command: the image's entrypoint does not stand before it. `volumes` maps name to path, `hosts`
    name to address; what of `image_volumes` has nothing else at its path is a labelled volume that goes with the container.
    """
    given = {*writable, *(volumes or {}).values()}
    made: Json = {
        "Image": image,
        "Labels": dict(labels),
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "User": user,
        "HostConfig": {
            **limits.engine(),
            "NetworkMode": endpoint.network,
            "ExtraHosts": [f"{name}:{address}" for name, address in (hosts or {}).items()],
            "RestartPolicy": {"Name": "no"},
            "ReadonlyRootfs": read_only,
            "Tmpfs": dict.fromkeys(writable, "rw,exec,nosuid,nodev,mode=1777"),
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "PidsLimit": _PROCESSES,
            "LogConfig": _LOG,
            "Init": True,
            "Mounts": [
                *({"Type": "volume", "Source": name, "Target": path} for name, path in (volumes or {}).items()),
                *_scratch(image_volumes, given, labels),
            ],
        },
        "NetworkingConfig": {
            "EndpointsConfig": {
                endpoint.network: {"IPAMConfig": {"IPv4Address": endpoint.address}, "Aliases": list(endpoint.aliases)},
            }
        },
    }
    if command is not None:
        made["Entrypoint"], made["Cmd"] = list(command), []
    return made


def _scratch(wanted: Iterable[str], given: Iterable[str], labels: Mapping[str, str]) -> Iterator[Json]:
    """Volumes that the engine would make without labels: where it dies meanwhile, nobody knew later whose they are."""
    taken = set(map(posixpath.normpath, given))
    carried = {**labels, "slipway.role": Role.SCRATCH}
    for path in wanted:
        if path.startswith("/") and posixpath.normpath(path) not in taken:
            yield {"Type": "volume", "Target": path, "VolumeOptions": {"Labels": carried}}


def volumes_of(image: Json) -> tuple[str, ...]:
    """The paths of its `VOLUME`s."""
    return tuple((image.get("Config") or {}).get("Volumes") or ())


def user_of(wanted: str | None, image: Json) -> str:
    """The manifest's user, root too where it says so; else the image's own where it is not root; else nobody.

    The engine looks names up in the image: one of its own that has the number 0 is taken for what it is called.
    """
    own = str((image.get("Config") or {}).get("User") or "")
    return wanted or (NOBODY if is_root(own) else own)
