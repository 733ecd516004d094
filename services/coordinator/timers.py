"""Timers of sagas, by the database's clock; and beats, which count only while this process was connected."""

import asyncio
from datetime import datetime, timedelta

import structlog
from nats.aio.msg import Msg

from services.coordinator.coordinator import Coordinator
from services.coordinator.inputs import Tick
from services.coordinator.store import sagas
from shared.bus import Bus
from shared.consumer import UNAVAILABLE, is_outage

log = structlog.get_logger()
LOOK_S = 0.25
AT_ONCE = 100
FORGET_S = 60.0
"""Longer than a worker may be silent. Too many steps of the last hour would be gone through again at every beat."""
PUT_OFF = timedelta(minutes=1)


class Beats:
    """When each step was last heard, by the monotonic clock."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._heard: dict[str, float] = {}
        self._connected = asyncio.get_running_loop().time()
        bus.on_reconnect(self._reconnected)

    async def listen(self) -> None:
        """Hears beats from now on."""
        await self._bus.nc.subscribe("slipway.beat.>", cb=self._hear)

    async def _hear(self, message: Msg) -> None:
        now = asyncio.get_running_loop().time()
        self._heard[message.subject.rsplit(".", 1)[-1]] = now
        if len(self._heard) > 10_000:
            self._heard = {key: at for key, at in self._heard.items() if now - at < FORGET_S}

    async def _reconnected(self) -> None:
        self._connected = asyncio.get_running_loop().time()

    def tick(self, deployment: str, steps: list[str], clock: datetime) -> Tick:
        """What a timer needs to know, on the database's clock."""
        now = asyncio.get_running_loop().time()
        connected = self._connected if self._bus.connected else now
        heard = {step: at for step in steps if (at := self._heard.get(f"{deployment}-{step}")) is not None}
        return Tick(
            connected_since=clock - timedelta(seconds=now - connected),
            heard={step: clock - timedelta(seconds=now - at) for step, at in heard.items()},
        )


async def tick(coordinator: Coordinator, beats: Beats) -> None:
    """Fires timers for ever. Several replicas share the work: a saga that somebody else is at is skipped."""
    while True:
        try:
            busy = await _fire_some(coordinator, beats)
        except UNAVAILABLE as error:
            log.warning("timers paused", error=str(error) or type(error).__name__)
            busy = False
        if not busy:
            await asyncio.sleep(LOOK_S)


async def _fire_some(coordinator: Coordinator, beats: Beats) -> bool:
    """Together, or one by one where one of them cannot be written; whether there may be more."""
    try:
        return await _fire(coordinator, beats, AT_ONCE, [])
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("timers are fired one by one")
    for _ in range(AT_ONCE):
        if not await _fire_one(coordinator, beats):
            return False
    return True


async def _fire_one(coordinator: Coordinator, beats: Beats) -> bool:
    fired: list[str] = []
    try:
        return await _fire(coordinator, beats, 1, fired)
    except Exception as error:
        if is_outage(error) or not fired:
            raise
        log.exception("timer put off", deployments=fired)
        async with coordinator.pool.acquire() as connection:
            for deployment in fired:
                await sagas.postpone(connection, deployment, PUT_OFF)
        return True


async def _fire(coordinator: Coordinator, beats: Beats, most: int, fired: list[str]) -> bool:
    """The timers of so many deployments, in one transaction; whether there were as many. It says whose also where it fails."""
    async with coordinator.work() as work:
        due, unreadable = await sagas.lock_due(work.connection, most)
        for deployment in unreadable:
            await sagas.postpone(work.connection, deployment, PUT_OFF)
        fired += [loaded.saga.id for loaded in due]
        for loaded in due:
            work.hold(loaded)
            try:
                await work.apply(loaded.saga.id, beats.tick(loaded.saga.id, list(loaded.saga.steps), loaded.clock))
            except Exception as error:
                if is_outage(error):
                    raise
                # A deployment that cannot be moved must not keep the timers of all others from firing.
                log.exception("timer failed", deployment=loaded.saga.id)
                await sagas.postpone(work.connection, loaded.saga.id, PUT_OFF)
    return len(due) + len(unreadable) == most
