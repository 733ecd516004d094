"""More deliveries than can be taken at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import pytest

from services.webhooks import app
from services.webhooks.requests import Room
from tests.component.webhooks.conftest import Running, Webhooks
from tests.component.webhooks.deliveries import A, deliver, push
from tests.polling import eventually

MOST = 3
TOO_MANY = 4


async def test_what_is_too_much_is_refused_while_the_rest_waits(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told at once to come again, and what is answered 202 in the end is there."""
    monkeypatch.setattr(app, "Room", partial(Room, most=MOST))
    async with running() as webhooks:
        await deliver(webhooks.http, push(A), delivery="first")
        async with _standing_still(webhooks):
            sent = [
                asyncio.create_task(deliver(webhooks.http, push(A, ref=f"refs/heads/b{number}"), delivery=f"d-{number}"))
                for number in range(MOST + TOO_MANY)
            ]

            async def refused() -> bool:
                return sum(task.done() for task in sent) == TOO_MANY

            await eventually(refused, within=6)
        answers = [await task for task in sent]
        assert Counter(answer.status_code for answer in answers) == {202: MOST, 503: TOO_MANY}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers if answer.status_code == 503)
        assert await webhooks.pool.fetchval("SELECT count(*) FROM deliveries WHERE key LIKE 'd-%'") == MOST
        again = [number for number, answer in enumerate(answers) if answer.status_code == 503]
        later = [await deliver(webhooks.http, push(A, ref=f"refs/heads/b{number}"), delivery=f"d-{number}") for number in again]
        assert {answer.status_code for answer in later} == {202}


@asynccontextmanager
async def _standing_still(webhooks: Webhooks) -> AsyncIterator[None]:
    """Nothing can be stored meanwhile."""
    connection = await asyncpg.connect(webhooks.settings.postgres_dsn.get_secret_value(), server_settings={"search_path": "webhooks"})
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()
