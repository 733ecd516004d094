"""The real coordinator: engine, store, outbox, relay, inbox."""

import asyncio
import itertools
import os
import time
from collections.abc import Iterator
from types import SimpleNamespace

import nats
from nats.aio.msg import Msg
from pydantic import SecretStr

from bench import five_steps
from services.coordinator import app
from services.coordinator.coordinator import Coordinator
from services.coordinator.inputs import Planned
from services.coordinator.saga import DeploymentState, Saga, Want
from services.coordinator.settings import Settings
from services.coordinator.store import sagas
from shared.contracts.events import Event
from shared.messages import new_id
from shared.process import started

_numbers = itertools.count(int(time.time()) % 1_000_000 * 1000)


async def measure(url: str, dsn: str, sagas: int, at_once: int) -> float:
    """Sagas a second."""
    os.environ["SLIPWAY_LOG_LEVEL"] = "WARNING"
    settings = Settings(
        nats_url=url, nats_user="coordinator", nats_password=SecretStr("test"), postgres_dsn=SecretStr(dsn), log_level="WARNING"
    )
    async with started("coordinator", settings) as process:
        coordinator = await app.build(process, settings, SimpleNamespace())  # type: ignore[arg-type]  # no catalogue is asked
        ended: dict[str, asyncio.Event] = {}

        async def hear(message: Msg) -> None:
            event = Event.decode(message.data)
            if event.deployment in ended:
                ended[event.deployment].set()

        listener = await nats.connect(url, user="admin", password="test")
        await listener.subscribe("slipway.evt.*.*.*.deployment.succeeded", cb=hear)
        begin = time.perf_counter()
        left = iter(range(sagas))
        await asyncio.gather(*(_worker(coordinator, ended, left) for _ in range(at_once)))
        rate = sagas / (time.perf_counter() - begin)
        await listener.close()
        process.stop()
        await process.until_stopped()
        return rate


async def _worker(coordinator: Coordinator, ended: dict[str, asyncio.Event], left: Iterator[int]) -> None:
    for _ in left:
        deployment = new_id()
        ended[deployment] = asyncio.Event()
        plan, steps = five_steps.plan()
        async with coordinator.work() as work:
            now = await sagas.clock(work.connection)
            origin = five_steps.origin(next(_numbers))
            saga = Saga(id=deployment, origin=origin, state=DeploymentState.RUNNING, created_at=now, epoch=1, wants=Want.PLAN)
            await sagas.insert(work.connection, saga)
            work.hold(sagas.Loaded(saga, now))
            await work.apply(deployment, Planned(plan, steps))
        await ended[deployment].wait()
        del ended[deployment]
