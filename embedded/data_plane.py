"""Registry and load balancer: made right at each start, made again when removed, and seen to answer. Left alone where they are right."""

import asyncio
import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiodocker import Docker

from embedded import containers, front_door, registry, traefik
from embedded.container import Container
from embedded.home import Home
from embedded.images import handover, substitutes
from embedded.images.packages import PackageUnavailableError
from embedded.images.provision import load
from embedded.settings import Settings

_ANSWER_LIMIT = 20.0
_SWEEP_LIMIT = 300.0
_STARTED = "started"
_LEFT_ALONE = "runs already"
_NAMES = {"registry": registry.name, "traefik": traefik.name}
Say = Callable[[str, str], None]


class DataPlaneFailed(Exception):
    """A container of the data plane does not answer; the message holds its last words."""


@dataclass(frozen=True)
class DataPlane:
    """Both containers of one home, and where they listen."""

    settings: Settings
    home: Home
    docker_host: str
    registry_port: int
    traefik_api_port: int
    webhooks: str
    api: str

    @property
    def ports(self) -> Mapping[str, int]:
        """Where each part listens on 127.0.0.1."""
        return {"registry": self.registry_port, "traefik": self.traefik_api_port}

    async def ensure(self, say: Say) -> None:
        """Both at once, before the services run; `say` is told each name and what was done. Raises DataPlaneFailed."""
        async with Docker(self.docker_host) as docker:
            await asyncio.gather(self._registry(docker, say, in_use=False), self._traefik(docker, say))

    async def restore(self, part: str, say_gone: Callable[[], None], say: Say) -> None:
        """Make one again whose container was removed, while the services run; it says so before and after.

        A container that is there is left as it is: stopped, restarting, or of another version. Raises DataPlaneFailed, DockerError,
        and what keeps its image from being loaded.
        """
        async with Docker(self.docker_host) as docker:
            if await containers.was_started(docker, _NAMES[part](self.home.instance)):
                return
            say_gone()
            await (self._registry(docker, say, in_use=True) if part == "registry" else self._traefik(docker, say))

    async def _registry(self, docker: Docker, say: Say, *, in_use: bool) -> None:
        image = await asyncio.to_thread(load, "registry", engine=self.docker_host)
        container = registry.prepare(self.home, self.registry_port, image)
        swept = "" if in_use else await self._sweep(docker, container)
        changed = await containers.ensure(docker, container)
        await _until_it_answers(docker, container.name, self.registry_port, "/v2/")
        say("registry", swept or (_STARTED if changed else _LEFT_ALONE))
        if not in_use:
            await self._substitutes(docker, say)

    async def _sweep(self, docker: Docker, container: Container) -> str:
        """Frees what deleted images took, with the registry stopped: nobody pushes or pulls before the services run."""
        if not self.home.deleted_images.exists():
            return ""
        await containers.stop(docker, container.name)
        reason = await containers.run_once(docker, registry.sweep(container), _SWEEP_LIMIT)
        if reason is not None:
            return f"started; the space of deleted images was not freed: {reason}"
        self.home.deleted_images.unlink(missing_ok=True)
        return "started; the space of deleted images is free"

    async def _substitutes(self, docker: Docker, say: Say) -> None:
        """Where no public image can be pulled, images from packages; without them too, only builds and databases fail."""
        try:
            settings = await substitutes.settings_for(docker, f"127.0.0.1:{self.registry_port}")
            found = "assembled from packages: no public registry answers" if settings else "from the public registry"
        except PackageUnavailableError as reason:
            settings, found = {}, f"no public registry answers, and images cannot be assembled: {reason}"
        if settings != handover.kept(self.home.substitutes) or not self.home.substitutes.exists():
            say("images", found)
        handover.keep(self.home.substitutes, settings)

    async def _traefik(self, docker: Docker, say: Say) -> None:
        image = await asyncio.to_thread(load, "traefik", engine=self.docker_host)
        doors = traefik.Doors(self.settings.http, self.settings.web_port, self.settings.https_port, self.traefik_api_port)
        container = traefik.prepare(self.home, doors, image)
        traefik.place_default_certificate(self.home)
        front_door.route_platform(self.home.traefik / "dynamic", self.webhooks, self.api)
        changed = await containers.ensure(docker, container)
        await _until_it_answers(docker, container.name, self.traefik_api_port, "/api/http/services/platform-api@file", self.api)
        say("traefik", _STARTED if changed else _LEFT_ALONE)


async def _until_it_answers(docker: Docker, name: str, port: int, path: str, wanted: str = "") -> None:
    """Until the answer is 200 and holds `wanted`."""
    deadline = asyncio.get_running_loop().time() + _ANSWER_LIMIT
    while not _answers(port, path, wanted):
        if asyncio.get_running_loop().time() > deadline or not await containers.is_running(docker, name):
            words = await containers.last_words(docker, name)
            raise DataPlaneFailed(f"The container {name} does not answer on 127.0.0.1:{port}. Its last words:\n{words}")
        await asyncio.sleep(0.03)


def _answers(port: int, path: str, wanted: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status == http.client.OK and wanted in answer.read().decode()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
