"""The deployer as a process on the bus: commands in, answers out, whatever dies."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import nats
from nats.js import JetStreamContext

from shared.contracts import commands as c
from shared.contracts.answers import Answer, Outcome
from shared.contracts.steps import STEP_KINDS, command_subject
from shared.messages import new_id
from tests.integration.deployer.rig import Machine, Site
from tests.polling import eventually


def worker(machine: Machine, nats_url: str) -> "subprocess.Popen[bytes]":
    """A deployer's process, as the supervisor starts it."""
    settings = machine.settings
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")} | {
        "SLIPWAY_HOME": str(settings.home),
        "SLIPWAY_INSTANCE": settings.instance,
        "SLIPWAY_NATS_URL": nats_url,
        "SLIPWAY_NATS_USER": "deployer",
        "SLIPWAY_NATS_PASSWORD": "test",
        "SLIPWAY_DOCKER_HOST": settings.docker_host,
        "SLIPWAY_TRAEFIK_API": settings.traefik_api,
        "SLIPWAY_HTTPS_PORT": str(settings.https_port),
        "SLIPWAY_WEB_PORT": str(settings.web_port),
        "SLIPWAY_SUBNETS": str(settings.subnets),
    }
    with (settings.home / "deployer.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "services.deployer.app"], env=environment, cwd=Path(__file__).parents[3], stdout=log, stderr=log
        )


@contextmanager
def working(machine: Machine, nats_url: str) -> Iterator["subprocess.Popen[bytes]"]:
    """It, ended in order."""
    process = worker(machine, nats_url)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


class Coordinator:
    """Sends commands and reads answers, as the coordinator does."""

    def __init__(self, js: JetStreamContext, answers: JetStreamContext.PullSubscription) -> None:
        self._js = js
        self._answers = answers

    async def send(self, command: c.Command, kind: str) -> None:
        """Publishes a command."""
        subject = command_subject(command, STEP_KINDS[kind])
        await self._js.publish(subject, command.encode(), headers=command.headers("coordinator", message_id=command.attempt_id))

    async def answer(self, outcome: Outcome, within: float = 30.0) -> Answer:
        """The next answer, past those of other outcomes."""
        async with asyncio.timeout(within):
            while True:
                try:
                    (message,) = await self._answers.fetch(1, timeout=1)
                except TimeoutError:
                    continue
                await message.ack()
                said = Answer.decode(message.data)
                if said.outcome is outcome:
                    return said


@asynccontextmanager
async def coordinator(nats_url: str) -> AsyncIterator[Coordinator]:
    """Connected as admin to the durable that the coordinator reads."""
    client = await nats.connect(nats_url, user="admin", password="test")
    js = client.jetstream()
    try:
        yield Coordinator(js, await js.pull_subscribe_bind("coordinator-results", "RESULTS"))
    finally:
        await client.close()


def command(here: Site, cls: type[c.Command], step: str, deployment: str, epoch: int, **fields: object) -> c.Command:
    """A command of the coordinator's."""
    return cls.model_validate(
        {"place": here.place, "target": "local", "deployment": deployment, "step": step, "epoch": epoch, "timeout_s": 60} | fields
    )


async def test_command_in_answer_out(here: Site, nats_url: str) -> None:
    """A command is accepted and done; a failure is answered redacted; a lower epoch is refused; the process ends in order."""
    deployment, one = new_id(), here.release("one")
    with working(here.machine, nats_url) as process:
        async with coordinator(nats_url) as sender:
            await sender.send(command(here, c.DeployContainer, "deploy-container-web", deployment, 3, release=one), "deploy-container")
            assert (await sender.answer(Outcome.ACCEPTED)).step == "deploy-container-web"
            done = await sender.answer(Outcome.DONE)
            assert (done.name, done.epoch) == ("ContainerDeployed", 3)
            job = here.job('echo "failed with $API_KEY"; exit 1')
            sealed = here.sealed(API_KEY="canary-value")
            await sender.send(command(here, c.RunJob, "run-job-migrate", deployment, 3, job=job, secrets=sealed), "run-job")
            failed = await sender.answer(Outcome.FAILED)
            assert failed.failure is not None
            assert failed.failure.code == "job_failed"
            assert failed.failure.log_tail == ("failed with •••",)
            await sender.send(
                command(here, c.DeployContainer, "deploy-container-web", deployment, 2, release=one, attempt=2), "deploy-container"
            )
            refused = await sender.answer(Outcome.REFUSED)
            assert refused.epoch == 2
    assert process.returncode == 0
    assert b"canary-value" not in (here.machine.home.path / "deployer.log").read_bytes()


async def test_worker_that_dies_half_way(here: Site, nats_url: str) -> None:
    """A worker killed in the middle of a job leaves it to the next one, which waits for the same run and answers."""
    deployment = new_id()
    job = here.job("echo begins; sleep 4; date +%s%N")
    process = worker(here.machine, nats_url)
    try:
        async with coordinator(nats_url) as sender:
            await sender.send(command(here, c.RunJob, "run-job-migrate", deployment, 1, job=job), "run-job")
            await sender.answer(Outcome.ACCEPTED)

            async def runs() -> bool:
                return any(container["running"] for container in (await here.target.state.describe(here.place)).containers.values())

            await eventually(runs)
            process.kill()
            process.wait()
            with working(here.machine, nats_url):
                # The coordinator's next attempt does not wait for JetStream to give the first one to another worker.
                await sender.send(command(here, c.RunJob, "run-job-migrate", deployment, 1, job=job, attempt=2), "run-job")
                done = await sender.answer(Outcome.DONE)
                assert done.name == "JobSucceeded"
                assert len((await here.target.state.describe(here.place)).containers) == 1
    finally:
        process.kill()
        process.wait()
