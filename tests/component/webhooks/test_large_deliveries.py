"""Deliveries as large as forges send them, to webhooks in a process of its own: taken in time, in bounded memory, and nobody waits for them."""

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import DEVNULL
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import asyncpg
import httpx
import psutil
import pytest
from pydantic import SecretStr

from embedded.home import Home
from services.webhooks.requests import BODY_LIMIT, LARGE_MOST
from services.webhooks.settings import Settings
from shared.authorities import nobody
from shared.postgres import Connection
from shared.subprocesses import spawn
from tests.component.webhooks.conftest import settings_beside
from tests.component.webhooks.deliveries import A, B, deliver, push
from tests.component.webhooks.neighbours import Api, Auth, Coordinator
from tests.polling import eventually
from tests.stack import free_port, service_settings

FORGES_WAIT_S = 10.0
BUSY = 3
"""As many times as long it may take while other tests run beside."""
TOGETHER = 8
BESIDES = 200 * 1024**2
"""Bytes that the program needs which reads a large body, and what the interpreter does not give back at once."""


@dataclass
class Apart:
    """webhooks as a process."""

    http: httpx.AsyncClient
    health: str
    process: psutil.Process
    database: Connection

    def memory(self) -> int:
        """Bytes that it and what it started have in memory now."""
        found = 0
        for one in (self.process, *self.process.children(recursive=True)):
            try:
                found += one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return found


@pytest.fixture
async def apart(api: Api, nats_url: str, postgres_dsn: str, certificates: Home, tmp_path: Path) -> AsyncIterator[Apart]:
    """It has taken a delivery already."""
    port, health = free_port(), free_port()
    auth = Auth()  # type: ignore[abstract]
    database = await asyncpg.connect(postgres_dsn, server_settings={"search_path": "webhooks"})
    more = {"http_address": f"127.0.0.1:{port}", "health_port": health}
    async with settings_beside(api, auth, certificates, nats_url, postgres_dsn, tmp_path / "home", **more) as settings:
        program = await spawn(sys.executable, "-m", "services.webhooks.app", env=_environment(settings), stdout=DEVNULL, stderr=DEVNULL)
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, verify=nobody()) as http:
                found = Apart(http, f"http://127.0.0.1:{health}/healthz", psutil.Process(program.pid), database)

                async def takes() -> bool:
                    try:
                        return (await deliver(http, push(A), delivery="first")).is_success
                    except httpx.TransportError:
                        return False

                await eventually(takes)
                yield found
        finally:
            program.terminate()
            await program.wait()
            program.close()
    await database.close()


def _environment(settings: Settings) -> dict[str, str]:
    found = {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in settings}
    given = {f"SLIPWAY_{name.upper()}": str(value) for name, value in found.items() if value not in (None, ())}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3])} | given


def large_push(size: int, commit: str) -> bytes:
    """A push of many commits with many files each, as GitHub sends it: nearly `size` bytes."""
    payload = push(commit, ref=f"refs/heads/{commit[:7]}")
    one = payload["head_commit"] | {"added": [f"services/web/src/components/part-{number}/größe.tsx" for number in range(200)]}
    most = (size - len(json.dumps(payload))) // len(json.dumps(one)) - 1
    return json.dumps(payload | {"commits": [one | {"id": f"{number:040x}"} for number in range(most)]}).encode()


async def test_a_delivery_of_25_mb_is_taken_in_time_and_kept(apart: Apart, nats_url: str) -> None:
    """Its change is on the bus, its body in the database."""
    body = large_push(BODY_LIMIT, B)
    assert len(body) > BODY_LIMIT * 0.99
    since = time.monotonic()
    answer = await deliver(apart.http, body, delivery="d-25")
    assert (answer.status_code, len(answer.json()["changes"])) == (202, 1)
    assert time.monotonic() - since < FORGES_WAIT_S * BUSY
    assert await apart.database.fetchval("SELECT body FROM deliveries WHERE key = 'd-25'") == body
    coordinator = await Coordinator.on(service_settings(Settings, "coordinator", nats_url, postgres_dsn=SecretStr("")))
    changes = [await coordinator.take() for _ in range(2)]
    await coordinator.bus.close()
    assert {change.commit for change in changes} == {A, B}
    assert max(len(change.encode()) for change in changes) < 10_000


async def test_several_of_25_mb_at_once_take_bounded_memory(apart: Apart) -> None:
    """What finds no room is told to come again; what is answered 202 is there; and those that come again are taken."""
    bodies = {f"d-{number}": large_push(BODY_LIMIT, f"{number:040x}") for number in range(TOGETHER)}
    before = apart.memory()
    async with _watched(apart) as seen:
        answers = dict(zip(bodies, await asyncio.gather(*(deliver(apart.http, bodies[key], delivery=key) for key in bodies)), strict=True))
    told = Counter(answer.status_code for answer in answers.values())
    assert set(told) == {202, 503}, told
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers.values() if answer.status_code == 503)
    taken = {key for key, answer in answers.items() if answer.status_code == 202}
    assert {row["key"] for row in await apart.database.fetch("SELECT key FROM deliveries WHERE key <> 'first'")} == taken
    assert max(seen) - before < 3 * LARGE_MOST + BESIDES, [size // 1024**2 for size in (before, *seen)]
    for key in bodies.keys() - taken:
        assert (await deliver(apart.http, bodies[key], delivery=key)).status_code == 202


async def test_a_megabyte_keeps_nobody_waiting(apart: Apart) -> None:
    """Others are answered about as soon as while small deliveries are taken."""
    large = [large_push(1024**2, f"{number:040x}") for number in range(10)]
    small = [json.dumps(push(B, ref=f"refs/heads/b{number}")).encode() for number in range(10)]
    waits = {}
    for name, bodies in (("small", small), ("large", large)):
        waits[name] = median([await _longest_wait(apart, body, f"{name}-{number}") for number, body in enumerate(bodies)])
    assert waits["large"] < waits["small"] * 3 + 0.05, waits


async def _longest_wait(apart: Apart, body: bytes, key: str) -> float:
    """Seconds that the process's event loop let somebody else wait while it took a delivery."""
    longest, over = 0.0, False

    async def beat() -> None:
        nonlocal longest
        async with httpx.AsyncClient(verify=nobody(), timeout=60) as client:
            while not over:
                since = time.monotonic()
                await client.get(apart.health)
                longest = max(longest, time.monotonic() - since)

    beating = asyncio.create_task(beat())
    assert (await deliver(apart.http, body, delivery=key)).status_code == 202
    over = True
    await beating
    return longest


@asynccontextmanager
async def _watched(apart: Apart) -> AsyncIterator[list[int]]:
    """What it has in memory meanwhile."""
    seen: list[int] = []

    async def watch() -> None:
        while True:
            seen.append(apart.memory())
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()
