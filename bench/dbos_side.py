"""DBOS: a workflow of five no-op steps, durable in the same PostgreSQL."""

import asyncio
import logging
import time

import uvloop
from dbos import DBOS, DBOSConfig


@DBOS.step()
async def nothing(number: int) -> int:
    """A step."""
    return number


@DBOS.workflow()
async def five(number: int) -> int:
    """Five steps in a row."""
    for _ in range(5):
        number = await nothing(number)
    return number


def measure(dsn: str, sagas: int, at_once: int) -> float:
    """Workflows a second."""
    logging.getLogger("dbos").setLevel(logging.ERROR)
    config: DBOSConfig = {"name": "bench", "system_database_url": dsn, "log_level": "ERROR"}
    DBOS(config=config)
    DBOS.launch()
    try:
        return uvloop.run(_run(sagas, at_once))
    finally:
        DBOS.destroy()


async def _run(sagas: int, at_once: int) -> float:
    begin = time.perf_counter()
    left = iter(range(sagas))

    async def worker() -> None:
        for number in left:
            handle = await DBOS.start_workflow_async(five, number)
            await handle.get_result()

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return sagas / (time.perf_counter() - begin)
