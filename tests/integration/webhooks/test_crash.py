"""The process dies at the worst moment: when git has updated the ref and nothing is written, or when a delivery is answered and not judged."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import httpx
from pydantic import SecretStr

from embedded.home import Home
from shared.contracts.changes import FoundBy
from shared.rpc import server
from shared.settings import ServiceSettings
from tests.component.webhooks.conftest import api, certificates, undecided
from tests.component.webhooks.deliveries import A, B, deliver, push
from tests.component.webhooks.neighbours import TOKEN, Api, Auth, Coordinator
from tests.component.webhooks.workingcopy import WorkingCopy
from tests.polling import eventually
from tests.stack import free_port, migrated

__all__ = ["api", "certificates"]


async def test_a_push_whose_process_was_killed_before_it_was_written_is_found(
    api: Api,
    certificates: Home,
    nats_url: str,
    postgres_dsn: str,
    tmp_path: Path,
) -> None:
    """Killed with the ref updated and its change unwritten; after the next start the sweep finds it, with its pusher."""
    await migrated(postgres_dsn, "webhooks")
    copy = await WorkingCopy.new(tmp_path / "copy")
    commit = await copy.commit("Work")
    coordinator = await Coordinator.on(ServiceSettings(nats_url=nats_url, nats_user="coordinator", nats_password=SecretStr("test")))
    async with _environment(api, certificates, nats_url, postgres_dsn, tmp_path) as environment:
        url = f"http://{environment['SLIPWAY_HTTP_ADDRESS']}"
        remote = url.replace("http://", f"http://git:{TOKEN}@") + "/git/main/todo.git"
        blocker = await asyncpg.connect(postgres_dsn)
        async with blocker.transaction():
            with _process(environment) as process:
                await _ready(environment)
                await blocker.execute("LOCK TABLE webhooks.heads IN ACCESS EXCLUSIVE MODE")
                push = await copy.start("push", remote, "main:main")
                await eventually(lambda: _stands_at(tmp_path, commit), within=20)
                process.kill()
                await push.wait()
        await blocker.close()
        assert await coordinator.nothing()
        with _process(environment):
            change = await coordinator.take(within=30)
    assert (change.ref, change.commit, change.found_by) == ("refs/heads/main", commit, FoundBy.SWEEP)
    assert change.pusher.person == "p-ada"
    await coordinator.bus.close()


async def test_deliveries_whose_process_was_killed_before_they_were_judged_are_judged_once(
    api: Api,
    certificates: Home,
    nats_url: str,
    postgres_dsn: str,
    tmp_path: Path,
) -> None:
    """Killed with two deliveries answered 202; after the next start they are changes in their order, and known where they come again."""
    await migrated(postgres_dsn, "webhooks")
    coordinator = await Coordinator.on(ServiceSettings(nats_url=nats_url, nats_user="coordinator", nats_password=SecretStr("test")))
    async with (
        _environment(api, certificates, nats_url, postgres_dsn, tmp_path) as environment,
        httpx.AsyncClient(base_url=f"http://{environment['SLIPWAY_HTTP_ADDRESS']}", timeout=30) as http,
    ):
        async with undecided(postgres_dsn):
            with _process(environment) as process:
                await _ready(environment)
                answers = [await deliver(http, push(commit), delivery=f"d-{commit[0]}") for commit in (A, B)]
                process.kill()
            assert [answer.status_code for answer in answers] == [202, 202]
        with _process(environment):
            changes = sorted([await coordinator.take(within=30) for _ in range(2)], key=lambda change: change.arrival)
            await _ready(environment)
            assert (await deliver(http, push(B), delivery="d-b")).json()["status"] == "known"
    assert [(change.commit, change.found_by) for change in changes] == [(A, FoundBy.DELIVERY), (B, FoundBy.DELIVERY)]
    assert [change.delivery for change in changes] == [answer.json()["delivery"] for answer in answers]
    assert await coordinator.nothing()
    await coordinator.bus.close()


async def _stands_at(tmp_path: Path, commit: str) -> bool:
    ref = tmp_path / "home" / "repositories" / "main" / "todo.git" / "refs" / "heads" / "main"
    return ref.exists() and ref.read_text().strip() == commit


@asynccontextmanager
async def _environment(
    api: Api,
    home: Home,
    nats_url: str,
    dsn: str,
    tmp_path: Path,
) -> AsyncIterator[dict[str, str]]:
    auth = Auth()  # type: ignore[abstract]
    async with (
        server("127.0.0.1:0", home.tls, "api", api.register) as api_port,
        server("127.0.0.1:0", home.tls, "auth", auth.register) as auth_port,
    ):
        yield {
            "PATH": os.environ["PATH"],
            "SLIPWAY_HOME": str(tmp_path / "home"),
            "SLIPWAY_NATS_URL": nats_url,
            "SLIPWAY_NATS_USER": "webhooks",
            "SLIPWAY_NATS_PASSWORD": "test",
            "SLIPWAY_POSTGRES_DSN": dsn,
            "SLIPWAY_TLS_DIR": str(home.tls),
            "SLIPWAY_API_ADDRESS": f"127.0.0.1:{api_port}",
            "SLIPWAY_AUTH_ADDRESS": f"127.0.0.1:{auth_port}",
            "SLIPWAY_MASTER_KEY_FILE": str(home.keys / "master.key"),
            "SLIPWAY_CLONE_KEY_FILE": str(home.keys / "clone.key"),
            "SLIPWAY_HTTP_ADDRESS": f"127.0.0.1:{free_port()}",
            "SLIPWAY_HEALTH_PORT": str(free_port()),
        }


@contextmanager
def _process(environment: dict[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen([sys.executable, "-m", "services.webhooks.app"], env=environment, cwd=Path(__file__).parents[3])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def _ready(environment: dict[str, str]) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{environment['SLIPWAY_HEALTH_PORT']}") as http:

        async def answers() -> bool:
            try:
                return (await http.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(answers, within=30)
