"""Keeps the bus told of subscribers: who they are, in a file for whoever lets them in, and in the database how far each has read."""

import asyncio
import os
from pathlib import Path

import structlog

from services.api.adapters.consumers import Consumers
from services.api.live import Wakeups, news
from services.api.store import subscribers
from shared import bus, postgres
from shared.postgres import Pool
from shared.subscribers import Subscribers

log = structlog.get_logger()

LATEST_S = 5.0
"""How late the file says what another replica has changed."""
NOTE_S = 60.0


async def write(pool: Pool, file: Path, wakeups: Wakeups) -> None:
    """Writes the file whenever it would say something else, for ever. A consumer of a lost stream begins where it says."""
    while True:
        ticket = wakeups.ticket()
        try:
            known = await subscribers.everywhere(pool)
            _replace(file, Subscribers(subscribers=tuple(each.on_the_bus() for each in known)).model_dump_json().encode())
        except (OSError, *postgres.UNAVAILABLE) as error:
            log.warning("subscribers wait to be let in", error=str(error) or type(error).__name__)
            await asyncio.sleep(1)
            continue
        await news(ticket, LATEST_S)


async def note(pool: Pool, consumers: Consumers) -> None:
    """Notes how far each has read, for ever, so that one whose consumer is lost with its stream goes on from there."""
    while True:
        await asyncio.sleep(NOTE_S)
        try:
            await note_once(pool, consumers)
        except (*bus.UNAVAILABLE, *postgres.UNAVAILABLE) as error:
            log.warning("what subscribers have read is noted later", error=str(error) or type(error).__name__)


async def note_once(pool: Pool, consumers: Consumers) -> None:
    """As of now. No connection is held while the bus is asked."""
    for each in await subscribers.everywhere(pool):
        state = await consumers.state(each.stream, each.on_the_bus().user, each.id)
        if state is None or not state.acknowledged:
            continue
        stored_at = await consumers.stored_at(each.stream, state.acknowledged)
        if stored_at is not None:
            async with pool.acquire() as connection:
                await subscribers.note(connection, each, stored_at)


def _replace(file: Path, content: bytes) -> None:
    """All of it or nothing, readable for this user alone; a file that says the same already is left alone."""
    if file.exists() and file.read_bytes() == content:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.tmp")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as writing:
        writing.write(content)
        writing.flush()
        os.fsync(writing.fileno())
    beside.replace(file)
