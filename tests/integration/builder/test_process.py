"""The builder as a process on a real bus: commands in, answers and log lines out."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from nats.aio.msg import Msg

from services.builder.handlers import folders_of
from shared.bus import Bus
from shared.contracts.answers import Answer, Outcome
from shared.contracts.commands import Command
from shared.contracts.facts import ImageBuilt, SourceInspected
from shared.contracts.logs import Cancel, LogLines
from shared.contracts.steps import BUILD, INSPECT, StepKind, command_subject
from shared.settings import ServiceSettings
from tests.component.builder.conftest import Builder
from tests.component.builder.repository import Repository
from tests.polling import eventually
from tests.stack import free_port, service_settings


@dataclass
class Coordinator:
    """Sends commands, and hears answers and log lines as they are published."""

    bus: Bus
    answers: list[Answer] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    async def send(self, kind: StepKind, command: Command) -> None:
        """Publishes a command."""
        await self.bus.publish(command_subject(command, kind), command, message_id=command.attempt_id)

    async def hear(self, message: Msg) -> None:
        """Keeps an answer or lines."""
        if ".log." in message.subject:
            self.lines += LogLines.decode(message.data).lines
        else:
            self.answers.append(Answer.decode(message.data))

    async def answer(self, command: Command, within: float = 20) -> Answer:
        """The last answer to a command, once there is one besides `accepted`."""

        async def found() -> Answer | None:
            return next((a for a in self.answers if a.cause == command.id and a.outcome is not Outcome.ACCEPTED), None)

        answer = await eventually(found, within=within)
        assert answer is not None
        return answer


@pytest.fixture
async def coordinator(nats_url: str, nats_admin: Bus) -> AsyncIterator[Coordinator]:
    """Speaks as the coordinator does."""
    bus = await Bus.connect(service_settings(ServiceSettings, "coordinator", nats_url), "coordinator")
    speaking = Coordinator(bus)
    for subject in ("slipway.res.local.builder.>", "slipway.log.local.>"):
        await nats_admin.nc.subscribe(subject, cb=speaking.hear)
    await nats_admin.nc.flush()
    yield speaking
    await bus.close()


@pytest.fixture
async def nats_admin(nats_url: str) -> AsyncIterator[Bus]:
    """A connection that may listen to everything."""
    bus = await Bus.connect(service_settings(ServiceSettings, "admin", nats_url), "admin")
    yield bus
    await bus.close()


@pytest.fixture
async def process(builder: Builder, nats_url: str, tmp_path: Path) -> AsyncIterator["subprocess.Popen[bytes]"]:
    """The builder, started and ready."""
    settings, port = builder.settings, free_port()
    given = service_settings(ServiceSettings, "builder", nats_url)
    env = {
        "PATH": os.environ["PATH"],
        "SLIPWAY_HOME": str(settings.home),
        "SLIPWAY_INSTANCE": settings.instance,
        "SLIPWAY_NATS_URL": nats_url,
        "SLIPWAY_NATS_USER": given.nats_user,
        "SLIPWAY_NATS_PASSWORD": given.nats_password.get_secret_value(),
        "SLIPWAY_HEALTH_PORT": str(port),
        "SLIPWAY_DOCKER_HOST": settings.docker_host,
        "SLIPWAY_REGISTRY": settings.registry,
        "SLIPWAY_BUILD_ARGS": json.dumps(settings.build_args),
        "SLIPWAY_BUILD_CGROUP": settings.build_cgroup or "",
        "SLIPWAY_GIT_PROTOCOLS": '["file"]',
    }
    root = Path(__file__).parents[3]
    with (tmp_path / "builder.log").open("wb") as log:
        running = subprocess.Popen([sys.executable, "-m", "services.builder.app"], env=env, cwd=root, stdout=log, stderr=log)

    async def ready() -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert running.poll() is None, (tmp_path / "builder.log").read_text()
            return False
        writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
        said = await reader.read()
        writer.close()
        return b" 200 " in said.partition(b"\r\n")[0]

    try:
        await eventually(ready, within=20)
        yield running
    finally:
        running.terminate()
        assert running.wait(10) in (0, -signal.SIGKILL), (tmp_path / "builder.log").read_text()


@pytest.mark.usefixtures("process")
async def test_inspect_and_build_over_the_bus(coordinator: Coordinator, repository: Repository) -> None:
    """Done, with the facts, after at most an `accepted`; the log is streamed."""
    repository.commit(
        {"slipway.yaml": "services: {web: {port: 80}}\n", "Dockerfile": "ARG BASE\nFROM ${BASE}\nRUN echo hello from the build\n"}
    )
    inspect = repository.inspect()
    await coordinator.send(INSPECT, inspect)
    fact = (await coordinator.answer(inspect)).fact()
    assert isinstance(fact, SourceInspected)
    assert fact.manifest.services["web"].port == 80
    build = repository.build()
    await coordinator.send(BUILD, build)
    built = (await coordinator.answer(build)).fact()
    assert isinstance(built, ImageBuilt)
    outcomes = [a.outcome for a in coordinator.answers]
    assert [o for o in outcomes if o is not Outcome.ACCEPTED] == [Outcome.DONE] * 2
    assert outcomes[-1] is Outcome.DONE

    async def streamed() -> bool:
        return "hello from the build" in coordinator.lines

    await eventually(streamed)


@pytest.mark.usefixtures("process")
async def test_a_failure_is_an_answer(coordinator: Coordinator, repository: Repository) -> None:
    """With its code and words."""
    repository.commit({"slipway.yaml": "services: {web: {prot: 80}}\n"})
    inspect = repository.inspect()
    await coordinator.send(INSPECT, inspect)
    answer = await coordinator.answer(inspect)
    assert answer.outcome is Outcome.FAILED
    assert answer.failure is not None
    assert answer.failure.code == "manifest_invalid"


@pytest.mark.usefixtures("process")
async def test_a_cancel_ends_a_build(coordinator: Coordinator, repository: Repository) -> None:
    """The answer says so within a second or two, long before the step would have ended."""
    repository.commit({"Dockerfile": "ARG BASE\nFROM ${BASE}\nRUN echo begun; sleep 985.5\n"})
    build = repository.build()
    await coordinator.send(BUILD, build)

    async def begun() -> bool:
        return "begun" in coordinator.lines

    await eventually(begun, within=20)
    cancel = Cancel(deployment=build.deployment, step=build.step, direction=build.direction)
    await coordinator.bus.nc.publish(f"slipway.cancel.local.{build.step_key}", cancel.encode())
    answer = await coordinator.answer(build, within=30)
    assert answer.failure is not None
    assert answer.failure.code == "cancelled"


async def test_a_killed_builder_leaves_no_build_at_work(
    process: "subprocess.Popen[bytes]", coordinator: Coordinator, repository: Repository, builder: Builder
) -> None:
    """The client ends with its builder, and the next builder removes what lies about."""
    repository.commit({"Dockerfile": "ARG BASE\nFROM ${BASE}\nRUN echo begun; sleep 984.5\n"})
    build = repository.build()
    await coordinator.send(BUILD, build)

    async def begun() -> bool:
        return "begun" in coordinator.lines

    await eventually(begun, within=20)
    process.kill()
    process.wait()

    async def gone() -> bool:
        return not any("984.5" in " ".join(found.info["cmdline"] or ()) for found in psutil.process_iter(["cmdline"]))

    await eventually(gone, within=30)
    assert list((builder.settings.state / "work").iterdir()) != []
    folders_of(builder.settings).sweep()
    assert list((builder.settings.state / "work").iterdir()) == []
