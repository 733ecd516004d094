"""Services that are told to stop while NATS and PostgreSQL hang: they accept connections, and answer nothing."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from embedded import authority
from embedded.home import Home
from shared.authorities import nobody
from tests.integration.test_messaging_outages import declared
from tests.polling import eventually
from tests.stack import PostgresServer, free_port, migrated, nats_server, postgres_server

WITHIN_S = 10.0
"""After it the supervisor kills."""
NAMES = ("auth", "coordinator")
"""One with workers and gRPC, one whose statements are always on their way."""


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """One of the test's own."""
    with postgres_server() as running:
        yield running


@contextmanager
def hung(pids: list[int]) -> Iterator[None]:
    """These processes and their children are stopped within the block."""
    family = [each for pid in pids for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]
    for process in family:
        process.suspend()
    try:
        yield
    finally:
        for process in family:
            if process.is_running():
                process.resume()


@contextmanager
def service(name: str, environment: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A service as a process of its own."""
    own = {"SLIPWAY_NATS_USER": name, "SLIPWAY_NATS_PASSWORD": "test"}
    process = subprocess.Popen([sys.executable, "-m", "tests.faults.strikes.service", name], env={**os.environ, **environment, **own})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def readiness(port: int) -> int:
    """The status of its readiness page; 0 where there is none yet."""
    async with httpx.AsyncClient(timeout=30, verify=nobody()) as client:
        try:
            return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code
        except httpx.TransportError:
            return 0


@pytest.mark.timeout(120)
async def test_services_are_gone_in_time_though_their_surroundings_hang(tmp_path: Path, postgres: PostgresServer) -> None:
    """Each ends by itself and in order, with statements, fetches and requests on their way that nobody will answer."""
    home = Home.at(tmp_path / "home")
    home.prepare()
    authority.prepare(home, NAMES)
    ports = {name: free_port() for name in NAMES}
    with nats_server() as nats, ExitStack() as stack:
        await declared(nats.url)
        shared = {"SLIPWAY_TLS_DIR": str(home.tls), "SLIPWAY_NATS_URL": nats.url, "SLIPWAY_POSTGRES_DSN": postgres.dsn()}
        processes = {}
        for name, port in ports.items():
            await migrated(postgres.dsn(), name)
            processes[name] = stack.enter_context(service(name, {**shared, "SLIPWAY_HEALTH_PORT": str(port)}))

        async def all_say(status: int) -> None:
            async def said() -> bool:
                return [await readiness(port) for port in ports.values()] == [status] * len(ports)

            await eventually(said, within=60)

        await all_say(200)
        assert nats.process is not None
        with hung([nats.process.pid, int((postgres.folder / "data" / "postmaster.pid").read_text().split()[0])]):
            await all_say(503)
            since = time.monotonic()
            for process in processes.values():
                process.terminate()
            ends = dict[str, int | None]()

            async def gone() -> bool:
                ends.update((name, process.poll()) for name, process in processes.items())
                return None not in ends.values()

            await eventually(gone, within=30)
            assert time.monotonic() - since < WITHIN_S
        assert ends == dict.fromkeys(NAMES, 0)
