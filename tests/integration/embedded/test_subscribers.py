"""Subscribers on the embedded NATS server: let in, resuming, cut off. The client is nats-py, as a tool would use it."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import bcrypt
import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.errors import FetchTimeoutError

from embedded import servers
from embedded.home import Home, write_private
from embedded.settings import Settings
from shared.bus import open_client
from shared.subscribers import Subscriber, Subscribers
from shared.topology import declare, inbox_of
from tests.polling import eventually
from tests.stack import free_port

PASSWORD = "the-tool's-own"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


@dataclass
class Bus:
    """The bus as the supervisor has it, and the file of subscribers."""

    home: Home
    bus: servers.Bus
    monitor_port: int
    process: "subprocess.Popen[bytes] | None" = None

    async def start(self) -> None:
        """Starts the server; returns when it is whole."""
        assert self.bus.child is not None
        from embedded.nats import NatsServer

        self.process = subprocess.Popen(NatsServer(self.home.nats, 0).arguments(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.bus.child.pid = self.process.pid
        await eventually(self.bus.child.probe)

    def stop(self) -> None:
        """As a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    async def known(self, *subscribers: Subscriber) -> None:
        """The file says so, the supervisor has seen it, and the server, which it does not wait for, has read its table.

        While it reads, the server cuts off who is about to log in, whoever it is: nobody connects before.
        """
        write_private(self.home.subscribers, Subscribers(subscribers=subscribers).model_dump_json())
        assert self.bus.admission.due(0)
        await eventually(self.bus.admission.settle, within=30)
        written = (self.home.nats / "nats.conf").stat().st_mtime
        await eventually(lambda: asyncio.sleep(0, self._read_at() > written), within=30)

    def _read_at(self) -> float:
        """When the server had read its configuration (https://docs.nats.io/running-a-nats-service/nats_admin/monitoring#general-information)."""
        with urlopen(f"http://127.0.0.1:{self.monitor_port}/varz", timeout=10) as answer:
            return datetime.fromisoformat(json.load(answer)["config_load_time"]).timestamp()

    async def admin(self) -> Client:
        """The administrator."""
        return await nats.connect(self.bus.url, user="admin", password=self.bus.passwords["admin"])

    async def publish(self, *numbers: int, subject: str = "slipway.evt.main.todo._.image.built") -> None:
        """Events."""
        client = await self.admin()
        for number in numbers:
            await client.jetstream().publish(subject, str(number).encode())
        await client.close()


@pytest.fixture
async def bus(folder: Path) -> AsyncIterator[Bus]:
    """A running one, with every stream."""
    home = Home.at(folder / "home")
    home.prepare()
    settings = Settings(home=home.path, nats_port=free_port())
    monitor_port = free_port()
    made = Bus(home, servers.bus(settings, home, monitor_port), monitor_port)
    await made.start()
    yield made
    made.stop()


def subscriber(*subjects: str, identity: str = "one", start: datetime | None = None) -> Subscriber:
    """Reads everything of the organization unless told otherwise."""
    return Subscriber(
        organization="main", name="tool", id=identity, subjects=subjects or ("slipway.evt.main.>",), password_hash=HASH, start=start
    )


async def connect(bus: Bus, errors: list[str] | None = None) -> Client:
    """As the tool."""

    async def collect(error: Exception) -> None:
        if errors is not None:
            errors.append(str(error).lower())

    client = Client()
    await open_client(
        client,
        bus.bus.url,
        user="sub_main_tool",
        password=PASSWORD,
        inbox_prefix=inbox_of("sub_main_tool"),
        allow_reconnect=False,
        error_cb=collect,
    )
    return client


async def read(client: Client, most: int = 10, stream: str = "EVENTS") -> list[int]:
    """What waits for it, acknowledged."""
    subscription = await client.jetstream().pull_subscribe_bind("sub_main_tool", stream)
    found: list[int] = []
    try:
        while len(found) < most:
            (message,) = await subscription.fetch(1, timeout=1)
            await message.ack_sync()
            found.append(int(message.data))
    except (FetchTimeoutError, nats.errors.TimeoutError):
        pass
    return found


async def test_a_subscriber_that_was_away_goes_on_where_it_was(bus: Bus) -> None:
    """Also when the server was killed meanwhile: nothing is lost, and what comes again is what it acknowledged last."""
    await bus.known(subscriber())
    await bus.publish(1, 2, 3)
    client = await connect(bus)
    assert await read(client, most=2) == [1, 2]
    await client.close()
    await bus.publish(4)
    bus.stop()
    await bus.start()
    client = await connect(bus)
    again = await read(client)
    assert again[-2:] == [3, 4]
    assert again[:-2] in ([], [2], [1, 2])
    await client.close()


async def test_only_what_its_filter_names_is_read(bus: Bus) -> None:
    """Another project's events, and another organization's, do not come."""
    await bus.known(subscriber("slipway.evt.main.todo.>"))
    await bus.publish(1)
    await bus.publish(2, subject="slipway.evt.main.blog._.image.built")
    await bus.publish(3, subject="slipway.evt.other.todo._.image.built")
    client = await connect(bus)
    assert await read(client) == [1]
    await client.close()


async def test_it_begins_where_it_was_asked_to(bus: Bus) -> None:
    """At the start of the stream, or at a time."""
    await bus.publish(1, 2)
    admin = await bus.admin()
    second = (await admin.jetstream().get_msg("EVENTS", 2)).time
    await admin.close()
    assert second is not None
    await bus.known(subscriber(identity="from the start"))
    client = await connect(bus)
    assert await read(client) == [1, 2]
    await client.close()
    await bus.known(subscriber(identity="since", start=second))
    client = await connect(bus)
    assert await read(client) == [2]
    await client.close()


async def test_a_removed_subscriber_is_cut_off_at_once(bus: Bus) -> None:
    """Its open connection is closed, it cannot come back, and its consumer is gone."""
    await bus.known(subscriber())
    client = await connect(bus)
    assert await read(client) == []
    await bus.known()
    await eventually(lambda: asyncio.sleep(0, client.is_closed), within=30)
    with pytest.raises(nats.errors.Error):
        await connect(bus)
    admin = await bus.admin()
    assert "sub_main_tool" not in {info.name for info in await admin.jetstream().consumers_info("EVENTS")}
    await admin.close()


async def test_services_stay_connected_while_subscribers_come_and_go(bus: Bus) -> None:
    """The server reads its table anew and closes nobody whose rights are what they were."""
    closed = []

    async def note() -> None:
        closed.append(1)

    client = await nats.connect(bus.bus.url, user="coordinator", password=bus.bus.passwords["coordinator"], disconnected_cb=note)
    await bus.known(subscriber())
    await bus.known()
    with pytest.raises(nats.errors.Error):
        await connect(bus)
    await client.flush()
    assert not closed
    await client.close()


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.API.CONSUMER.CREATE.EVENTS.mine", "$JS.API.CONSUMER.CREATE.EVENTS.mine.slipway.evt.>", "$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.mine",
        "$JS.API.CONSUMER.MSG.NEXT.EVENTS.api-events", "$JS.API.CONSUMER.INFO.EVENTS.api-events", "$JS.API.CONSUMER.DELETE.EVENTS.sub_main_tool",
        "$JS.ACK.EVENTS.api-events.1.1.1.1.0", "$JS.API.STREAM.INFO.EVENTS", "$JS.API.STREAM.MSG.GET.EVENTS", "$JS.API.DIRECT.GET.EVENTS",
        "$JS.API.CONSUMER.LIST.EVENTS", "$JS.API.INFO", "slipway.evt.main.todo._.image.built", "cdevents.main.todo.build.started", "_INBOX_api.x",
    ],
)  # fmt: skip
async def test_it_may_do_nothing_else(bus: Bus, subject: str) -> None:
    """The server refuses whatever is not its consumer."""
    await bus.known(subscriber())
    errors: list[str] = []
    client = await connect(bus, errors)
    await client.publish(subject, b"{}", reply="_INBOX_sub_main_tool.x")
    await client.flush()
    await eventually(lambda: asyncio.sleep(0, any("permissions violation for publish" in error for error in errors)))
    await client.close()


async def test_it_hears_nothing_but_its_own_inbox(bus: Bus) -> None:
    """Events as they fly by on core NATS are as little its own as others' answers."""
    await bus.known(subscriber())
    errors: list[str] = []
    client = await connect(bus, errors)
    for subject in ("slipway.evt.main.>", ">", "_INBOX_coordinator.>", "$JS.EVENT.>"):
        await client.subscribe(subject)
    await client.flush()
    await eventually(lambda: asyncio.sleep(0, len([error for error in errors if "permissions violation for subscription" in error]) == 4))
    await client.close()


async def test_a_lost_stream_comes_back_with_its_consumer(bus: Bus) -> None:
    """The server comes back without what it stored: the consumer begins at the time that is noted, so nothing that is sent again is missed."""
    await bus.known(subscriber())
    await bus.publish(1)
    client = await connect(bus)
    assert await read(client) == [1]
    await client.close()
    bus.stop()
    shutil.rmtree(bus.home.nats / "jetstream")
    await bus.start()
    noted = datetime.now(UTC) - timedelta(minutes=1)
    await bus.known(subscriber(start=noted))
    await bus.publish(1, 2)
    client = await connect(bus)
    assert await read(client) == [1, 2]
    await client.close()


async def test_lost_durables_of_services_are_noticed_beside_those_of_subscribers(bus: Bus) -> None:
    """The number of consumers is what tells: subscribers' own do not make up for one that is missing."""
    await bus.known(subscriber())
    admin = await bus.admin()
    await admin.jetstream().delete_consumer("EVENTS", "notifier-events")
    assert bus.bus.child is not None
    await eventually(bus.bus.child.probe)
    assert "notifier-events" in {info.name for info in await admin.jetstream().consumers_info("EVENTS")}
    await declare(admin.jetstream())
    assert "sub_main_tool" in {info.name for info in await admin.jetstream().consumers_info("EVENTS")}
    await admin.close()


async def test_a_file_that_was_forged_opens_nothing(bus: Bus) -> None:
    """Who writes the file cannot give more than events of one organization: it is refused as a whole, and those let in before stay."""
    await bus.known(subscriber())
    good = bus.home.subscribers.read_text()
    write_private(bus.home.subscribers, good.replace("slipway.evt.main.>", "slipway.>"))
    assert not await bus.bus.admission.settle()
    client = await connect(bus)
    await bus.publish(1)
    assert await read(client) == [1]
    await client.close()
