"""The container engine goes away and comes back: steps wait, and reconcile looks at what happened meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from services.deployer.targets.local.target import local_target
from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.listening import listening
from shared.work import Unavailable
from tests.integration.deployer.rig import ENGINE, Deployment, Site, deploy
from tests.polling import eventually


class Wire:
    """A socket that leads to the engine as long as it is not cut."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connections = 0
        self._open = AsyncExitStack()

    @property
    def address(self) -> str:
        """As `DOCKER_HOST`."""
        return f"unix://{self.path}"

    async def mend(self) -> None:
        """The engine answers."""
        await self._open.enter_async_context(listening(self._serve, path=self.path))

    async def cut(self) -> None:
        """The engine is gone, in the middle of whatever it was doing."""
        self.path.unlink(missing_ok=True)
        await self._open.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(ENGINE.removeprefix("unix://"))
        self.connections += 1
        try:
            await asyncio.gather(_pump(reader, engine_writer), _pump(engine_reader, writer))
        finally:
            self.connections -= 1
            engine_writer.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.close()


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[Wire]:
    """It, mended."""
    made = Wire(tmp_path / "docker.sock")
    await made.mend()
    yield made
    await made.cut()


async def test_step_waits_for_the_engine(here: Site, wire: Wire) -> None:
    """While the engine is away a step is `Unavailable`, which is tried again; it is done when the engine is back."""
    settings = here.machine.settings.model_copy(update={"docker_host": wire.address})
    async with local_target(settings) as target:
        first, one = Deployment(here.place, target, 1), here.release("one")
        await wire.cut()
        with pytest.raises(Unavailable):
            await first.do(c.DeployContainer, "deploy-container-web", f.ContainerDeployed, release=one)
        await wire.mend()
        await first.do(c.DeployContainer, "deploy-container-web", f.ContainerDeployed, release=one)


async def test_reconcile_when_the_engine_is_back(here: Site, wire: Wire) -> None:
    """What stopped while the engine was away runs again when it is back."""
    one = here.release("one")
    await deploy(here.deployment(), one)
    settings = here.machine.settings.model_copy(update={"docker_host": wire.address})
    async with local_target(settings) as target:
        running = asyncio.create_task(target.reconcile.run())
        try:
            await eventually(lambda: _follows(wire))
            await wire.cut()
            await here.target.engine.signal(here.target.workloads.container(here.place, one), "SIGKILL")
            await wire.mend()

            async def answers() -> bool:
                return await here.get_or_none() == (200, "one")

            await eventually(answers)
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.wait([running])


async def _follows(wire: Wire) -> bool:
    """Whether the deployer has settled down to follow the engine's events."""
    before = wire.connections
    await asyncio.sleep(0.5)
    return before > 0 and wire.connections == before
