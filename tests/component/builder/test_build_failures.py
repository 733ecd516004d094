"""BuildImage where it cannot be done: each failure says what is wrong, where, and what to do."""

import asyncio
import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from services.builder.docker_cli import NoClient, find_client
from services.builder.engine import Engine
from services.builder.handlers import Outside
from services.builder.registry import Registry
from shared.contracts.answers import Failure
from shared.contracts.commands import BuildImage
from shared.contracts.manifest import BuildSpec
from shared.contracts.releases import Sealed
from shared.listening import listening
from shared.work import StepFailure, Unavailable
from tests.component.builder.conftest import Builder
from tests.component.builder.engine import TestEngine, running_engine
from tests.component.builder.recording import RecordedWork
from tests.component.builder.repository import Repository
from tests.polling import eventually

BASE = "ARG BASE\nFROM ${BASE}\n"


async def failing(builder: Builder, command: BuildImage, work: RecordedWork | None = None) -> Failure:
    """The failure of a build that must fail."""
    with pytest.raises(StepFailure) as failed:
        await builder(command, work)
    return failed.value.failure


async def test_a_failing_step_is_named_with_its_line(builder: Builder, repository: Repository) -> None:
    """Step, line, exit code and the last lines of its output are in the failure, and nothing is in the registry."""
    repository.commit({"Dockerfile": f"{BASE}# a comment\nRUN true\nRUN {{ seq 1 30; \\\n    echo boom; }} >&2; \\\n    exit 3\n"})
    failure = await failing(builder, repository.build(key="broken"))
    assert failure.code == "dockerfile_failed"
    assert failure.message == "Dockerfile, line 5: `RUN { seq 1 30; echo boom; } >&2; exit 3` failed with exit code 3"
    # All on one of the step's two outputs: the engine reads them side by side, and which line it sees first would be chance.
    assert failure.log_tail[-3:] == ("29", "30", "boom")
    assert await builder.outside.registry.find("main/todo/web", "broken") is None


async def test_a_missing_file_is_named(builder: Builder, repository: Repository) -> None:
    """COPY of what is not in the context says which path and which context."""
    repository.commit({"Dockerfile": f"{BASE}COPY nowhere.txt /x\n"})
    failure = await failing(builder, repository.build())
    assert failure.code == "dockerfile_failed"
    assert "Dockerfile, line 3: `COPY nowhere.txt /x`" in failure.message
    assert "/nowhere.txt is not in the build context (.)" in failure.message


async def test_an_unknown_instruction_has_its_line(builder: Builder, repository: Repository) -> None:
    """What the Dockerfile's parser says keeps its line."""
    repository.commit({"Dockerfile": f"{BASE}RUNN true\n"})
    failure = await failing(builder, repository.build())
    assert (failure.code, failure.message) == ("dockerfile_invalid", "Dockerfile, line 3: unknown instruction: RUNN")


async def test_an_unknown_stage(builder: Builder, repository: Repository) -> None:
    """A target that no stage has."""
    repository.commit({"Dockerfile": BASE})
    failure = await failing(builder, repository.build(build=BuildSpec(target="nowhere")))
    assert failure.code == "dockerfile_invalid"
    assert "nowhere" in failure.message


async def test_a_frontend_of_its_own_is_refused(builder: Builder, repository: Repository) -> None:
    """It would reach more than a step does, so it is not even pulled; no argument of the manifest brings one either."""
    repository.commit({"Dockerfile": f"# escape=\\\n#syntax = {builder.settings.registry}/frontend:1\n{BASE}"})
    failure = await failing(builder, repository.build())
    assert (failure.code, failure.message.partition(". Only")[0]) == (
        "frontend_refused",
        f"Dockerfile, line 2: it asks for the frontend {builder.settings.registry}/frontend:1",
    )
    repository.commit({"Dockerfile": BASE})
    failure = await failing(builder, repository.build(build=BuildSpec(args={"BUILDKIT_SYNTAX": "evil.example/frontend"})))
    assert failure.code == "frontend_refused"
    assert failure.message.startswith("services.web.build.args: BUILDKIT_SYNTAX asks for the frontend evil.example/frontend.")


async def test_a_missing_dockerfile_says_where_it_looked(builder: Builder, repository: Repository) -> None:
    """And which Dockerfiles there are."""
    repository.commit({"docker/web.Dockerfile": BASE})
    failure = await failing(builder, repository.build())
    assert failure.code == "dockerfile_missing"
    assert "There is no Dockerfile in the repository (looked from its root, for the service web)" in failure.message
    assert "docker/web.Dockerfile: name it with services.web.build.dockerfile" in failure.message


async def test_a_missing_context(builder: Builder, repository: Repository) -> None:
    """A context that is no folder."""
    repository.commit({"Dockerfile": BASE})
    failure = await failing(builder, repository.build(build=BuildSpec(context="nowhere")))
    assert failure.code == "build_context_missing"
    assert "services.web.build.context" in failure.message


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore", "context"])
async def test_links_out_of_the_repository_are_not_followed(builder: Builder, repository: Repository, name: str) -> None:
    """A repository cannot make the builder read files of its machine."""
    secret = repository.folder.parent / "secret"
    secret.mkdir()
    (secret / "key").write_text("top-secret")
    repository.commit({"Dockerfile": BASE} if name != "Dockerfile" else {})
    (repository.folder / name).symlink_to(secret if name == "context" else secret / "key")
    repository.commit({})
    spec = BuildSpec(context="context") if name == "context" else BuildSpec()
    failure = await failing(builder, repository.build(build=spec))
    assert failure.code == "build_path_outside"
    assert name in failure.message
    assert "top-secret" not in failure.model_dump_json()


async def test_a_base_image_that_does_not_exist(builder: Builder, repository: Repository) -> None:
    """The registry answers, and has no such image."""
    name = f"{builder.settings.registry}/no/such:1"
    repository.commit({"Dockerfile": f"FROM {name}\n"})
    failure = await failing(builder, repository.build())
    assert failure.code == "base_image_missing"
    assert name in failure.message


async def test_a_base_image_whose_registry_cannot_be_reached(builder: Builder, repository: Repository) -> None:
    """It says which image, which registry, and what can be done; it may pass."""
    repository.commit({"Dockerfile": "FROM registry.invalid/node:22\n"})
    failure = await failing(builder, repository.build())
    assert (failure.code, failure.may_pass) == ("base_image_unreachable", True)
    assert "the image registry.invalid/node:22 cannot be pulled" in failure.message
    assert "SLIPWAY_BUILD_ARGS" in failure.message


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
@pytest.mark.parametrize("who", ["registry", "its token server"])
async def test_a_base_image_whose_registry_is_too_busy(builder: Builder, repository: Repository, status: str, who: str) -> None:
    """It is tried again: what a registry refuses for a while, or its token server, is no reason to look for another image."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        wants_token = who != "registry" and not path.startswith(b"/token")
        challenge = f'WWW-Authenticate: Bearer realm="http://{host}/token",service="{host}"\r\n' if wants_token else ""
        first = "401 Unauthorized" if wants_token else status
        writer.write(f"HTTP/1.1 {first}\r\n{challenge}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())

    async with listening(answer) as port:
        host = f"127.0.0.1:{port}"
        repository.commit({"Dockerfile": f"FROM {host}/node:22\n"})
        failure = await failing(builder, repository.build())
    assert (failure.code, failure.may_pass) == ("base_image_unreachable", True)
    assert f"the image {host}/node:22 cannot be pulled" in failure.message
    assert f"({host}) answers {status}" in failure.message


async def test_a_step_killed_for_memory(builder: Builder, repository: Repository) -> None:
    """The limit of all builds holds for RUN steps, and the failure says what it is and what to do."""
    repository.commit({"Dockerfile": f"{BASE}RUN head -c 300m /dev/zero | tail\n"})
    failure = await failing(builder.with_settings(build_memory_bytes=64 * 2**20), repository.build())
    assert failure.code == "build_out_of_memory"
    assert "Dockerfile, line 3" in failure.message
    assert "64 MiB" in failure.message
    roomy = repository.build()
    await builder.with_settings(build_memory_bytes=2**30)(roomy)


async def test_a_step_that_hides_its_killed_child(builder: Builder, repository: Repository) -> None:
    """Exit code 1 after the kernel killed a child is told from the control group's own count."""
    repository.commit({"Dockerfile": f"{BASE}RUN (head -c 300m /dev/zero | tail) || exit 1\n"})
    failure = await failing(builder, repository.build(memory_bytes=64 * 2**20))
    assert failure.code == "build_out_of_memory"
    assert "exit code 1" in failure.message


async def test_a_build_that_takes_too_long(builder: Builder, repository: Repository) -> None:
    """The time limit ends the step, and the failure says which one it was at."""
    repository.commit({"Dockerfile": f"{BASE}RUN echo begun; sleep 987.5\n"})
    failure = await failing(builder.with_settings(build_timeout_s=2), repository.build())
    assert failure.code == "build_timed_out"
    assert "did not end within 2 s. It was at Dockerfile, line 3: `RUN echo begun; sleep 987.5`" in failure.message
    assert failure.log_tail == ("begun",)
    await eventually(lambda: _gone("987.5"), within=3)


async def test_a_cancelled_build_ends_at_once(builder: Builder, repository: Repository) -> None:
    """Within a second the RUN step has ended; no process, checkout, image or tag is left."""
    repository.commit({"Dockerfile": f"{BASE}RUN echo begun; sleep 986.5\n"})
    command = repository.build(key="cancelled")
    work = RecordedWork(command)
    task = asyncio.create_task(builder(command, work))

    async def begun() -> bool:
        return "begun" in await work.lines()

    await eventually(begun)
    start = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: _gone("986.5"), within=20)
    assert time.monotonic() - start < 30, "hangs"
    assert list((builder.settings.state / "work").iterdir()) == []
    assert await builder.outside.registry.find("main/todo/web", "cancelled") is None


async def _gone(mark: str) -> bool:
    return not any(mark in " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))


async def test_no_room_on_the_disk(builder: Builder, repository: Repository) -> None:
    """A build waits for room, says so, and in the end fails with what is free and what must be."""
    repository.commit({"Dockerfile": BASE})
    command = repository.build()
    work = RecordedWork(command)
    failure = await failing(builder.with_settings(free_disk_bytes=2**60, admission_wait_s=0.2), command, work)
    assert (failure.code, failure.may_pass) == ("no_space", True)
    assert "disk: " in failure.message
    assert "waiting for room: disk: " in (await work.lines())[0]


async def test_a_secret_without_a_value(builder: Builder, repository: Repository) -> None:
    """A secret that the manifest names and nobody has set."""
    repository.commit({"Dockerfile": BASE})
    failure = await failing(builder, repository.build(build=BuildSpec(secrets=("NPM_TOKEN",))))
    assert failure.code == "secret_missing"
    assert "NPM_TOKEN" in failure.message


async def test_a_secret_that_the_dockerfile_asks_for_but_the_manifest_does_not_name(builder: Builder, repository: Repository) -> None:
    """BuildKit's own word, with the line."""
    repository.commit({"Dockerfile": f"{BASE}RUN --mount=type=secret,id=A,required cat /run/secrets/A\n"})
    failure = await failing(builder, repository.build())
    assert failure.code == "secret_missing"
    assert "line 3" in failure.message


async def test_a_secret_of_another_target(builder: Builder, repository: Repository, tmp_path: Path) -> None:
    """A value sealed to another key cannot be opened, and says so."""
    repository.commit({"Dockerfile": BASE})
    sealed = Sealed(values={"A": builder.seal("value")})
    (builder.settings.home / "keys" / "target.key").write_bytes(os.urandom(32))
    failure = await failing(builder, repository.build(build=BuildSpec(secrets=("A",)), secrets=sealed))
    assert failure.code == "secret_unreadable"


async def test_an_engine_that_does_not_answer(builder: Builder, repository: Repository, engine: TestEngine) -> None:
    """It is away for now, and the step waits for it; it is no failure of the build."""
    repository.commit({"Dockerfile": BASE})
    nowhere = f"unix://{repository.folder}/none.sock"
    client = await find_client(builder.settings.model_copy(update={"docker_host": nowhere}))
    away = Builder(builder.settings, Outside(builder.outside.registry, Engine(nowhere), client, builder.outside.about))
    with pytest.raises(Unavailable, match="container engine"):
        await away(repository.build())


async def test_an_engine_that_dies_during_a_build(
    builder: Builder, repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It is away, and the build will be made again: a crash of the engine is no failure of the Dockerfile."""
    with running_engine(tmp_path_factory.mktemp("own")) as own:
        shutil.copy("/bin/busybox", repository.folder / "busybox")
        repository.commit({"Dockerfile": 'FROM scratch\nCOPY busybox /bin/\nRUN ["/bin/busybox", "sleep", "983.5"]\n'})
        settings = builder.settings.model_copy(update={"docker_host": own.host})
        engine = Engine(own.host)
        outside = Outside(builder.outside.registry, engine, await find_client(settings), builder.outside.about)
        task = asyncio.create_task(Builder(settings, outside)(repository.build()))

        async def begun() -> bool:
            return not await _gone("983.5")

        await eventually(begun)
        os.kill(own.pid, signal.SIGKILL)
        try:
            with pytest.raises(Unavailable, match=r"the container engine at .* does not answer"):
                await task
        finally:
            await engine.close()
            for left in psutil.process_iter(["cmdline"]):
                if "983.5" in (left.info["cmdline"] or ()):
                    left.kill()


async def test_a_registry_that_does_not_answer(builder: Builder, repository: Repository) -> None:
    """The same for the registry."""
    repository.commit({"Dockerfile": BASE})
    registry = Registry("127.0.0.1:9")
    away = Builder(builder.settings, Outside(registry, builder.outside.engine, builder.outside.client, builder.outside.about))
    with pytest.raises(Unavailable, match="registry"):
        await away(repository.build())
    await registry.close()


async def test_a_client_that_cannot_build(builder: Builder, tmp_path: Path) -> None:
    """Without a usable client the builder says at its start what to install."""
    with pytest.raises(NoClient, match=r"apt-get install docker\.io"):
        await find_client(builder.settings.model_copy(update={"docker_cli": tmp_path / "docker"}))
