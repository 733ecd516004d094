"""The embedded NATS server and its users."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client

from embedded.nats import ADMINISTRATOR, NatsServer, User, administrator, credentials, is_ready
from shared import topology
from tests.polling import eventually
from tests.stack import free_port


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[NatsServer]:
    """A running server with the users of the topology."""
    made = NatsServer(folder, free_port())
    made.write_configuration(users(folder))
    with subprocess.Popen(made.arguments(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        password = credentials(folder / "credentials.json", [])[ADMINISTRATOR]
        await eventually(lambda: is_ready(made.url, ADMINISTRATOR, password))
        yield made
        process.terminate()


def users(folder: Path) -> list[User]:
    """Everyone of the topology, and the administrator."""
    everyone = topology.users("local")
    passwords = credentials(folder / "credentials.json", [ADMINISTRATOR, *(user.name for user in everyone)])
    return [
        administrator(passwords[ADMINISTRATOR]),
        *(User(user.name, passwords[user.name], user.publish, user.subscribe) for user in everyone),
    ]


async def connect(server: NatsServer, name: str, errors: list[str]) -> Client:
    """As that user; what the server complains of is collected."""

    async def collect(error: Exception) -> None:
        errors.append(str(error).lower())

    password = credentials(server.folder / "credentials.json", [])[name]
    return await nats.connect(
        server.url, user=name, password=password, inbox_prefix=topology.inbox_of(name), error_cb=collect, allow_reconnect=False
    )


async def test_the_administrator_declares_the_streams(server: NatsServer) -> None:
    """The table of the topology can be declared, twice, with the user that is made for it."""
    client = await connect(server, ADMINISTRATOR, [])
    for _ in range(2):
        await topology.declare(client.jetstream(), "local")
    assert {str(info.config.name) for info in await client.jetstream().streams_info()} == {
        str(stream.name) for stream in topology.streams()
    }
    await client.close()


async def test_a_service_may_not_touch_what_is_not_its_own(server: NatsServer) -> None:
    """The builder can neither send commands, nor write events, nor read another's inbox."""
    errors: list[str] = []
    client = await connect(server, "builder", errors)
    await client.publish("slipway.cmd.local.deployer.effects.x.do.1", b"forged")
    await client.publish("slipway.evt.main.shop.production.image.built", b"forged")
    await client.subscribe("_INBOX_coordinator.>")
    await client.flush()

    async def all_refused() -> bool:
        return len([error for error in errors if "permissions violation" in error]) == 3

    await eventually(all_refused)
    await client.close()


async def test_a_wrong_password_is_refused(server: NatsServer) -> None:
    """Readiness as a user with another password is no readiness."""
    assert not await is_ready(server.url, ADMINISTRATOR, "wrong")


async def test_a_server_that_is_away_is_not_ready_within_the_limit() -> None:
    """The question for readiness never waits longer than it says, nor tries for ever."""
    async with asyncio.timeout(3):
        assert not await is_ready(f"nats://127.0.0.1:{free_port()}", ADMINISTRATOR, "x")


async def test_a_new_user_is_taken_without_a_restart(server: NatsServer) -> None:
    """After `reload` the running server knows a user that it did not know, and those that it knew stay connected."""
    errors: list[str] = []
    before = await connect(server, "builder", errors)
    outsider = User("outsider", "secret", ("$JS.API.INFO",), ("_INBOX.>",))
    assert not await is_ready(server.url, outsider.name, outsider.password)
    assert server.reload([*users(server.folder), outsider])
    await eventually(lambda: is_ready(server.url, outsider.name, outsider.password))
    assert not server.reload([*users(server.folder), outsider])
    await before.flush()
    await before.close()


def test_passwords_are_made_once_and_kept_private(folder: Path) -> None:
    """Names that are known keep their password, new ones get one, and only the owner reads the file."""
    file = folder / "credentials.json"
    first = credentials(file, ["a", "b"])
    second = credentials(file, ["a", "c"])
    assert second["a"] == first["a"]
    assert len(set(second.values())) == 3
    assert file.stat().st_mode & 0o777 == 0o600
