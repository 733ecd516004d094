"""What every service process is: logs, traces, the bus, a health server, background tasks, and an orderly end."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TypeVar

import structlog

from shared import logs, relay, telemetry
from shared.bus import Bus, ConnectionLost
from shared.health import Check, serve_health
from shared.postgres import Pool, database
from shared.settings import ServiceSettings, StatefulSettings

T = TypeVar("T")
GARBAGE = 10_000
"""Objects that may have become garbage before the collector looks: a parsed request alone makes some hundred."""
STOP_S = 6.0
"""How long background tasks get to end after SIGTERM."""
END_S = 9.0
"""When everything is closed at the latest; the supervisor kills after ten seconds."""


def worker_name() -> str:
    """Host and process: who did it."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Process:
    """One running service. Made by `started`."""

    def __init__(self, name: str, settings: ServiceSettings, bus: Bus, stack: AsyncExitStack) -> None:
        self.name = name
        self.settings = settings
        self.bus = bus
        self.checks: dict[str, Check] = {"start": self._has_started, "bus": bus.ready}
        self._stack = stack
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None
        self._started = False
        self._ends_at: float | None = None

    async def enter(self, resource: AbstractAsyncContextManager[T]) -> T:
        """Opens a resource that is closed, in reverse order, when the process ends."""
        opened = await resource.__aenter__()
        name = getattr(resource, "func", type(resource)).__name__
        self._stack.push_async_exit(lambda *raised: self.in_time(name, resource.__aexit__(*raised)))
        return opened

    async def in_time(self, name: str, closing: Awaitable[T]) -> T | None:
        """Waits until something is closed. What hangs gets half of the time that is left, so that what is closed after it has some, too."""
        try:
            async with asyncio.timeout(self.left() / 2):
                return await closing
        except TimeoutError:
            structlog.get_logger().warning("not closed in time", what=name)
            return None

    def left(self) -> float:
        """Seconds until everything has to be closed, from the first call on."""
        now = asyncio.get_running_loop().time()
        self._ends_at = self._ends_at or now + END_S
        return max(self._ends_at - now, 0.0)

    async def database(self, settings: StatefulSettings, schema: str) -> Pool:
        """The pool of a service that keeps state, and its readiness check."""
        pool = await self.enter(database(settings.postgres_dsn.get_secret_value(), schema, size=settings.pool_size))

        async def answers() -> None:
            await pool.fetchval("SELECT 1", timeout=2)

        self.check("database", answers)
        self.measure(partial(relay.measure, pool, schema))
        return pool

    def measure(self, measure: Callable[[], Awaitable[None]]) -> None:
        """Sets gauges whenever somebody asks for the metrics, as long as the process runs."""
        self._stack.enter_context(telemetry.measured(measure))

    def check(self, name: str, check: Check) -> None:
        """Adds a readiness check: it raises where the process is not ready."""
        self.checks[name] = check

    def spawn(self, name: str, work: Coroutine[object, object, None]) -> None:
        """Runs work in the background; where it fails or ends, the process ends and is started again."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def stop(self) -> None:
        """Begins the orderly end."""
        self._stopping.set()

    async def until_stopped(self) -> None:
        """Waits for SIGTERM or SIGINT, for a closed bus, or for the failure of a background task, which it raises.

        Until it is called the process is not ready: what it serves may not be open yet.
        """
        self._started = True
        self.spawn("bus", self._watch_bus())
        await self._stopping.wait()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=min(STOP_S, self.left()))
        if self._failure is not None:
            raise self._failure

    async def _has_started(self) -> None:
        if not self._started:
            raise RuntimeError("still starting")

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self._stopping.is_set():  # one that was cancelled by mistake is missed as much as one that failed
            self._failure = (None if task.cancelled() else task.exception()) or RuntimeError(f"{task.get_name()} ended")
            self._stopping.set()

    async def _watch_bus(self) -> None:
        await self.bus.closed.wait()
        raise ConnectionLost(self.name)


@asynccontextmanager
async def started(name: str, settings: ServiceSettings) -> AsyncIterator[Process]:
    """Opens what every service has; closes it all at the end, whatever happened."""
    logs.configure(name, settings.log_level)
    async with AsyncExitStack() as stack:
        provider = telemetry.configure(name, settings.instance, settings.otlp_endpoint)
        bus = await Bus.connect(settings, name)
        process = Process(name, settings, bus, stack)
        stack.callback(lambda: telemetry.end(provider, process.left()))
        stack.push_async_callback(lambda: process.in_time("bus", bus.close()))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, process.stop)
        await process.enter(serve_health(settings.health_port, process.checks))
        structlog.get_logger().info("started", pid=os.getpid())
        yield process
        structlog.get_logger().info("stopped")


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Runs a service until it is told to stop; the exit status is 1 where it failed."""
    import uvloop

    # What was imported stays: the collector would look through all of it, a tenth of a second in which nobody is answered.
    gc.freeze()
    gc.set_threshold(GARBAGE)
    try:
        uvloop.run(_await(main))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 -- the process edge: it is the log's last line
        logs.died(error)
        sys.exit(1)


async def _await(main: Callable[[], Awaitable[None]]) -> None:
    await main()
