"""The embedded NATS server comes back without what it stored."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nats

from embedded.nats import ADMINISTRATOR, NatsServer, credentials, is_whole
from shared import topology
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
