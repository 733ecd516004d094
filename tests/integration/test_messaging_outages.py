"""What readers and workers do when the bus dies under them, or when they are told to stop."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import nats

from shared import topology
from shared.bus import Bus
from shared.consumer import Received, consume
from shared.contracts.answers import Answer, Outcome, answer
from shared.contracts.commands import Command, InspectSource, Source
from shared.contracts.facts import Fact, SourceInspected
from shared.contracts.logs import LogLines
from shared.contracts.manifest import Manifest
from shared.contracts.places import Place
from shared.outbox import Outbox
from shared.participant import Participant
from shared.postgres import database
from shared.relay import Relay
from shared.settings import ServiceSettings
from shared.work import Work
from tests.polling import eventually
from tests.stack import migrated, nats_server, service_settings

PLACE = Place(organization="main", project="todo", environment="production")
SOURCE = Source(connection="c", repository="r", clone_url="file:///r", ref="refs/heads/main", commit="0" * 40)


def inspect(deployment: str) -> InspectSource:
    """A command."""
    return InspectSource(deployment=deployment, step="inspect", place=PLACE, target="local", timeout_s=60, source=SOURCE)


async def declared(url: str) -> None:
    """Makes the streams."""
    admin = await nats.connect(url, user="admin", password="test")
    await topology.declare(admin.jetstream())
    await admin.close()


async def test_a_reader_goes_on_after_a_server_that_died_before_its_acknowledgement() -> None:
    """The acknowledgement is lost, the message comes again, and so do those after it."""
    with nats_server() as server:
        await declared(server.url)
        builder = await Bus.connect(service_settings(ServiceSettings, "builder", server.url), "builder")
        coordinator = await Bus.connect(service_settings(ServiceSettings, "coordinator", server.url), "coordinator")
        taken: list[str] = []

        async def handle(batch: Sequence[Received[Answer]]) -> None:
            if not taken:
                server.kill()
            taken.extend(str(item.message.deployment) for item in batch)

        def decode(_subject: str, _headers: dict[str, str], body: bytes) -> Answer:
            return Answer.decode(body)

        await builder.publish("slipway.res.local.builder.d1-inspect", answer(inspect("d1"), "builder", Outcome.ACCEPTED))
        reading = asyncio.create_task(consume(coordinator, "RESULTS", "coordinator-results", decode, handle))

        async def first() -> bool:
            return bool(taken)

        await eventually(first)
        server.start()

        async def connected() -> bool:
            return builder.connected

        await eventually(connected)
        await builder.publish("slipway.res.local.builder.d2-inspect", answer(inspect("d2"), "builder", Outcome.ACCEPTED))

        async def second() -> bool:
            assert not reading.done()
            return "d2" in taken

        await eventually(second, within=40)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        await coordinator.close()
        await builder.close()


async def test_a_worker_that_stops_gives_its_command_back(nats_url: str) -> None:
    """A restart is no failure of the step: nothing is answered, and the next worker does it."""
    settings = service_settings(ServiceSettings, "builder", nats_url)
    coordinator = await Bus.connect(service_settings(ServiceSettings, "coordinator", nats_url), "coordinator")
    started, goes_on = asyncio.Event(), False
    answers: list[Answer] = []

    async def handle(_command: Command, _work: Work) -> Fact:
        started.set()
        if not goes_on:
            await asyncio.Event().wait()
        return SourceInspected(manifest=Manifest(), trees={})

    async def keep(batch: Sequence[Received[Answer]]) -> None:
        answers.extend(item.message for item in batch)

    reading = asyncio.create_task(
        consume(coordinator, "RESULTS", "coordinator-results", lambda _subject, _headers, body: Answer.decode(body), keep)
    )
    await coordinator.publish("slipway.cmd.local.builder.effects.d1-inspect.do.1", inspect("d1"))
    for _ in range(2):
        bus = await Bus.connect(settings, "builder")
        working = asyncio.create_task(Participant("builder", settings, bus, {InspectSource: handle}).run())
        await asyncio.wait_for(started.wait(), 30)
        if goes_on:

            async def done() -> bool:
                return bool(answers) and answers[-1].outcome is Outcome.DONE

            await eventually(done)
        working.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(working, 10)
        await bus.close()
        goes_on = True
        started.clear()
    assert Outcome.FAILED not in [said.outcome for said in answers]
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    await coordinator.close()


async def test_an_answer_that_the_bus_does_not_take_is_a_failure(nats_url: str) -> None:
    """The step fails with what to do about it; its worker is free for the next command."""
    settings = service_settings(ServiceSettings, "builder", nats_url)
    coordinator = await Bus.connect(service_settings(ServiceSettings, "coordinator", nats_url), "coordinator")
    bus = await Bus.connect(settings, "builder")
    answers: list[Answer] = []

    async def handle(_command: Command, work: Work) -> Fact:
        for _ in range(200):
            work.log("\x1b" * 8000)
        return SourceInspected(manifest=Manifest(), trees={}, title="x" * 2 * 1024**2)

    async def keep(batch: Sequence[Received[Answer]]) -> None:
        answers.extend(item.message for item in batch)

    reading = asyncio.create_task(
        consume(coordinator, "RESULTS", "coordinator-results", lambda _subject, _headers, body: Answer.decode(body), keep)
    )
    working = asyncio.create_task(Participant("builder", settings, bus, {InspectSource: handle}).run())
    await coordinator.publish("slipway.cmd.local.builder.effects.d1-inspect.do.1", inspect("d1"))

    async def failed() -> bool:
        return bool(answers) and answers[-1].outcome is Outcome.FAILED

    await eventually(failed)
    assert answers[-1].failure is not None
    assert answers[-1].failure.code == "answer_too_large"
    admin = await nats.connect(nats_url, user="admin", password="test")
    said = await admin.jetstream().subscribe("slipway.log.>", ordered_consumer=True)
    heard = 0
    while heard < 200:
        message = await said.next_msg(timeout=30)
        heard += len(LogLines.decode(message.data).lines)
    await admin.close()
    for task in (working, reading):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await bus.close()
    await coordinator.close()


async def test_a_message_that_the_bus_does_not_take_keeps_no_other_from_being_sent(nats_url: str, postgres_dsn: str) -> None:
    """It is told to DEADLETTERS, without its body, and the relay goes on."""
    await migrated(postgres_dsn, "coordinator")
    coordinator = await Bus.connect(service_settings(ServiceSettings, "coordinator", nats_url), "coordinator")
    outbox = Outbox("coordinator")
    async with database(postgres_dsn, "coordinator") as pool:
        async with pool.acquire() as connection:
            large = inspect("d1").model_copy(update={"source": SOURCE.model_copy(update={"ref": "x" * 2 * 1024**2})})
            await outbox.add(connection, [large, inspect("d2")])
        relaying = asyncio.create_task(Relay(coordinator, postgres_dsn, "coordinator", outbox).run())

        async def sent() -> bool:
            return bool(await pool.fetchval("SELECT bool_and(sent_at IS NOT NULL) FROM outbox"))

        await eventually(sent)
        relaying.cancel()
        with suppress(asyncio.CancelledError):
            await relaying
    admin = await nats.connect(nats_url, user="admin", password="test")
    js = admin.jetstream()
    letter = await js.get_last_msg("DEADLETTERS", "slipway.dead.coordinator")
    assert (letter.headers or {})["slipway-subject"] == "slipway.cmd.local.builder.effects.d1-inspect.do.1"
    assert (await js.stream_info("COMMANDS")).state.messages == 1
    await admin.close()
    await coordinator.close()
