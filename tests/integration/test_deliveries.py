"""Commands that come again, and streams that are gone: with the real NATS."""

import asyncio
from time import monotonic

import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import ServiceUnavailableError
from structlog.testing import capture_logs

from shared import participant as participant_module
from shared import topology, workers_broker
from shared.bus import Bus, Gone
from shared.contracts.answers import Outcome
from shared.contracts.commands import Command, InspectSource
from shared.contracts.facts import Fact, SourceInspected
from shared.contracts.manifest import Manifest
from shared.participant import DELIVERIES, Participant
from shared.settings import ServiceSettings
from shared.telemetry import REDELIVERED
from shared.work import Work
from tests.integration.test_messaging import Collected, collect, inspect, running
from tests.polling import eventually
from tests.stack import service_settings

DURABLE = "local-builder-effects"


async def bus_of(service: str, nats_url: str) -> Bus:
    """A connection as that service."""
    return await Bus.connect(service_settings(ServiceSettings, service, nats_url), service)


async def send(bus: Bus, command: InspectSource) -> None:
    """As the coordinator would."""
    await bus.publish(f"slipway.cmd.local.builder.effects.{command.step_key}.do.{command.attempt}", command)


async def test_a_command_that_killed_its_workers_is_not_tried_for_ever(nats_url: str) -> None:
    """After many deliveries without a word it is answered as failed, and is a dead letter: no handler sees it again."""
    handled: list[str] = []

    async def handle(command: Command, _work: Work) -> Fact:
        handled.append(str(command.deployment))
        return SourceInspected(manifest=Manifest(), trees={})

    admin, coordinator, builder = [await bus_of(name, nats_url) for name in ("admin", "coordinator", "builder")]
    await send(coordinator, inspect("killer"))
    dies = await admin.js.pull_subscribe_bind(DURABLE, "COMMANDS")
    for _ in range(DELIVERIES):
        (message,) = await dies.fetch(1, timeout=30)
        await message.nak()
    await send(coordinator, inspect("good"))
    settings, collected = service_settings(ServiceSettings, "builder", nats_url), Collected()
    participant = Participant("builder", settings, builder, {InspectSource: handle})
    async with running(participant.run(), collect(coordinator, collected)):

        async def answered() -> bool:
            return len(collected.answers) == 2

        await eventually(answered)
    said = {str(answer.deployment): answer for answer in collected.answers}
    assert said["good"].outcome is Outcome.DONE
    failure = said["killer"].failure
    assert failure is not None
    assert (said["killer"].outcome, failure.code) == (Outcome.FAILED, "worker_killed")
    assert handled == ["good"]
    assert (await admin.js.stream_info("DEADLETTERS")).state.messages == 1
    for bus in (admin, coordinator, builder):
        await bus.close()


async def test_another_attempt_waits_for_the_one_at_work_without_being_delivered_again(nats_url: str) -> None:
    """Waiting is no failed delivery: the second attempt is handled when the first has ended, in its first delivery."""
    go_on, begun = asyncio.Event(), []

    async def handle(command: Command, _work: Work) -> Fact:
        begun.append(command.attempt)
        await go_on.wait()
        return SourceInspected(manifest=Manifest(), trees={})

    admin, coordinator, builder = [await bus_of(name, nats_url) for name in ("admin", "coordinator", "builder")]
    settings, collected = service_settings(ServiceSettings, "builder", nats_url), Collected()
    participant = Participant("builder", settings, builder, {InspectSource: handle})
    async with running(participant.run(), collect(coordinator, collected)):
        await send(coordinator, inspect("d1"))
        await send(coordinator, inspect("d1", attempt=2))

        async def both_are_out() -> bool:
            return bool((await admin.js.consumer_info("COMMANDS", DURABLE)).num_ack_pending == 2)

        await eventually(both_are_out)

        async def accepted() -> bool:  # else the coordinator takes it that nobody has it, and gives the step up while the first is at work
            return 2 in [answer.attempt for answer in collected.answers if answer.outcome is Outcome.ACCEPTED]

        await eventually(accepted, within=10)
        assert begun == [1]
        go_on.set()

        async def answered() -> bool:
            return [answer.attempt for answer in collected.answers if answer.outcome is Outcome.DONE] == [1, 2]

        await eventually(answered)
        info = await admin.js.consumer_info("COMMANDS", DURABLE)
        assert (info.delivered and info.delivered.consumer_seq, info.num_redelivered) == (2, 0)
    for bus in (admin, coordinator, builder):
        await bus.close()


def again() -> float:
    """How many commands came to these workers again, and were looked at."""
    return float(REDELIVERED.labels(DURABLE)._value.get())


async def test_the_same_delivery_again_is_left_to_who_works_at_it(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that came again though its worker lives is not done twice, nor answered twice; nor given up, however often it comes."""
    monkeypatch.setattr(participant_module, "DELIVERIES", 1)
    go_on, begun = asyncio.Event(), []

    async def handle(command: Command, _work: Work) -> Fact:
        begun.append(command.attempt)
        await go_on.wait()
        return SourceInspected(manifest=Manifest(), trees={})

    admin, coordinator, builder = [await bus_of(name, nats_url) for name in ("admin", "coordinator", "builder")]
    settings, collected = service_settings(ServiceSettings, "builder", nats_url), Collected()
    participant = Participant("builder", settings, builder, {InspectSource: handle})
    async with running(participant.run(), collect(coordinator, collected)):
        await send(coordinator, inspect("d1"))

        async def at_work() -> bool:
            return begun == [1]

        await eventually(at_work)
        before = again()
        await admin.nc.publish(f"$JS.ACK.COMMANDS.{DURABLE}.1.1.1.1.0", b"-NAK")

        async def came_again() -> bool:
            return again() == before + 1

        await eventually(came_again)
        go_on.set()

        async def over() -> bool:
            return bool((await admin.js.stream_info("COMMANDS")).state.messages == 0)

        await eventually(over)
        assert begun == [1]
        assert [answer.outcome for answer in collected.answers if answer.outcome is not Outcome.ACCEPTED] == [Outcome.DONE]
    for bus in (admin, coordinator, builder):
        await bus.close()


async def test_a_command_is_there_until_its_answer_is(nats_url: str) -> None:
    """While no stream takes the answer: a worker that dies with it leaves the command to the next."""

    async def handle(_command: Command, _work: Work) -> Fact:
        return SourceInspected(manifest=Manifest(), trees={})

    admin, coordinator, builder = [await bus_of(name, nats_url) for name in ("admin", "coordinator", "builder")]
    settings, collected = service_settings(ServiceSettings, "builder", nats_url), Collected()
    await admin.js.delete_stream("RESULTS")
    with capture_logs() as logs:
        async with running(Participant("builder", settings, builder, {InspectSource: handle}).run()):
            await send(coordinator, inspect("d1"))

            async def tried_thrice() -> bool:
                return [entry["event"] for entry in logs].count("answer waits for the bus") == 3

            await eventually(tried_thrice)
            left = (await admin.js.stream_info("COMMANDS")).state.messages
            await topology.declare(admin.js)
            async with running(collect(coordinator, collected)):

                async def over() -> bool:
                    return bool((await admin.js.stream_info("COMMANDS")).state.messages == 0)

                await eventually(over)

                async def answered() -> bool:
                    return collected.outcomes() == [Outcome.DONE]

                await eventually(answered)
    assert left == 1
    for bus in (admin, coordinator, builder):
        await bus.close()


async def test_a_stream_that_is_gone_is_said_and_is_no_readiness(nats_url: str) -> None:
    """While it is gone the process is not ready, in words that say what is missing; once it is there again, reading goes on."""
    admin, coordinator, builder = [await bus_of(name, nats_url) for name in ("admin", "coordinator", "builder")]
    settings, collected = service_settings(ServiceSettings, "builder", nats_url), Collected()
    participant = Participant("builder", settings, builder, {})
    async with running(participant.run(), collect(coordinator, collected)):

        async def reads() -> bool:
            return bool(coordinator.reading and builder.reading)

        await eventually(reads)
        await asyncio.gather(coordinator.ready(), builder.ready())
        await admin.js.delete_stream("RESULTS")
        await admin.js.delete_consumer("COMMANDS", DURABLE)
        with pytest.raises(Gone, match=r"stream RESULTS .* coordinator-results"):
            await coordinator.ready()
        with pytest.raises(Gone, match=rf"stream COMMANDS .* {DURABLE}"):
            await builder.ready()
        await topology.declare(admin.js)
        await asyncio.gather(coordinator.ready(), builder.ready())
        await send(coordinator, inspect("d1"))

        async def answered() -> bool:  # there is no handler: that is a failure, and its answer has to come through
            return bool(collected.answers)

        await eventually(answered, within=30)
    for bus in (admin, coordinator, builder):
        await bus.close()


async def test_commands_that_nobody_has_are_not_asked_for_at_once_again(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where their stream is gone, the server says so at once, every time."""
    monkeypatch.setattr(workers_broker, "CLOSED_S", 0.5)
    refused: dict[JetStreamContext.PullSubscription, list[float]] = {}
    fetch = JetStreamContext.PullSubscription.fetch

    async def noted(self: JetStreamContext.PullSubscription, batch: int = 1, timeout: float | None = 5) -> list[Msg]:
        try:
            return await fetch(self, batch, timeout)
        except ServiceUnavailableError:
            refused.setdefault(self, []).append(monotonic())
            raise

    monkeypatch.setattr(JetStreamContext.PullSubscription, "fetch", noted)
    admin, builder = [await bus_of(name, nats_url) for name in ("admin", "builder")]
    participant = Participant("builder", service_settings(ServiceSettings, "builder", nats_url), builder, {})
    async with running(participant.run()):

        async def reads() -> bool:
            return bool(builder.reading)

        await eventually(reads)
        await admin.js.delete_stream("COMMANDS")

        async def thrice() -> list[float]:
            return next((times for times in refused.values() if len(times) >= 3), [])

        times = await eventually(thrice)
        assert times[2] - times[0] > workers_broker.CLOSED_S
        await topology.declare(admin.js)
    for bus in (admin, builder):
        await bus.close()
