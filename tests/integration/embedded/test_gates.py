"""A gate's user on the embedded NATS server: it reads what it is asked, answers on its own subject, and may do nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator

import bcrypt
import nats.js.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from shared.bus import open_client
from shared.subscribers import Subscriber, Subscribers, asked_on
from shared.topology import inbox_of
from tests.integration.embedded.test_subscribers import HASH, PASSWORD, Bus, bus
from tests.polling import eventually

__all__ = ["bus"]
ASKED = "slipway.evt.main.todo.production.gate.requested"


@pytest.fixture
async def tool(bus: Bus) -> AsyncIterator[tuple[Client, list[str]]]:
    """The tool of the gate `scanner`, and what the server refuses it."""
    scanner = Subscriber(
        organization="main", name="scanner", id="1", subjects=(asked_on("main", "scanner"),), password_hash=HASH, gate=True
    )
    await bus.known(scanner)
    errors: list[str] = []

    async def collect(error: Exception) -> None:
        errors.append(str(error).lower())

    client = Client()
    who = {"user": scanner.user, "password": PASSWORD, "inbox_prefix": scanner.inbox}
    await open_client(client, bus.bus.url, **who, allow_reconnect=False, error_cb=collect)
    yield client, errors
    await client.close()


async def test_it_reads_its_own_questions_of_every_environment(bus: Bus, tool: tuple[Client, list[str]]) -> None:
    """Those for another gate, and other events, do not come."""
    await bus.publish(1, subject=f"{ASKED}.ticket")
    await bus.publish(2, subject=f"{ASKED}.scanner")
    await bus.publish(3, subject="slipway.evt.main.todo.production.image.built")
    await bus.publish(4, subject="slipway.evt.main.shop.staging.gate.requested.scanner")
    await bus.publish(5, subject="slipway.evt.other.todo.production.gate.requested.scanner")
    reader = await tool[0].jetstream().pull_subscribe_bind("gate_main_scanner", "EVENTS")
    assert [int(message.data) for message in await reader.fetch(10, timeout=1)] == [2, 4]


async def test_it_answers_on_its_own_subject_and_hears_the_reply(bus: Bus, tool: tuple[Client, list[str]]) -> None:
    """Api may hear it and reply there: with the rights that the bus gives each."""
    api = Client()
    await open_client(api, bus.bus.url, user="api", password=bus.bus.passwords["api"], inbox_prefix=inbox_of("api"))

    async def reply(message: Msg) -> None:
        await api.publish(message.reply, json.dumps({"heard": message.subject}).encode())

    await api.subscribe("slipway.gate.*.*", queue="api", cb=reply)

    async def asked() -> Msg | None:
        try:
            return await tool[0].request("slipway.gate.main.scanner", b"{}", timeout=10)
        except NoRespondersError:  # the subscription is still on its way; a flush says nothing of it: nats-py's PING overtakes it
            return None

    heard = await eventually(asked)
    assert heard is not None
    assert json.loads(heard.data) == {"heard": "slipway.gate.main.scanner"}
    await api.close()
    assert tool[1] == []


@pytest.mark.parametrize(
    "subject",
    [
        "slipway.gate.main.ticket", "slipway.gate.other.scanner", "slipway.req.main.answer", f"{ASKED}.scanner",
        "slipway.evt.main.todo.production.gate.passed.scanner", "_INBOX_gate.main_ticket.x", "$JS.API.CONSUMER.INFO.EVENTS.gate_main_ticket",
        "$JS.API.STREAM.MSG.GET.EVENTS", "$JS.API.CONSUMER.CREATE.EVENTS", "$JS.API.CONSUMER.DELETE.EVENTS.gate_main_scanner",
    ],
)  # fmt: skip
async def test_it_may_write_nowhere_else(tool: tuple[Client, list[str]], subject: str) -> None:
    """Neither another gate's answer, nor a request, nor an event."""
    client, errors = tool
    await client.publish(subject, b"{}")
    await client.flush()

    async def refused() -> bool:
        return any("permissions violation" in error for error in errors)

    await eventually(refused)


@pytest.mark.parametrize("subject", ["slipway.gate.>", "slipway.evt.>", "_INBOX_gate.>", "_INBOX_gate.main_ticket.>", ">"])
async def test_it_may_hear_nothing_else(tool: tuple[Client, list[str]], subject: str) -> None:
    """Neither others' answers nor others' replies."""
    client, errors = tool
    await client.subscribe(subject)
    await client.flush()

    async def refused() -> bool:
        return any("permissions violation" in error for error in errors)

    await eventually(refused)


async def test_with_another_password_who_came_with_the_former_is_cut_off(bus: Bus, tool: tuple[Client, list[str]]) -> None:
    """And what it had not read is there for the new one: the consumer is the same."""
    await bus.publish(1, subject=f"{ASKED}.scanner")
    renewed = bcrypt.hashpw(b"another", bcrypt.gensalt(4)).decode()
    (former,) = Subscribers.model_validate_json(bus.home.subscribers.read_bytes()).subscribers
    changed = former.model_copy(update={"password_hash": renewed})
    await bus.known(changed)

    async def closed() -> bool:
        await asyncio.sleep(0)
        return tool[0].is_closed

    await eventually(closed, within=20)
    client = Client()
    await open_client(client, bus.bus.url, user=former.user, password="another", inbox_prefix=former.inbox)
    reader = await client.jetstream().pull_subscribe_bind("gate_main_scanner", "EVENTS")
    assert [message.data for message in await reader.fetch(1, timeout=5)] == [b"1"]
    await client.close()


async def test_removed_it_is_cut_off_at_once(bus: Bus, tool: tuple[Client, list[str]]) -> None:
    """Its connection is closed, its consumer is gone."""
    await bus.known()

    async def closed() -> bool:
        await asyncio.sleep(0)
        return tool[0].is_closed

    await eventually(closed, within=20)
    admin = await bus.admin()
    with pytest.raises(nats.js.errors.NotFoundError):
        await admin.jetstream().consumer_info("EVENTS", "gate_main_scanner")
    await admin.close()
