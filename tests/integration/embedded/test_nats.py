"""The embedded NATS server and its users."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client

from embedded.nats import ADMINISTRATOR, NatsServer, User, administrator, credentials, is_ready
from shared import topology
from shared.contracts.events import fact_name_parts
from shared.contracts.facts import FACTS
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


_CREATE = '{"stream_name": "EVENTS", "config": {"name": "%s", "durable_name": "%s", "filter_subject": "slipway.evt.>"}}'
_FORBIDDEN = (
    ("webhooks", "slipway.evt.main.shop.production.deployment.succeeded", ""),
    ("webhooks", "$JS.API.CONSUMER.CREATE.EVENTS.api-events", _CREATE % ("api-events", "api-events")),
    ("webhooks", "$JS.API.CONSUMER.CREATE.EVENTS.mine.slipway.evt.>", _CREATE % ("mine", "mine")),
    ("webhooks", "$JS.API.CONSUMER.CREATE.EVENTS", _CREATE % ("mine", "mine")),
    ("webhooks", "$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.mine", _CREATE % ("mine", "mine")),
    ("webhooks", "$JS.API.CONSUMER.DELETE.EVENTS.api-events", ""),
    ("webhooks", "$JS.API.CONSUMER.INFO.EVENTS.api-events", ""),
    ("webhooks", "$JS.API.CONSUMER.MSG.NEXT.EVENTS.notifier-events", "1"),
    ("webhooks", "$JS.ACK.EVENTS.api-events.1.1.1.1.0", "+TERM"),
    ("webhooks", "$JS.ACK.LOGS.api-logs.1.1.1.1.0", "+TERM"),
    ("webhooks", "$JS.API.DIRECT.GET.DEADLETTERS", '{"seq": 1}'),
    ("api", "$JS.API.CONSUMER.CREATE.EVENTS.mine.slipway.evt.>", _CREATE % ("mine", "mine")),
    ("api", "$JS.API.CONSUMER.DELETE.EVENTS.notifier-events", ""),
    ("api", "$JS.ACK.EVENTS.notifier-events.1.1.1.1.0", "+TERM"),
    ("api", "slipway.evt.main.shop.production.deployment.succeeded", ""),
    ("api", "slipway.evt.main.shop.production.notification.attempted", ""),
    ("notifier", "slipway.evt.main._._.catalogue.changed", ""),
    ("notifier", "slipway.evt.main.shop.production.image.built", ""),
    ("coordinator", "slipway.evt.main._._.catalogue.changed", ""),
    ("auth", "slipway.evt.main.shop.production.deployment.authorized", ""),
)


@pytest.mark.parametrize(("name", "subject", "body"), _FORBIDDEN, ids=[f"{name} {subject}" for name, subject, _ in _FORBIDDEN])
async def test_what_the_server_refuses(server: NatsServer, name: str, subject: str, body: str) -> None:
    """No service touches another's consumers, makes one of its own, or tells another's events."""
    administers = await connect(server, ADMINISTRATOR, [])
    await topology.declare(administers.jetstream(), "local")
    before = [info.config for info in await administers.jetstream().consumers_info("EVENTS")]
    errors: list[str] = []
    client = await connect(server, name, errors)
    await client.publish(subject, body.encode(), reply=f"{topology.inbox_of(name)}.x")
    await client.flush()

    async def refused() -> bool:
        return any("permissions violation for publish" in error and subject.lower() in error for error in errors)

    await eventually(refused)
    assert [info.config for info in await administers.jetstream().consumers_info("EVENTS")] == before
    assert (await administers.jetstream().stream_info("EVENTS")).state.messages == 0
    await client.close()
    await administers.close()


@pytest.mark.parametrize(
    ("name", "event"),
    [("coordinator", "deployment.succeeded"), ("coordinator", "change.taken"), ("coordinator", "nothing.to_undo"),
     ("api", "catalogue.changed"), ("api", "message.given_up"), ("notifier", "notification.attempted")],
)  # fmt: skip
async def test_each_service_tells_its_own_events(server: NatsServer, name: str, event: str) -> None:
    """Durably, so that everybody who follows has them."""
    administers = await connect(server, ADMINISTRATOR, [])
    await topology.declare(administers.jetstream(), "local")
    client = await connect(server, name, [])
    stored = await client.jetstream().publish(f"slipway.evt.main._._.{event}", b"{}", timeout=30)
    assert stored.seq == 1
    await client.close()
    await administers.close()


def test_every_event_has_one_teller() -> None:
    """A noun that no service may tell would be an event that is never published."""
    told = [noun for user in topology.users() for noun in topology.events_of(user.name)]
    assert sorted(told) == sorted({fact_name_parts(name).partition(".")[0] for name in FACTS})


async def test_webhooks_reads_events_and_logs_without_a_consumer(server: NatsServer) -> None:
    """What a pusher is told comes from the streams by direct get; word of it by core NATS."""
    administers = await connect(server, ADMINISTRATOR, [])
    await topology.declare(administers.jetstream(), "local")
    client = await connect(server, "webhooks", [])
    news = await client.subscribe("slipway.evt.main.shop.>")
    await client.flush()
    await administers.jetstream().publish("slipway.log.local.d1.build-web", b"{}", timeout=30)

    async def heard() -> bool:
        await administers.jetstream().publish("slipway.evt.main.shop.production.image.built", b"{}", timeout=30)
        try:
            return (await news.next_msg(5)).data == b"{}"
        except nats.errors.TimeoutError:  # core NATS promises nothing
            return False

    await eventually(heard, within=60)
    for stream, subject in (("EVENTS", "slipway.evt.main.shop.>"), ("LOGS", "slipway.log.*.d1.*")):
        asked = json.dumps({"seq": 1, "next_by_subj": subject}).encode()
        found = await client.request(f"$JS.API.DIRECT.GET.{stream}", asked, timeout=30)
        assert (found.headers or {})["Nats-Sequence"] == "1"
    await client.close()
    await administers.close()


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
