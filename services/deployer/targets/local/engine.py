"""The container engine, by the few calls that the target makes. API: https://docs.docker.com/engine/api/v1.41/.

What is not there is `None` or `False`, what cannot be done now is `Unavailable`; the rest stays a `DockerError`.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import aiohttp
from aiodocker import Docker
from aiodocker.exceptions import DockerError

from services.deployer.targets.local.container_state import Container, container_of
from services.deployer.targets.local.engine_errors import Json, engine_errors
from services.deployer.targets.local.engine_networks import EngineNetworks
from services.deployer.targets.local.engine_volumes import EngineVolumes
from services.deployer.targets.local.unknown_run import end_unknown_run

_AGAIN_S = 0.1
_REMEMBERED = 256
"""So many events, of all its objects, an engine keeps in its memory. They end with it."""
_LONGEST_LINE = 2**16
_KEPT_OUTPUT = 2**16


@dataclass(frozen=True)
class Seen:
    """What the engine that runs now has seen of a container's last run."""

    start: bool
    end: bool
    signal: bool
    """Somebody sent it one: a person's `stop` or `kill`."""


class Engine:
    """The engine that a deployer works on. Every call raises `Unavailable` where the engine does not answer."""

    def __init__(self, docker: Docker) -> None:
        self._docker = docker
        self.networks = EngineNetworks(docker)
        self.volumes = EngineVolumes(docker)

    async def ping(self) -> None:
        """Raises `Unavailable` where the engine does not answer."""
        async with engine_errors():
            await self._docker.version()

    async def until_gone(self) -> None:
        """Returns when the engine ends its stream of events: it stops, or is gone already."""
        parameters = {"filters": json.dumps({"label": ["slipway.instance"]})}
        try:
            async with self._docker._query("events", params=parameters, timeout=None) as answer:  # noqa: SLF001 -- closed with the connection
                try:
                    async for _ in answer.content.iter_any():  # not by lines: one holds all labels of a container, and may be too long
                        pass
                finally:
                    answer.close()
        except (DockerError, aiohttp.ClientError, ConnectionError):
            return

    async def inspect(self, name: str) -> Container | None:
        """A container by name or id."""
        async with engine_errors():
            try:
                shown = await self._docker.containers.container(name).show()
            except DockerError as error:
                if error.status == 404:
                    return None
                raise
        return container_of(shown)

    async def summaries(self, labels: Mapping[str, str]) -> list[Json]:
        """The engine's own short form of all containers that carry these labels."""
        filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
        async with engine_errors():
            found = await self._docker.containers.list(all=True, filters=filters)
        return [dict(container._container) for container in found]  # noqa: SLF001 -- the listing has no public accessor for all of it

    async def find(self, labels: Mapping[str, str]) -> list[Container]:
        """All containers that carry these labels, the oldest first."""
        summaries = await self.summaries(labels)
        found = [await self.inspect(str(summary["Id"])) for summary in sorted(summaries, key=lambda summary: summary["Created"])]
        return [container for container in found if container is not None]

    async def create(self, name: str, configuration: Json) -> None:
        """Makes a container. One of that name that the same step made is left as it is; another's, which a late request brought, makes way,
        and one that is being removed is waited for."""
        step = (configuration.get("Labels") or {}).get("slipway.step", "")
        while not await self._created(name, configuration):
            found = await self.inspect(name)
            if found is not None:
                if found.label("step") == step and not found.going:
                    return
                await self.remove(found.id)
            await asyncio.sleep(_AGAIN_S)

    async def _created(self, name: str, configuration: Json) -> bool:
        async with engine_errors():
            try:
                await self._docker.containers.create(configuration, name=name)
            except DockerError as error:
                if error.status == 409:
                    return False
                raise
        return True

    async def start(self, name: str) -> None:
        """Starts a container; one that runs goes on."""
        async with engine_errors():
            await self._docker.containers.container(name).start()

    async def try_start(self, name: str) -> str | None:
        """Starts a container; the engine's words where that cannot be (no such program in the image, for one)."""
        try:
            await self.start(name)
        except DockerError as error:
            return str(error.message).strip()
        return None

    async def update(self, name: str, changes: Json) -> None:
        """Changes limits or the restart policy of a container in place."""
        async with engine_errors():
            await self._docker._query_json(f"containers/{name}/update", "POST", data=changes)  # noqa: SLF001 -- aiodocker lacks this call

    async def signal(self, name: str, signal: str) -> bool:
        """Sends a signal; False where no process is left to get it."""
        async with engine_errors():
            try:
                await self._docker.containers.container(name).kill(signal=signal)
            except DockerError as error:
                if error.status in {404, 409, 500}:  # gone, not running, or ended between look and signal
                    return False
                raise
        return True

    async def wait(self, name: str) -> int | None:
        """Waits until a container does not run; its exit code, None where there is no such container."""
        async with engine_errors():
            try:
                ended = await self._docker.containers.container(name).wait(timeout=None)
            except DockerError as error:
                if error.status == 404:
                    return None
                raise
        return int(ended["StatusCode"])

    async def remove(self, name: str) -> bool:
        """Removes a container, running or not, also without the engine's knowing, and its anonymous volumes; False where there was none."""
        found = await self.inspect(name)
        if found is None:
            return False
        if not found.has_started:
            end_unknown_run(found.id)
        async with engine_errors():
            try:
                await self._docker.containers.container(found.id).delete(force=True, v=True)
            except DockerError as error:
                if error.status == 404:
                    return False
                if error.status != 409:  # another's removal is under way
                    raise
        return True

    async def remove_idle(self, name: str) -> bool:
        """As `remove`, but of one that runs by now, which stays; whether there is none any more."""
        async with engine_errors():
            try:
                await self._docker.containers.container(name).delete(v=True)
            except DockerError as error:
                if error.status == 409:
                    return False
                if error.status != 404:
                    raise
        return True

    async def tail(self, name: str, lines: int = 20) -> tuple[str, ...]:
        """The last lines that a container wrote, without NULs; none where it is gone."""
        async with engine_errors():
            try:
                written = await self._docker.containers.container(name).log(stdout=True, stderr=True, tail=lines)
            except DockerError as error:
                if error.status in {404, 409}:
                    return ()
                raise
        return tuple("".join(written).replace("\0", "\ufffd").splitlines()[-lines:])

    async def follow(self, name: str) -> AsyncGenerator[str, None]:
        """What a container writes, line by line from its first, until it ends; a line that goes on past 64 KiB comes in pieces."""
        rest = ""
        async with engine_errors():
            async for part in self._docker.containers.container(name).log(stdout=True, stderr=True, follow=True):
                if rest and len(rest) + len(part) > _LONGEST_LINE:
                    yield rest
                    rest = ""
                *lines, rest = (rest + part).split("\n")
                for line in lines:
                    yield line
        if rest:
            yield rest

    async def execute(self, name: str, command: Sequence[str]) -> tuple[int, str]:
        """Runs a command in a container: its exit code and the last 64 KiB of what it wrote."""
        async with engine_errors():
            execution = await self._docker.containers.container(name).exec(list(command))
            written = bytearray()
            async with execution.start(detach=False) as stream:
                while (message := await stream.read_out()) is not None:
                    written += message.data
                    del written[:-_KEPT_OUTPUT]
            shown = await execution.inspect()
        return int(shown["ExitCode"] or 0), written.decode(errors="replace")

    async def seen(self, container: Container) -> Seen:
        """What the engine remembers since the container started. Where more has happened than it remembers, it has seen the start."""
        seen = await self._seen(container, await self._now())
        # An end is told a moment after those who wait for it are let go; the engine answers when that time has come.
        return seen if seen.end else await self._seen(container, await self._now() + 1)

    async def _now(self) -> float:
        """By the engine's clock: by one that is behind it has seen nothing yet, and by one that is ahead it answers when that time has come."""
        async with engine_errors():
            shown = await self._docker.system.info()
        return datetime.fromisoformat(shown["SystemTime"]).timestamp()

    async def _seen(self, container: Container, until: float) -> Seen:
        parameters = {"since": str(container.started_second), "until": f"{until:.6f}"}
        async with engine_errors(), self._docker._query("events", params=parameters) as answer:  # noqa: SLF001 -- aiodocker only follows events
            events = [json.loads(line) for line in (await answer.text()).splitlines() if line.strip()]
        happened = {str(event.get("Action")) for event in events if (event.get("Actor") or {}).get("ID") == container.id}
        return Seen("start" in happened or len(events) >= _REMEMBERED, "die" in happened, "kill" in happened)

    async def image(self, reference: str) -> Json | None:
        """An image that the engine has."""
        async with engine_errors():
            try:
                return dict(await self._docker.images.inspect(reference))
            except DockerError as error:
                if error.status == 404:
                    return None
                raise

    async def pull(self, reference: str) -> str | None:
        """Pulls an image; the engine's words where it cannot."""
        async with engine_errors():
            try:
                await self._docker.images.pull(reference, timeout=None)
            except DockerError as error:
                return str(error.message)
        return None
