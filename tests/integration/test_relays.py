"""Relays: those of several replicas take turns, and they forget nothing that may be needed."""

import os
import signal
from datetime import datetime

import asyncpg
import pytest
from structlog.testing import capture_logs

from shared import inbox
from shared import relay as relay_module
from shared.bus import Bus
from shared.contracts.events import Event, RequestRefused
from shared.outbox import Outbox
from shared.postgres import Pool
from shared.relay import KEEP, Relay
from tests.integration.test_messaging import inspect, running
from tests.polling import eventually

_LOCK = "SELECT pg_advisory_lock(hashtextextended('slipway:relay:coordinator', 0))"
_RELAYS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%-relay'"
_ASKED = "SELECT max(query_start) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_try_advisory_lock%'"


async def test_a_relay_waits_until_the_one_before_it_has_ended(coordinator: Bus, pool: Pool, postgres_dsn: str) -> None:
    """It sends nothing before, and takes over then."""
    outbox = Outbox("coordinator")
    async with pool.acquire() as connection:
        await outbox.add(connection, [inspect("d1")])

    async def asked() -> datetime | None:
        return await pool.fetchval(_ASKED)  # type: ignore[no-any-return]

    async def asked_again() -> bool:
        now = await asked()
        return now is not None and first is not None and now > first

    async def sent() -> bool:
        return bool(await pool.fetchval("SELECT bool_and(sent_at IS NOT NULL) FROM outbox"))

    other = await asyncpg.connect(postgres_dsn)
    await other.execute(_LOCK)
    async with running(Relay(coordinator, postgres_dsn, "coordinator", outbox).run()):
        first = await eventually(asked)
        await eventually(asked_again)
        assert not await sent()
        await other.close()
        await eventually(sent)


async def test_what_was_not_answered_is_not_forgotten(coordinator: Bus, pool: Pool, postgres_dsn: str) -> None:
    """However old it is: it may have to be sent again. What was, is."""
    outbox = Outbox("coordinator")
    async with pool.acquire() as connection:
        await outbox.add(connection, [inspect("answered"), inspect("open")])
        await connection.execute("UPDATE outbox SET created_at = now() - $1::interval - interval '1 day'", KEEP)
        await connection.execute("UPDATE outbox SET open = false, sent_at = created_at WHERE id LIKE 'answered%'")

    async def left() -> bool:
        return [row["id"] for row in await pool.fetch("SELECT id FROM outbox")] == [inspect("open").attempt_id]

    async with running(Relay(coordinator, postgres_dsn, "coordinator", outbox).run()):
        await eventually(left)


async def test_all_that_is_old_goes_some_at_a_time(
    coordinator: Bus, pool: Pool, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much there is of it, of the outbox and of the inbox; and what is new stays."""
    monkeypatch.setattr(relay_module, "SLICE", 2)
    outbox = Outbox("coordinator")
    async with pool.acquire() as connection:
        await outbox.add(connection, [inspect(f"old{number}") for number in range(3)])
        await connection.execute("UPDATE outbox SET open = false, created_at = now() - 2 * $1::interval, sent_at = now()", KEEP)
        await connection.execute("INSERT INTO inbox SELECT 'old' || n, now() - 2 * $1::interval FROM generate_series(1, 5) n", KEEP)
        await inbox.take(connection, ["new"])
        await outbox.add(connection, [inspect("new")])

    async def left() -> bool:
        ids = [row["id"] for table in ("outbox", "inbox") for row in await pool.fetch(f"SELECT id FROM {table}")]  # noqa: S608
        return ids == [inspect("new").attempt_id, "new"]

    async with running(Relay(coordinator, postgres_dsn, "coordinator", outbox).run()):
        await eventually(left)


async def test_what_is_too_large_to_be_sent_is_given_up_with_a_line(coordinator: Bus, pool: Pool, postgres_dsn: str) -> None:
    """As every dead letter; what was written after it is sent all the same."""
    outbox = Outbox("coordinator")
    async with pool.acquire() as connection:
        large = Event.of(RequestRefused(request="r1", reason="x" * 2 * 1024 * 1024), "main")
        await outbox.add(connection, [large, inspect("d1")])

    async def sent() -> bool:
        return bool(await pool.fetchval("SELECT bool_and(sent_at IS NOT NULL) FROM outbox"))

    with capture_logs() as lines:
        async with running(Relay(coordinator, postgres_dsn, "coordinator", outbox).run()):
            await eventually(sent)
    told = [(line["durable"], line["subject"], line["error"]) for line in lines if line["event"] == "dead letter"]
    assert set(told) == {("coordinator-outbox", large.subject, "TooLarge")}
    assert (await coordinator.js.stream_info("COMMANDS")).state.messages == 1


async def test_a_relay_leaves_a_server_that_hangs(coordinator: Bus, pool: Pool, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for an answer as long as it may, not for the end of its connection besides: another may be good, and have its lock."""
    monkeypatch.setattr(relay_module, "ANSWER_S", 0.5)
    monkeypatch.setattr(relay_module, "CLOSE_S", 0.5)

    async def backends() -> list[int]:
        return [row["pid"] for row in await pool.fetch(_RELAYS)]

    outbox = Outbox("coordinator")
    stopped = list[int]()
    try:
        with capture_logs() as lines:
            async with running(Relay(coordinator, postgres_dsn, "coordinator", outbox).run()):
                stopped = await eventually(backends)
                for pid in stopped:
                    os.kill(pid, signal.SIGSTOP)

                async def paused() -> bool:
                    return "relay paused" in [line["event"] for line in lines]

                await eventually(paused, within=10)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
