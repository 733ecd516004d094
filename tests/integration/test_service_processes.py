"""What every service process does when its infrastructure hangs, is closed for good, or is away for a while; and beside newer replicas."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import httpx
import nats
import pytest
from nats.errors import FlushTimeoutError
from nats.js.client import JetStreamContext
from prometheus_client import REGISTRY
from pydantic import SecretStr
from structlog.testing import capture_logs

from services.coordinator.app import decode_answer
from shared import bus as bus_module
from shared import consumer, participant, topology
from shared.authorities import nobody
from shared.bus import Bus, ConnectionLost
from shared.consumer import Received, consume
from shared.contracts.answers import Answer, Outcome, answer
from shared.contracts.commands import Command, InspectSource
from shared.contracts.facts import Fact, SourceInspected
from shared.contracts.manifest import Manifest
from shared.participant import Participant
from shared.process import started
from shared.settings import ServiceSettings, StatefulSettings
from shared.work import Work
from tests.integration.test_messaging_outages import declared, inspect
from tests.polling import eventually
from tests.stack import NatsServer, free_port, nats_server, service_settings


@pytest.fixture
async def server() -> AsyncIterator[NatsServer]:
    """A NATS of the test's own, which may be stopped."""
    with nats_server() as running:
        await declared(running.url)
        yield running


@asynccontextmanager
async def running(task: "asyncio.Task[None]") -> AsyncIterator[None]:
    """Ends the task at the end."""
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_readiness_is_a_round_trip(server: NatsServer, postgres_dsn: str) -> None:
    """A bus or a database that accepts connections and answers nothing is not ready, told within the probe's time; and is again."""
    port = free_port()
    dsn = SecretStr(postgres_dsn)
    settings = service_settings(StatefulSettings, "coordinator", server.url, health_port=port, postgres_dsn=dsn)

    async def checks() -> dict[str, str]:
        async with httpx.AsyncClient(timeout=30, verify=nobody()) as client:
            answer = await client.get(f"http://127.0.0.1:{port}/readyz")
        found: dict[str, str] = answer.json()["checks"]
        assert (answer.status_code == 200) == (set(found.values()) == {"ok"})
        return found

    async with started("coordinator", settings) as process:
        pool = await process.database(settings, "coordinator")
        ending = asyncio.create_task(process.until_stopped())

        async def good() -> bool:
            return set((await checks()).values()) == {"ok"}

        await eventually(good)
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        found = await checks()
        assert found["bus"] != "ok"
        assert found["database"] == "ok"
        server.process.send_signal(signal.SIGCONT)
        await eventually(good)
        backends = [row["pid"] for row in await pool.fetch("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")]
        for backend in backends:
            os.kill(backend, signal.SIGSTOP)
        assert (await checks())["database"] != "ok"
        for backend in backends:
            os.kill(backend, signal.SIGCONT)
        await eventually(good)
        process.stop()
        await ending


async def test_a_bus_that_answers_late_is_heard_again_at_once(server: NatsServer) -> None:
    """Nobody waits any more for its word about acknowledgements, which comes all the same: the connection must not go deaf of it."""
    bus = await Bus.connect(service_settings(ServiceSettings, "coordinator", server.url), "coordinator")
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)

    async def silent() -> bool:
        with suppress(FlushTimeoutError):
            await bus.nc.flush(timeout=1)
            return False
        return True

    try:
        await eventually(silent)
        server.process.send_signal(signal.SIGCONT)

        async def heard() -> bool:
            with suppress(*bus_module.UNAVAILABLE):
                await bus.nc.request("$JS.API.INFO", b"", timeout=1)
                return True
            return False

        await eventually(heard, within=15)
    finally:
        await bus.close()


async def test_a_connection_that_is_closed_for_good_ends_the_process(server: NatsServer) -> None:
    """It fails, and its supervisor starts another."""

    async def service() -> None:
        async with started("builder", service_settings(ServiceSettings, "builder", server.url)) as process:
            await process.bus.nc.close()
            await process.until_stopped()

    with pytest.raises(ConnectionLost):
        await asyncio.wait_for(service(), 5)


async def test_a_worker_whose_own_connection_is_closed_for_good_ends(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands come on a connection of their own: the process must not live on without it."""
    settings = service_settings(ServiceSettings, "builder", server.url)
    bus = await Bus.connect(settings, "builder")
    made = Participant("builder", settings, bus, {InspectSource: never})
    clients = []
    connect = JetStreamContext.pull_subscribe_bind

    async def remembered(self: JetStreamContext, *args: object, **kwargs: object) -> object:
        bound = await connect(self, *args, **kwargs)  # type: ignore[arg-type]
        clients.append(self._nc)
        return bound

    monkeypatch.setattr(JetStreamContext, "pull_subscribe_bind", remembered)
    working = asyncio.create_task(made.run())

    async def subscribed() -> bool:
        return bool(clients)

    await eventually(subscribed)
    await clients[0].close()
    with pytest.raises(ConnectionLost):
        await asyncio.wait_for(working, 30)
    await bus.close()


async def test_a_worker_whose_own_connection_is_away_is_not_ready(server: NatsServer, nats_url: str) -> None:
    """Nothing brings commands meanwhile, whatever the connection beside it says; it is ready again once they can come."""
    bus = await Bus.connect(service_settings(ServiceSettings, "builder", nats_url), "builder")
    made = Participant("builder", service_settings(ServiceSettings, "builder", server.url), bus, {InspectSource: never})

    async def ready() -> bool:
        with suppress(RuntimeError):
            await bus.ready()
            return bool(bus.beside)
        return False

    async def not_ready() -> bool:
        return not await ready()

    async with running(asyncio.create_task(made.run())):
        await eventually(ready)
        server.kill()
        await eventually(not_ready, within=10)
        server.start()
        await eventually(ready)
    await bus.ready()
    await bus.close()


async def never(_command: Command, _work: Work) -> Fact:
    """Works until it is told to stop."""
    await asyncio.Event().wait()
    raise AssertionError


async def test_fetching_pauses_while_infrastructure_fails(nats_url: str) -> None:
    """What cannot be handled for want of the database is tried until it can be, counts as no failed attempt, and is no dead letter."""
    builder = await Bus.connect(service_settings(ServiceSettings, "builder", nats_url), "builder")
    coordinator = await Bus.connect(service_settings(ServiceSettings, "coordinator", nats_url), "coordinator")
    away, tries, taken = True, 0, list[int]()

    async def handle(batch: Sequence[Received[Answer]]) -> None:
        nonlocal tries
        tries += 1
        if away:
            raise ConnectionRefusedError("the database is away")
        taken.extend(item.tries for item in batch)

    reading = asyncio.create_task(
        consume(coordinator, "RESULTS", "coordinator-results", lambda _subject, _headers, body: Answer.decode(body), handle)
    )
    async with running(reading):
        with capture_logs() as lines:
            await builder.publish("slipway.res.local.builder.d1-inspect", answer(inspect("d1"), "builder", Outcome.ACCEPTED))

            async def tried_often() -> bool:
                return tries > consumer.TRIES

            await eventually(tried_often, within=40)
        away = False

        async def done() -> bool:
            return taken == [1]

        await eventually(done, within=40)
    assert {line["event"] for line in lines} == {"fetching paused"}
    await builder.close()
    await coordinator.close()


async def test_fields_of_a_newer_writer_are_read_over(nats_url: str) -> None:
    """A command and its answer with fields, at any depth, that this version does not know: the step is done as ever."""
    settings = service_settings(ServiceSettings, "builder", nats_url)
    bus = await Bus.connect(settings, "builder")
    coordinator = await Bus.connect(service_settings(ServiceSettings, "coordinator", nats_url), "coordinator")
    answers: list[Answer] = []

    async def inspected(_command: Command, _work: Work) -> Fact:
        return SourceInspected(manifest=Manifest(), trees={})

    async def keep(batch: Sequence[Received[Answer]]) -> None:
        answers.extend(item.message for item in batch)

    def decode(_subject: str, _headers: dict[str, str], body: bytes) -> Answer:
        return Answer.decode(json.dumps(json.loads(body) | {"mood": "good", "failure": None}))

    command = inspect("d1")
    body = json.loads(command.encode())
    body |= {"priority": {"level": 3}, "place": body["place"] | {"region": "eu"}, "source": body["source"] | {"depth": 1}}
    working = asyncio.create_task(Participant("builder", settings, bus, {InspectSource: inspected}).run())
    reading = asyncio.create_task(consume(coordinator, "RESULTS", "coordinator-results", decode, keep))
    async with running(working), running(reading):
        headers = command.headers("coordinator") | {"ce-sampledrate": "1"}
        await coordinator.publish_raw("slipway.cmd.local.builder.effects.d1-inspect.do.1", json.dumps(body).encode(), headers)

        async def done() -> bool:
            return [said.outcome for said in answers] == [Outcome.DONE]

        await eventually(done)
    await bus.close()
    await coordinator.close()


async def test_a_message_of_a_newer_version_goes_to_a_newer_replica(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one cannot read it, and leaves it alone; each time it comes again is counted and has a line; nobody gives it up."""
    monkeypatch.setattr(consumer, "UNKNOWN_DELAY_S", 0.05)
    monkeypatch.setattr(consumer, "UNKNOWN_TRIES", 1000)
    monkeypatch.setattr(consumer, "DEADLY", 1000)
    settings = service_settings(ServiceSettings, "coordinator", nats_url)
    buses = [await Bus.connect(settings, "coordinator") for _ in range(2)]
    builder = await Bus.connect(service_settings(ServiceSettings, "builder", nats_url), "builder")
    taken: list[str] = []

    def new(subject: str, headers: dict[str, str], body: bytes) -> Answer:
        second = headers["ce-type"] == "slipway.Answer.v2"
        return Answer.model_validate(json.loads(body)["answer"]) if second else decode_answer(subject, headers, body)

    async def keep(batch: Sequence[Received[Answer]]) -> None:
        taken.extend(str(item.message.deployment) for item in batch)

    deployments = [f"d{number}" for number in range(20)]
    before = redelivered()
    with capture_logs() as lines:
        async with running(asyncio.create_task(consume(buses[0], "RESULTS", "coordinator-results", decode_answer, keep))):
            for number, deployment in enumerate(deployments):
                said = answer(inspect(deployment), "builder", Outcome.ACCEPTED)
                headers, body = said.headers("builder"), said.encode()
                if number % 2:
                    headers, body = headers | {"ce-type": "slipway.Answer.v2"}, b'{"answer": %s}' % body
                await builder.publish_raw(f"slipway.res.local.builder.{deployment}-inspect", body, headers)

            async def old_ones() -> bool:
                return sorted(taken) == sorted(deployments[::2]) and redelivered() > before

            await eventually(old_ones)
            async with running(asyncio.create_task(consume(buses[1], "RESULTS", "coordinator-results", new, keep))):

                async def all_of_them() -> bool:
                    return sorted(taken) == sorted(deployments)

                await eventually(all_of_them, within=20)
    told = [line["event"] for line in lines]
    assert told.count("message came again") == redelivered() - before
    assert "dead letter" not in told
    for bus in (*buses, builder):
        await bus.close()


def redelivered() -> float:
    """How many messages came again to the reader of results."""
    return REGISTRY.get_sample_value("slipway_messages_redelivered_total", {"durable": "coordinator-results"}) or 0.0


async def test_a_command_that_no_replica_knows_ends_as_a_dead_letter(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left to others for a while, and then given up: counted, with a line, and kept."""
    monkeypatch.setattr(participant, "UNKNOWN_DELAY_S", 0.05)
    monkeypatch.setattr(participant, "UNKNOWN_TRIES", 3)
    settings = service_settings(ServiceSettings, "builder", nats_url)
    bus = await Bus.connect(settings, "builder")
    coordinator = await Bus.connect(service_settings(ServiceSettings, "coordinator", nats_url), "coordinator")
    dead = {"durable": "local-builder-effects"}
    before = REGISTRY.get_sample_value("slipway_dead_letters_total", dead) or 0.0
    with capture_logs() as lines:
        async with running(asyncio.create_task(Participant("builder", settings, bus, {InspectSource: never}).run())):
            command = inspect("d1")
            headers = command.headers("coordinator") | {"ce-type": "slipway.InspectSource.v2"}
            await coordinator.publish_raw("slipway.cmd.local.builder.effects.d1-inspect.do.1", command.encode(), headers)

            async def given_up() -> bool:
                return REGISTRY.get_sample_value("slipway_dead_letters_total", dead) == before + 1

            await eventually(given_up)
    told = [line["event"] for line in lines]
    assert told.count("left to a newer replica") == 2
    assert told.count("command came again") == 2
    assert told.count("dead letter") == 1
    await bus.close()
    await coordinator.close()


async def test_a_message_that_kills_its_reader_is_given_up_and_takes_no_other_with_it(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers die of it again and again: it is taken alone, so that those beside it are handled, and in the end it is a dead letter."""
    admin = await nats.connect(nats_url, user="admin", password="test")
    (results,) = [durable for durable in topology.durables() if durable.name == "coordinator-results"]
    await admin.jetstream().add_consumer("RESULTS", results.config(), ack_wait=0.3)
    settings = service_settings(ServiceSettings, "coordinator", nats_url)
    builder = await Bus.connect(service_settings(ServiceSettings, "builder", nats_url), "builder")
    taken: list[str] = []
    dies = asyncio.Event()

    async def handle(batch: Sequence[Received[Answer]]) -> None:
        if any(item.message.deployment == "poison" for item in batch):
            dies.set()
            await asyncio.Event().wait()
        taken.extend(str(item.message.deployment) for item in batch)

    def decode(_subject: str, _headers: dict[str, str], body: bytes) -> Answer:
        return Answer.decode(body)

    for deployment in ("d1", "poison", "d2"):
        await builder.publish(f"slipway.res.local.builder.{deployment}-inspect", answer(inspect(deployment), "builder", Outcome.ACCEPTED))
    deaths = 0
    letters = await admin.jetstream().pull_subscribe_bind("api-deadletters", "DEADLETTERS")
    while (await admin.jetstream().stream_info("DEADLETTERS")).state.messages == 0:
        bus = await Bus.connect(settings, "coordinator")
        dies.clear()
        async with running(asyncio.create_task(consume(bus, "RESULTS", "coordinator-results", decode, handle))):
            with suppress(TimeoutError):
                await asyncio.wait_for(dies.wait(), 1)
                deaths += 1
        await bus.close()
        assert deaths <= consumer.DEADLY
    (letter,) = await letters.fetch(1, timeout=30)
    assert (letter.headers or {})["slipway-error"] == "KillsItsReader"
    assert Answer.decode(letter.data).deployment == "poison"
    assert sorted(set(taken)) == ["d1", "d2"]
    await builder.close()
    await admin.close()


async def test_a_background_task_that_was_cancelled_ends_the_process(server: NatsServer) -> None:
    """By mistake, since the process goes on: nobody would do its work any more."""

    async def work() -> None:
        raise asyncio.CancelledError

    async with started("coordinator", service_settings(ServiceSettings, "coordinator", server.url)) as process:
        process.spawn("timers", work())
        with pytest.raises(RuntimeError, match="timers ended"):
            await asyncio.wait_for(process.until_stopped(), 10)
