"""The embedded NATS server comes back without what it stored, or has stopped storing."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nats
import pytest
from nats.js import JetStreamContext

from embedded.nats import ADMINISTRATOR, NatsServer, credentials, is_whole
from shared import topology
from shared.bus import UNAVAILABLE
from tests.integration.embedded.test_nats import users
from tests.polling import eventually
from tests.stack import free_port


@contextmanager
def running(server: NatsServer) -> Iterator[None]:
    """Its process."""
    with subprocess.Popen(server.arguments(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


async def test_streams_and_consumers_are_made_again(folder: Path) -> None:
    """A server without its streams is not ready; whoever asks for its readiness makes them, and then it is."""
    server = NatsServer(folder, free_port())
    server.write_configuration(users(folder))
    password = credentials(folder / "credentials.json", [])[ADMINISTRATOR]
    for _ in range(2):
        with running(server):
            await eventually(lambda: is_whole(server.url, ADMINISTRATOR, password, "local"))
            client = await nats.connect(server.url, user=ADMINISTRATOR, password=password)
            names = {str(info.config.name) for info in await client.jetstream().streams_info()}
            consumers = {info.name for info in await client.jetstream().consumers_info("COMMANDS")}
            await client.close()
        assert names == {str(stream.name) for stream in topology.streams()}
        assert consumers == {durable.name for durable in topology.durables() if durable.stream == "COMMANDS"}
        shutil.rmtree(folder / "jetstream")


@pytest.fixture
def disk(folder: Path) -> Iterator[Path]:
    """A disk of 32 MB of its own."""
    place = folder / "disk"
    place.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)), check=True)
    yield place
    subprocess.run(("umount", str(place)), check=True)


async def stores(js: JetStreamContext, size: int) -> bool:
    """Whether a message is stored."""
    try:
        await js.publish("slipway.log.local.d.build", b"x" * size, timeout=1)
    except UNAVAILABLE:
        return False
    return True


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk")
async def test_it_says_that_it_gave_up_writing_once_there_is_room_again(disk: Path) -> None:
    """A full disk stops a stream for good, and room alone does not bring it back; a new start does."""
    server = NatsServer(disk, free_port(), free_port())
    server.write_configuration(users(disk))
    password = credentials(disk / "credentials.json", [])[ADMINISTRATOR]
    with running(server):
        await eventually(lambda: is_whole(server.url, ADMINISTRATOR, password, "local"))
        client = await nats.connect(server.url, user=ADMINISTRATOR, password=password)
        assert await stores(client.jetstream(), 1)
        assert not server.gave_up_writing()
        (disk / "ballast").write_bytes(b"x" * (shutil.disk_usage(disk).free - 8192))
        while await stores(client.jetstream(), 3000):
            pass
        assert not server.gave_up_writing(), "a new start would not help while the disk is full"
        (disk / "ballast").unlink()
        assert not await stores(client.jetstream(), 1)
        await eventually(lambda: asyncio.sleep(0, server.gave_up_writing()))
        await client.close()
    with running(server):
        await eventually(lambda: is_whole(server.url, ADMINISTRATOR, password, "local"))
        client = await nats.connect(server.url, user=ADMINISTRATOR, password=password)
        assert not server.gave_up_writing()
        assert await stores(client.jetstream(), 1)
        await client.close()
