"""The container engine's networks. API: https://docs.docker.com/engine/api/v1.41/#tag/Network."""

from collections.abc import Sequence

from aiodocker import Docker
from aiodocker.exceptions import DockerError

from services.deployer.targets.local.engine_errors import Json, engine_errors


class EngineNetworks:
    """Every call raises `Unavailable` where the engine does not answer."""

    def __init__(self, docker: Docker) -> None:
        self._docker = docker

    async def find(self, name: str) -> Json | None:
        """A network."""
        async with engine_errors():
            try:
                return dict(await (await self._docker.networks.get(name)).show())
            except DockerError as error:
                if error.status == 404:
                    return None
                raise

    async def all(self) -> list[Json]:
        """All networks of the engine."""
        async with engine_errors():
            return [dict(network) for network in await self._docker.networks.list()]

    async def create(self, configuration: Json) -> bool:
        """Makes a network; False where its range overlaps another's. One of that name is left as it is."""
        async with engine_errors():
            try:
                await self._docker.networks.create({**configuration, "CheckDuplicate": True})
            except DockerError as error:
                if error.status == 409:
                    return True
                if error.status == 403 or "overlap" in str(error.message).lower():
                    return False
                raise
        return True

    async def remove(self, name: str) -> bool:
        """Removes a network; False where something is on it, and it stays."""
        async with engine_errors():
            try:
                await (await self._docker.networks.get(name)).delete()
            except DockerError as error:
                if error.status == 403:
                    return False
                if error.status != 404:
                    raise
        return True

    async def connect(self, network: str, container: str, address: str, aliases: Sequence[str]) -> None:
        """Puts a container on a network."""
        endpoint = {"IPAMConfig": {"IPv4Address": address}, "Aliases": list(aliases)}
        async with engine_errors():
            await (await self._docker.networks.get(network)).connect({"Container": container, "EndpointConfig": endpoint})

    async def disconnect(self, network: str, container: str) -> None:
        """Takes a container off a network; one that is not on it is left as it is."""
        async with engine_errors():
            try:
                await (await self._docker.networks.get(network)).disconnect({"Container": container, "Force": True})
            except DockerError as error:
                if error.status != 404 and "is not connected" not in str(error.message):
                    raise
