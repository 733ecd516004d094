"""A real engine, a real registry, a base image from scratch; for each test a builder with a home of its own."""

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from nacl.public import PrivateKey

from services.builder.docker_cli import find_client
from services.builder.engine import Engine
from services.builder.handlers import Outside, handlers
from services.builder.registry import Registry
from services.builder.settings import Settings
from shared.contracts.commands import Command
from shared.contracts.facts import Fact
from shared.sealing import public_key_of, seal
from tests.component.builder.engine import TestEngine, running_engine
from tests.component.builder.recording import RecordedWork
from tests.component.builder.repository import Repository


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestEngine]:
    """An engine of the tests' own."""
    with running_engine(tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry; its address."""
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    configuration = folder / "config.yml"
    configuration.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}\nhttp: {{addr: {address}}}\n"
    )
    program = shutil.which("docker-registry") or "/usr/bin/docker-registry"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(configuration)], stdout=log, stderr=log)
    try:
        _wait_for(address)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(address: str) -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + 10
    while True:
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        assert time.monotonic() < deadline, f"{address} does not answer"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def base(engine: TestEngine, registry: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a base image: busybox and nothing else, in the registry."""
    folder = tmp_path_factory.mktemp("base")
    shutil.copy("/bin/busybox", folder / "busybox")
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\n')
    name = f"{registry}/base/busybox:1"
    engine.docker("build", "--quiet", "--tag", name, ".", folder=folder)
    engine.docker("push", "--quiet", name)
    return name


@dataclass(frozen=True)
class Builder:
    """The builder's handlers, as its process has them."""

    settings: Settings
    outside: Outside

    async def __call__(self, command: Command, work: RecordedWork | None = None) -> Fact:
        """Handles a command."""
        return await handlers(self.settings, self.outside)[type(command)](command, work or RecordedWork(command))

    def with_settings(self, **changes: object) -> "Builder":
        """The same with other settings."""
        return Builder(self.settings.model_copy(update=changes), self.outside)

    def seal(self, value: str) -> str:
        """A value that only this target can open."""
        key = self.settings.home / "keys" / "target.key"
        return seal(public_key_of(key.read_bytes()), value.encode())


@pytest.fixture
async def builder(engine: TestEngine, registry: str, base: str, tmp_path: Path) -> AsyncIterator[Builder]:
    """A builder with a home of its own, on the tests' engine and registry."""
    home = tmp_path / "home"
    (home / "keys").mkdir(parents=True)
    (home / "keys" / "target.key").write_bytes(bytes(PrivateKey.generate()))
    settings = Settings(
        home=home,
        instance=f"t{secrets.token_hex(3)}",
        docker_host=engine.host,
        registry=registry,
        build_args={"BASE": base},
        build_cgroup=f"{engine.cgroup}/buildkit",
        git_protocols=("http", "file"),
        private_forges=("127.0.0.1",),
        free_disk_bytes=1,
        free_memory_bytes=1,
    )
    client = await find_client(settings)
    docker, images = Engine(engine.host), Registry(registry)
    yield Builder(settings, Outside(images, docker, client, await docker.about()))
    await docker.close()
    await images.close()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """An empty repository."""
    return Repository.at(tmp_path / "repository")
