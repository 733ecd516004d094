"""What one would write by hand for just this saga: the same commands, answers, events and rows, and no engine.

One transaction a batch of answers: inbox, saga rows locked and written, outbox rows; then publish, mark, acknowledge.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import suppress

import asyncpg
import nats
from nats.js import JetStreamContext

from bench import five_steps
from services.coordinator.commands import command
from services.coordinator.saga import DeploymentState, Saga, Step
from shared.contracts.answers import Answer, Outcome
from shared.contracts.commands import Direction
from shared.contracts.events import DeploymentSucceeded, Event, StepStarted
from shared.messages import Message, new_id, utc_now
from shared.outbox import Outbox

_TABLE = "CREATE TABLE IF NOT EXISTS handmade (id text PRIMARY KEY, step int NOT NULL, state text NOT NULL, body jsonb NOT NULL)"
_ADD = "INSERT INTO outbox (id, stream, subject, headers, body, open) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::text[], $6::bool[])"
_TAKE = "INSERT INTO inbox (id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING RETURNING id"
_LOCK = "SELECT id, step FROM handmade WHERE id = ANY($1) ORDER BY id FOR UPDATE"
_SAVE = "UPDATE handmade h SET step = n.step, state = n.state FROM unnest($1::text[], $2::int[], $3::text[]) AS n (id, step, state) WHERE h.id = n.id"
_SENT = "UPDATE outbox SET sent_at = now() WHERE id = ANY($1)"
_CLOSE = "UPDATE outbox SET open = false WHERE id = ANY($1)"


class Loop:
    """All of it."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", js: JetStreamContext) -> None:
        self.pool, self.js = pool, js
        self.outbox = Outbox("coordinator")
        self.sagas: dict[str, Saga] = {}
        self.ended: dict[str, asyncio.Event] = {}

    async def start(self, number: int) -> None:
        """One saga, until it has ended."""
        plan, steps = five_steps.plan()
        saga = Saga(id=new_id(), origin=five_steps.origin(number), state=DeploymentState.RUNNING, created_at=utc_now(), epoch=1, plan=plan)
        saga.steps = {step.name: step for step in steps}
        self.sagas[saga.id], self.ended[saga.id] = saga, asyncio.Event()
        rows = self.outbox.columns([self._command(saga, 0)])
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO handmade VALUES ($1, 0, 'running', $2)", saga.id, json.dumps({"plan": plan.model_dump(mode="json")})
            )
            await connection.execute(_ADD, *rows)
        await self._publish(rows)
        await self.ended[saga.id].wait()

    def _command(self, saga: Saga, number: int) -> Message:
        step: Step = saga.steps[f"connect-container-s{number}"]
        step.attempt = 1
        return command(saga, step, Direction.DO, utc_now())

    async def run(self) -> None:
        """Takes answers in batches."""
        subscription = await self.js.pull_subscribe_bind("coordinator-results", "RESULTS")
        while True:
            with suppress(TimeoutError):
                messages = await subscription.fetch(200, timeout=5)
                await self._take([Answer.decode(message.data) for message in messages])
                for message in messages:
                    await message.ack()

    async def _take(self, answers: list[Answer]) -> None:
        out: list[Message] = []
        moved: dict[str, tuple[int, str]] = {}
        closed: list[str] = []
        async with self.pool.acquire() as connection, connection.transaction():
            new = {row["id"] for row in await connection.fetch(_TAKE, [answer.id for answer in answers])}
            rows = await connection.fetch(_LOCK, sorted({str(answer.deployment) for answer in answers}))
            at = {row["id"]: row["step"] for row in rows}
            for answer in answers:
                saga = self.sagas.get(str(answer.deployment))
                if answer.id not in new or saga is None:
                    continue
                place = saga.origin.place
                if answer.outcome is Outcome.ACCEPTED:
                    fact: object = StepStarted(attempt=1, title="container network")
                else:
                    fact = answer.fact()
                    at[saga.id] += 1
                    closed.append(f"{saga.id}-{answer.step}.do.1")
                    moved[saga.id] = (at[saga.id], "running")
                out.append(Event.of(fact, place.organization, place.project, place.environment, deployment=saga.id, step=answer.step))  # type: ignore[arg-type]
                if answer.outcome is Outcome.DONE and at[saga.id] < five_steps.STEPS:
                    out.append(self._command(saga, at[saga.id]))
                elif answer.outcome is Outcome.DONE:
                    moved[saga.id] = (at[saga.id], "succeeded")
                    out.append(Event.of(DeploymentSucceeded(), place.organization, place.project, place.environment, deployment=saga.id))
            columns = self.outbox.columns(out)
            await connection.execute(_SAVE, list(moved), [step for step, _ in moved.values()], [state for _, state in moved.values()])
            await connection.execute(_ADD, *columns)
            await connection.execute(_CLOSE, closed)
        await self._publish(columns)
        for saga_id, (_, state) in moved.items():
            if state == "succeeded":
                self.ended[saga_id].set()

    async def _publish(self, columns: tuple[list[str], list[str], list[str], list[str], list[str], list[bool]]) -> None:
        ids, _, subjects, headers, bodies, _ = columns
        for start in range(0, len(ids), 64):
            some = slice(start, start + 64)
            await asyncio.gather(
                *(
                    self.js.publish(subject, body.encode(), headers=json.loads(header))
                    for subject, body, header in zip(subjects[some], bodies[some], headers[some], strict=True)
                )
            )
        await self.pool.execute(_SENT, ids)


async def measure(url: str, dsn: str, sagas: int, at_once: int) -> float:
    """Sagas a second."""
    client = await nats.connect(url, user="admin", password="test")
    async with asyncpg.create_pool(dsn, min_size=4, max_size=8, server_settings={"search_path": "coordinator"}) as pool:
        await pool.execute(_TABLE)
        loop = Loop(pool, client.jetstream())
        reader = asyncio.create_task(loop.run())
        begin = time.perf_counter()
        left = iter(range(sagas))
        work = asyncio.create_task(_all(loop, left, at_once))
        await asyncio.wait({reader, work}, return_when=asyncio.FIRST_COMPLETED)
        if reader.done():
            await reader  # it failed: say why
        rate = sagas / (time.perf_counter() - begin)
        reader.cancel()
    await client.close()
    return rate


async def _worker(loop: Loop, left: Iterator[int]) -> None:
    for number in left:
        await loop.start(number)


async def _all(loop: Loop, left: Iterator[int], at_once: int) -> None:
    await asyncio.gather(*(_worker(loop, left) for _ in range(at_once)))
