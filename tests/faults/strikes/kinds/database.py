"""PostgreSQL restarted, away, and without connections to give."""

import asyncio
import signal
import time

import asyncpg

from shared.postgres import UNAVAILABLE
from tests.faults.strikes.kinds.bus import nobody_restarts
from tests.faults.strikes.kinds.strike import Scene, Strike

_END_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"


def restarted(scene: Scene) -> None:
    """In order: whoever is connected is sent away."""
    scene.machine.signal("postgres", signal.SIGINT)
    time.sleep(1.0)


def away(scene: Scene) -> None:
    """Down for most of a minute, or for minutes."""
    with nobody_restarts(scene.machine):
        scene.machine.signal("postgres", signal.SIGKILL)
        time.sleep(scene.outage_s())


def connections_ended(scene: Scene) -> None:
    """Every connection is ended, as when a proxy before the database fails over."""

    async def end() -> None:
        connection = await asyncpg.connect(scene.machine.dsn)
        await connection.execute(_END_OTHERS)
        await connection.close()

    asyncio.run(end())


def no_connections(scene: Scene) -> None:
    """Others take every connection that there is, for half a minute."""

    async def hold() -> None:
        taken: list[asyncpg.Connection[asyncpg.Record]] = []
        first = await asyncpg.connect(scene.machine.dsn)
        until = time.monotonic() + scene.chance.uniform(10.0, 30.0)
        try:
            await first.execute(_END_OTHERS)
            while time.monotonic() < until:
                try:
                    taken.append(await asyncpg.connect(scene.machine.dsn, timeout=5))
                except UNAVAILABLE:
                    await asyncio.sleep(0.1)
        finally:
            for connection in (first, *taken):
                connection.terminate()

    asyncio.run(hold())


KINDS = (
    Strike("PostgreSQL restarted", restarted, most=2),
    Strike("PostgreSQL away", away),
    Strike("PostgreSQL ends connections", connections_ended, most=3),
    Strike("PostgreSQL without connections", no_connections),
)
