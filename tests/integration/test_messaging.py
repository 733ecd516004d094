"""Outbox, relay, consumer and participant against the real NATS and PostgreSQL."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import nats
import pytest
from nats.aio.msg import Msg
from pydantic import SecretStr
from structlog.testing import capture_logs

from shared import inbox, topology
from shared import outbox as outbox_module
from shared import work as work_module
from shared.bus import Bus
from shared.consumer import Received, consume
from shared.contracts.answers import Answer, Outcome
from shared.contracts.commands import BuildImage, Command, InspectSource, Source
from shared.contracts.facts import Fact, ImageBuilt, JobSucceeded, SourceInspected
from shared.contracts.logs import LogLines
from shared.contracts.manifest import BuildSpec, Manifest
from shared.contracts.places import Place
from shared.outbox import Outbox
from shared.participant import ACCEPT_AFTER_S, Participant
from shared.postgres import Pool
from shared.relay import Relay
from shared.settings import ServiceSettings, StatefulSettings
from shared.work import StepFailure, Unavailable, Work
from tests.polling import eventually
from tests.stack import service_settings

PLACE = Place(organization="main", project="todo", environment="production")
SOURCE = Source(connection="c", repository="r", clone_url="file:///r", ref="refs/heads/main", commit="0" * 40)


def inspect(deployment: str, attempt: int = 1) -> InspectSource:
    """A command."""
    return InspectSource(deployment=deployment, step="inspect", place=PLACE, target="local", attempt=attempt, timeout_s=5, source=SOURCE)


@asynccontextmanager
async def running(*coroutines: object) -> AsyncIterator[None]:
    """Runs in the background while the test goes on; a failure of theirs fails the test."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]  # type: ignore[call-overload]
    try:
        yield
        for task in tasks:
            if task.done():
                await task
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


class Collected:
    """Takes results, as the coordinator would."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    async def handle(self, batch: Sequence[Received[Answer]]) -> None:
        """Keeps them."""
        self.answers.extend(item.message for item in batch)

    def outcomes(self) -> list[Outcome]:
        """What was said."""
        return [answer.outcome for answer in self.answers]


def collect(bus: Bus, collected: Collected) -> object:
    """The coordinator's reader."""
    return consume(bus, "RESULTS", "coordinator-results", lambda _subject, _headers, body: Answer.decode(body), collected.handle)


async def test_a_command_is_accepted_done_and_answered(coordinator: Bus, pool: Pool, postgres_dsn: str, nats_url: str) -> None:
    """From the outbox through relay, stream and participant, and back as `accepted` (it is no quick one) and `done`."""

    async def handle(command: Command, work: Work) -> Fact:
        work.log("looking")
        await asyncio.sleep(2 * ACCEPT_AFTER_S)
        assert command.step_key == "d1-inspect"
        return SourceInspected(manifest=Manifest(), trees={})

    settings = service_settings(StatefulSettings, "builder", nats_url, postgres_dsn=SecretStr(postgres_dsn))
    builder = await Bus.connect(settings, "builder")
    outbox, collected = Outbox("coordinator"), Collected()
    relay = Relay(coordinator, postgres_dsn, "coordinator", outbox)
    participant = Participant("builder", settings, builder, {InspectSource: handle})
    async with running(relay.run(), participant.run(), collect(coordinator, collected)):
        async with pool.acquire() as connection, connection.transaction():
            await outbox.add(connection, [inspect("d1")])
        outbox.wake()

        async def answered() -> bool:
            return collected.outcomes() == [Outcome.ACCEPTED, Outcome.DONE]

        await eventually(answered)
    assert isinstance(collected.answers[1].fact(), SourceInspected)
    await builder.close()


async def test_a_step_failure_is_an_answer_without_secrets(coordinator: Bus, nats_url: str) -> None:
    """An expected failure is answered as such, with registered secrets and NULs taken out."""

    async def handle(_command: Command, work: Work) -> Fact:
        work.redact({"TOKEN": "hunter2hunter2"})
        raise StepFailure("manifest_invalid", "line 3: hunter2hunter2 is no\0port")

    settings = service_settings(ServiceSettings, "builder", nats_url)
    builder = await Bus.connect(settings, "builder")
    collected = Collected()
    async with running(Participant("builder", settings, builder, {InspectSource: handle}).run(), collect(coordinator, collected)):
        await coordinator.publish("slipway.cmd.local.builder.effects.d2-inspect.do.1", inspect("d2"))

        async def answered() -> bool:
            return collected.outcomes() == [Outcome.FAILED]

        await eventually(answered)
    failure = collected.answers[0].failure
    assert failure is not None
    assert failure.message == "line 3: ••• is no\ufffdport"
    await builder.close()


async def test_what_is_no_text_is_answered_all_the_same(coordinator: Bus, nats_url: str) -> None:
    """A file's name in a repository may be any bytes; what cannot be written of it is replaced."""

    async def handle(_command: Command, work: Work) -> Fact:
        name = os.fsdecode(b"lib\xff")
        work.log(f"fetching {name}")
        raise StepFailure("submodule_unusable", f"the submodule {name} is bad", details=name, log_tail=(name,))

    settings = service_settings(ServiceSettings, "builder", nats_url)
    builder = await Bus.connect(settings, "builder")
    collected = Collected()
    async with running(Participant("builder", settings, builder, {InspectSource: handle}).run(), collect(coordinator, collected)):
        await coordinator.publish("slipway.cmd.local.builder.effects.d2-inspect.do.1", inspect("d2"))

        async def answered() -> bool:
            return collected.outcomes() == [Outcome.FAILED]

        await eventually(answered, within=10)
    failure = collected.answers[0].failure
    assert failure is not None
    assert (failure.message, failure.details, failure.log_tail) == ("the submodule lib? is bad", "lib?", ("lib?",))
    await builder.close()


async def test_a_command_whose_answer_cannot_be_written_is_said_in_the_log(coordinator: Bus, nats_url: str) -> None:
    """FastStream drops what is raised where it hands a command over: nobody would know why no answer comes."""

    async def handle(_command: Command, _work: Work) -> Fact:
        return SourceInspected(manifest=Manifest(), trees={}, title=os.fsdecode(b"\xff"))

    settings = service_settings(ServiceSettings, "builder", nats_url)
    builder = await Bus.connect(settings, "builder")
    with capture_logs() as logs:
        async with running(Participant("builder", settings, builder, {InspectSource: handle}).run()):
            await coordinator.publish("slipway.cmd.local.builder.effects.d2-inspect.do.1", inspect("d2"))

            async def said() -> bool:
                return "command was not seen through" in [entry["event"] for entry in logs]

            await eventually(said, within=10)
    await builder.close()


async def test_a_step_whose_time_ends_says_what_it_waited_for(coordinator: Bus, nats_url: str) -> None:
    """A registry that is away costs no attempt, but the step's time; whose time that is, has to know what was away, and no secret."""

    async def handle(_command: Command, work: Work) -> Fact:
        work.redact({"TOKEN": "hunter2hunter2"})
        raise Unavailable("the registry does not answer: hunter2hunter2")

    builder = await Bus.connect(settings := service_settings(ServiceSettings, "builder", nats_url), "builder")
    collected = Collected()
    async with running(Participant("builder", settings, builder, {InspectSource: handle}).run(), collect(coordinator, collected)):
        brief = inspect("d9").model_copy(update={"timeout_s": 0.2})
        await coordinator.publish("slipway.cmd.local.builder.effects.d9-inspect.do.1", brief)

        async def answered() -> bool:
            return collected.outcomes()[-1:] == [Outcome.FAILED]  # it may have been accepted before

        await eventually(answered)
    failure = collected.answers[-1].failure
    assert failure is not None
    assert failure.message == "the step did not end within 0.2 s: it waited, since the registry does not answer: •••"
    await builder.close()


async def test_the_last_lines_of_a_job_that_worked_show_no_secrets(coordinator: Bus, nats_url: str) -> None:
    """They go into an event that is kept and told: registered secrets are taken out there too, and NULs, which no database takes."""

    async def handle(_command: Command, work: Work) -> Fact:
        work.redact({"TOKEN": "hunter2hunter2"})
        return JobSucceeded(job="migrate", seconds=1, log_tail=("logging in with hunter2hunter2", "a\0b"))

    settings = service_settings(ServiceSettings, "builder", nats_url)
    builder = await Bus.connect(settings, "builder")
    collected = Collected()
    async with running(Participant("builder", settings, builder, {InspectSource: handle}).run(), collect(coordinator, collected)):
        await coordinator.publish("slipway.cmd.local.builder.effects.d2-inspect.do.1", inspect("d2"))

        async def answered() -> bool:
            return collected.outcomes() == [Outcome.DONE]

        await eventually(answered)
    assert collected.answers[0].data["log_tail"] == ["logging in with •••", "a\ufffdb"]
    await builder.close()


async def test_the_answer_does_not_wait_for_more_lines(coordinator: Bus, nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step printed last is sent before its answer, at once, however long lines are collected otherwise."""
    monkeypatch.setattr(work_module, "FLUSH_S", 3600.0)
    lines: list[str] = []

    async def handle(_command: Command, work: Work) -> Fact:
        work.log("the last word")
        return JobSucceeded(job="migrate", seconds=1)

    async def hear(message: Msg) -> None:
        lines.extend(LogLines.decode(message.data).lines)

    listener = await nats.connect(nats_url, user="admin", password="test")
    await listener.subscribe("slipway.log.>", cb=hear)
    settings = service_settings(ServiceSettings, "builder", nats_url)
    builder = await Bus.connect(settings, "builder")
    collected = Collected()
    async with running(Participant("builder", settings, builder, {InspectSource: handle}).run(), collect(coordinator, collected)):
        await coordinator.publish("slipway.cmd.local.builder.effects.d2-inspect.do.1", inspect("d2"))

        async def answered() -> bool:
            return collected.outcomes() == [Outcome.DONE] and lines == ["the last word"]

        await eventually(answered)
    await listener.close()
    await builder.close()


async def test_a_cancel_ends_the_work_that_it_names(coordinator: Bus, nats_url: str) -> None:
    """A cancel on core NATS ends the handler of that step and direction, and the answer says so."""
    started: list[str] = []

    async def handle(command: Command, _work: Work) -> Fact:
        started.append(str(command.deployment))
        await asyncio.Event().wait()
        return ImageBuilt(service="web", image="x")

    settings = service_settings(ServiceSettings, "builder", nats_url)
    builder = await Bus.connect(settings, "builder")
    collected = Collected()
    async with running(Participant("builder", settings, builder, {BuildImage: handle}).run(), collect(coordinator, collected)):
        for deployment in ("d3", "d4"):
            command = BuildImage(
                deployment=deployment, step="build-web", place=PLACE, target="local", timeout_s=60,
                source=SOURCE, service="web", build=BuildSpec(), key="k",
            )  # fmt: skip
            await coordinator.publish(f"slipway.cmd.local.builder.builds.{deployment}-build-web.do.1", command)

        async def at_work() -> bool:
            return sorted(started) == ["d3", "d4"]

        await eventually(at_work)
        for deployment, direction in (("d3", "undo"), ("d4", "do")):  # the one comes before the other
            await coordinator.nc.publish(f"slipway.cancel.local.{deployment}-build-web", json.dumps({"direction": direction}).encode())

        async def answered() -> list[Answer]:
            return [answer for answer in collected.answers if answer.outcome is Outcome.FAILED]

        (failed,) = await eventually(answered)
    assert failed.deployment == "d4"
    assert failed.failure is not None
    assert failed.failure.code == "cancelled"
    await builder.close()


async def test_the_inbox_takes_a_message_once(pool: Pool) -> None:
    """A second look at the same id says that it is not new, also within one batch."""
    async with pool.acquire() as connection:
        assert await inbox.take(connection, ["a", "b", "a"]) == {"a", "b"}
        assert await inbox.take(connection, ["b", "c"]) == {"c"}


async def test_the_relay_sends_what_is_handed_over_and_what_is_only_written(coordinator: Bus, pool: Pool, postgres_dsn: str) -> None:
    """Each once: what this process commits, what another replica wrote, and what was too much to keep in memory."""
    outbox = Outbox("coordinator")
    before = (await coordinator.js.stream_info("COMMANDS")).state.messages
    async with running(Relay(coordinator, postgres_dsn, "coordinator", outbox).run()):
        for number in range(3):
            async with pool.acquire() as connection:
                rows = await outbox.add(connection, [inspect(f"handed{number}")])
                assert await outbox.add(connection, [inspect(f"handed{number}")]) == []
                await Outbox("coordinator").add(connection, [inspect(f"other{number}")])
            outbox.wake(rows)
        async with pool.acquire() as connection:
            rows = await outbox.add(connection, [inspect(f"many{number}") for number in range(outbox_module.HANDED_MOST + 1)])
        outbox.wake(rows)

        async def sent() -> bool:
            return bool(await pool.fetchval("SELECT bool_and(sent_at IS NOT NULL) FROM outbox"))

        await eventually(sent)
    stored = (await coordinator.js.stream_info("COMMANDS")).state.messages - before
    assert stored == await pool.fetchval("SELECT count(*) FROM outbox") == 6 + outbox_module.HANDED_MOST + 1


async def test_what_was_sent_before_anything_was_noted_of_its_stream_is_sent_again(
    coordinator: Bus, pool: Pool, postgres_dsn: str, nats_url: str
) -> None:
    """The relay died, and the stream was lost, between its first messages and the first note of where it stands."""
    outbox = Outbox("coordinator")
    before = (await coordinator.js.stream_info("COMMANDS")).state.messages
    async with pool.acquire() as connection:
        await outbox.add(connection, [inspect("d5")])
        await connection.execute("UPDATE outbox SET sent_at = now()")
        await connection.execute("DELETE FROM outbox_streams")
    async with running(Relay(coordinator, postgres_dsn, "coordinator", outbox).run()):

        async def there() -> bool:
            return (await coordinator.js.stream_info("COMMANDS")).state.messages == before + 1

        await eventually(there)


async def test_open_messages_are_sent_again_to_a_new_stream(coordinator: Bus, pool: Pool, postgres_dsn: str, nats_url: str) -> None:
    """Where the stream was lost and made anew, an open command is published again, with the same id."""
    outbox = Outbox("coordinator")
    relay = Relay(coordinator, postgres_dsn, "coordinator", outbox)
    async with pool.acquire() as connection:
        await outbox.add(connection, [inspect("d4")])
    async with running(relay.run()):

        async def sent() -> bool:
            return bool(await pool.fetchval("SELECT bool_and(sent_at IS NOT NULL) FROM outbox"))

        await eventually(sent)
    admin = await nats.connect(nats_url, user="admin", password="test")
    js = admin.jetstream()
    await js.delete_stream("COMMANDS")
    await topology.declare(js)
    async with running(Relay(coordinator, postgres_dsn, "coordinator", outbox).run()):

        async def there_again() -> bool:
            return (await js.stream_info("COMMANDS")).state.messages == 1

        await eventually(there_again)
    await admin.close()
