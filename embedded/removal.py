"""Removes what an instance made on the engine: by its label, and nothing else."""

import asyncio
import json
from dataclasses import dataclass

from aiodocker import Docker
from aiodocker.exceptions import DockerError

_STOP_SECONDS = 10
_GONE = 404


@dataclass(frozen=True)
class Removed:
    """The names of what was removed."""

    containers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()


def remove_instance(host: str, instance: str, *, volumes: bool) -> Removed:
    """Stop and remove all containers of the instance, then its networks and, if asked for, its volumes."""
    return asyncio.run(_remove(host, instance, volumes))


async def _remove(host: str, instance: str, volumes: bool) -> Removed:
    filters = json.dumps({"label": [f"slipway.instance={instance}"]})
    async with Docker(host) as docker:
        containers = await docker._query_json("containers/json", params={"all": "true", "filters": filters})
        await asyncio.gather(*(_remove_container(docker, str(found["Id"])) for found in containers))
        networks = await docker._query_json("networks", params={"filters": filters})
        for found in networks:
            await _delete(docker, f"networks/{found['Id']}")
        kept = await docker._query_json("volumes", params={"filters": filters})
        names = [str(found["Name"]) for found in kept["Volumes"] or ()] if volumes else []
        for name in names:
            await _delete(docker, f"volumes/{name}")
    return Removed(
        tuple(sorted(str(found["Names"][0]).removeprefix("/") for found in containers)),
        tuple(sorted(str(found["Name"]) for found in networks)),
        tuple(sorted(names)),
    )


async def _remove_container(docker: Docker, identity: str) -> None:
    try:
        await docker.containers.container(identity).stop(t=_STOP_SECONDS)
    except DockerError as error:
        if error.status != _GONE:
            raise
    await _delete(docker, f"containers/{identity}?force=true")


async def _delete(docker: Docker, path: str) -> None:
    """One that is gone already is what we want."""
    try:
        async with docker._query(path, method="DELETE"):
            pass
    except DockerError as error:
        if error.status != _GONE:
            raise
