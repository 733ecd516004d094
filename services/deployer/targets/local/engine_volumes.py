"""The container engine's volumes. API: https://docs.docker.com/engine/api/v1.41/#tag/Volume."""

import json
from collections.abc import Mapping

from aiodocker import Docker
from aiodocker.exceptions import DockerError

from services.deployer.targets.local.engine_errors import Json, engine_errors


class EngineVolumes:
    """Every call raises `Unavailable` where the engine does not answer."""

    def __init__(self, docker: Docker) -> None:
        self._docker = docker

    async def create(self, name: str, labels: Mapping[str, str]) -> None:
        """Makes a volume; one of that name is left as it is."""
        async with engine_errors():
            await self._docker._query_json("volumes/create", "POST", data={"Name": name, "Labels": dict(labels)})  # noqa: SLF001 -- untyped there

    async def find(self, name: str) -> Json | None:
        """A volume."""
        async with engine_errors():
            try:
                return dict(await self._docker._query_json(f"volumes/{name}"))  # noqa: SLF001 -- untyped there
            except DockerError as error:
                if error.status == 404:
                    return None
                raise

    async def remove(self, name: str) -> None:
        """Removes a volume and its data."""
        async with engine_errors():
            try:
                await self._docker._query_json(f"volumes/{name}", "DELETE")  # noqa: SLF001 -- untyped there
            except DockerError as error:
                if error.status != 404:
                    raise

    async def all(self, labels: Mapping[str, str], *, unused: bool = False) -> list[Json]:
        """All volumes that carry these labels; only those that no container has where they are to be `unused`."""
        wanted = {"label": [f"{name}={value}" for name, value in labels.items()]}
        filters = json.dumps(wanted | {"dangling": ["true"]} if unused else wanted)
        async with engine_errors():
            listed = await self._docker._query_json("volumes", params={"filters": filters})  # noqa: SLF001 -- untyped there
        return [dict(volume) for volume in listed["Volumes"] or ()]
