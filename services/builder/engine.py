"""The container engine, as far as the builder asks it by API: pushing, pulling, and what images it has and uses."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiodocker import Docker
from aiodocker.exceptions import DockerError

from services.builder.registry import ImageName
from services.builder.registry_login import login_of
from shared.work import Unavailable

_UNREACHABLE = 900
"""aiodocker's own status for an engine that does not answer."""

_GONE, _IN_USE = 404, 409


class EngineRefused(Exception):
    """The engine or a registry behind it said no; the message has its words."""


@dataclass(frozen=True)
class EngineImage:
    """An image that the engine has."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    labels: dict[str, str]


@dataclass(frozen=True)
class About:
    """What the engine says of itself."""

    root: Path
    cgroup_driver: str
    cgroup_version: str


class Engine:
    """One engine. Every call raises `Unavailable` where it does not answer."""

    def __init__(self, host: str, docker_config: Path | None = None) -> None:
        self.host = host
        self._config = docker_config
        self._docker: Docker | None = None

    async def open(self) -> None:
        """Connects lazily: aiodocker wants a running loop."""
        if self._docker is None:
            self._docker = Docker(url=self.host, api_version="auto")

    async def close(self) -> None:
        """Closes the connections."""
        if self._docker is not None:
            await self._docker.close()
            self._docker = None

    async def ready(self) -> None:
        """Raises where the engine does not answer."""
        async with self._asking() as docker:
            await docker.version()

    async def about(self) -> About:
        """Its data root and control groups."""
        async with self._asking() as docker:
            info = await docker.system.info()
        return About(Path(info["DockerRootDir"]), info.get("CgroupDriver", ""), str(info.get("CgroupVersion", "1")))

    async def push(self, name: ImageName) -> str:
        """Pushes a tagged image; its digest. Raises `EngineRefused`."""
        digest = ""
        async with self._asking() as docker:
            repository = f"{name.registry}/{name.repository}"
            async for line in docker.images.push(repository, tag=name.tag, auth=self._auth(name.registry), stream=True):
                digest = line.get("aux", {}).get("Digest", digest)
        if not digest:
            raise Unavailable(f"the engine went away while it pushed {name}")
        return digest

    async def pull(self, name: ImageName) -> None:
        """Pulls an image. Raises `EngineRefused`."""
        async with self._asking() as docker:
            query = f"{name.registry}/{name.repository}" + (f"@{name.digest}" if name.digest else f":{name.tag}")
            async for _ in docker.images.pull(query, auth=self._auth(name.registry), stream=True):
                pass

    async def tag(self, name: str, new: ImageName) -> None:
        """Gives an image another name."""
        async with self._asking() as docker:
            await docker.images.tag(name, f"{new.registry}/{new.repository}", tag=new.tag)

    async def images(self, label: str) -> list[EngineImage]:
        """Its images that carry a label (`name=value`)."""
        async with self._asking() as docker:
            found = await docker.images.list(filters={"label": [label]})
        return [
            EngineImage(
                image["Id"],
                tuple(tag for tag in image.get("RepoTags") or () if tag != "<none>:<none>"),
                tuple(digest for digest in image.get("RepoDigests") or () if not digest.startswith("<none>")),
                image.get("Labels") or {},
            )
            for image in found
        ]

    async def used_images(self) -> set[str]:
        """Ids and names of the images of all containers, running or not."""
        async with self._asking() as docker:
            containers = await docker.containers.list(all=True)
        return {str(container._container[key]) for container in containers for key in ("ImageID", "Image")}  # noqa: SLF001

    async def remove(self, name: str) -> None:
        """Takes a name from an image, and the image with its last name; what is used stays."""
        async with self._asking() as docker:
            try:
                await docker.images.delete(name)
            except DockerError as error:
                if error.status not in (_GONE, _IN_USE):
                    raise

    async def prune_build_cache(self, keep_bytes: int, unused_for_hours: int) -> int:
        """Frees BuildKit's cache that nobody used for so long, down to `keep_bytes`; the bytes freed."""
        async with self._asking() as docker:
            filters = json.dumps({"unused-for": [f"{unused_for_hours}h"]})
            parameters = {"filters": filters, "keep-storage": str(keep_bytes)}
            answer = await docker._query_json("build/prune", "POST", params=parameters)  # noqa: SLF001
        return int(answer.get("SpaceReclaimed", 0))

    def _auth(self, registry: str) -> dict[str, str] | None:
        login = login_of(registry, self._config)
        return None if login is None else {"username": login.username, "password": login.password, "serveraddress": registry}

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Docker]:
        await self.open()
        if self._docker is None:
            raise RuntimeError("the engine is closed")
        with _translated(self.host):
            yield self._docker


@contextmanager
def _translated(host: str) -> Iterator[None]:
    try:
        yield
    except DockerError as error:
        if error.status == _UNREACHABLE:
            raise Unavailable(f"the container engine at {host} does not answer") from error
        raise EngineRefused(str(error.message)) from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise Unavailable(f"the container engine at {host} does not answer: {error}") from error
