"""Changes stay open until the coordinator has settled them, and are sent again until then."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from services.webhooks.domain import Arrival, Origin, Push
from services.webhooks.handlers import Settled
from services.webhooks.resending import Resending
from services.webhooks.store import Store
from shared.bus import Bus
from shared.consumer import Received
from shared.contracts.changes import FoundBy, Pusher
from shared.contracts.events import ChangeIgnored, ChangeTaken, Event
from shared.outbox import Outbox
from shared.postgres import Pool, database
from tests.component.webhooks.conftest import Running, Webhooks
from tests.component.webhooks.deliveries import A, B, deliver, push
from tests.polling import eventually

_NOTED = "SELECT (SELECT bool_and(sent_at IS NOT NULL) FROM outbox) AND EXISTS (SELECT FROM outbox_streams WHERE sequence > 0)"
"""All was sent, and once more where nothing was noted of its stream yet."""


async def _overdue(webhooks: Webhooks) -> None:
    """Once they were sent: their time has come again, a minute later."""

    async def sent() -> bool:
        return bool(await webhooks.pool.fetchval(_NOTED))

    await eventually(sent)
    await webhooks.pool.execute("UPDATE outbox SET sent_at = sent_at - interval '1 minute'")
    await webhooks.pool.execute("UPDATE changes SET send_next_at = now() - interval '1 second' WHERE state = 'pending'")


async def _state(webhooks: Webhooks, change: str) -> str:
    return str(await webhooks.pool.fetchval("SELECT state FROM changes WHERE id = $1", change))


async def _written_ten_minutes_ago(pool: Pool) -> Store:
    """With one change; nothing is sent by itself here."""
    origin = Origin("main", "todo", "gh", "github", "github.com/acme/todo", "https://github.com/acme/todo.git")
    push = Push("github.com/acme/todo", "https://github.com/acme/todo.git", "refs/heads/main", None, A, Pusher(forge="github"))
    store = Store(pool, Outbox("webhooks"))
    await store.record([Arrival(origin, FoundBy.DELIVERY, (push,))])
    await pool.execute("UPDATE changes SET last_sent_at = now() - interval '10 minutes', send_next_at = now() - interval '9 minutes'")
    return store


@asynccontextmanager
async def _bus(webhooks: Webhooks) -> AsyncIterator[Bus]:
    bus = await Bus.connect(webhooks.settings, "webhooks")
    try:
        yield bus
    finally:
        await bus.close()


async def test_an_unsettled_change_is_sent_again_under_a_fresh_id(webhooks: Webhooks) -> None:
    """The coordinator took it off the bus and died: it comes again, past the stream's deduplication."""
    await deliver(webhooks.http, push(A))
    first = await webhooks.coordinator.take()
    await _overdue(webhooks)
    again = await webhooks.coordinator.take(within=15)
    assert again.id == first.id
    assert webhooks.coordinator.message_ids == [first.id, f"{first.id}.2"]


async def test_a_change_that_still_waits_in_its_stream_is_not_sent_again(webhooks: Webhooks) -> None:
    """Nobody has taken it yet: where many wait, more would only keep all of them longer. Once it was taken, it is."""
    async with _bus(webhooks) as bus:
        resending = Resending(bus, Store(webhooks.pool, Outbox("webhooks")))
        await deliver(webhooks.http, push(A))

        async def waits() -> bool:
            return await bus.waiting_since("CHANGES") is not None

        async def none_waits() -> bool:
            return not await waits()

        await eventually(waits)
        await _overdue(webhooks)
        assert await resending.once() == 0
        first = await webhooks.coordinator.take()
        await eventually(none_waits)
        await resending.once()
        assert (await webhooks.coordinator.take(within=15)).id == first.id


@pytest.mark.parametrize(
    ("sent", "again"),
    [("NULL", 0), ("now() - interval '5 seconds'", 0), ("now() - interval '2 minutes'", 1)],
    ids=["not yet", "just now", "long ago"],
)
async def test_what_waited_for_the_bus_goes_out_once(postgres_dsn: str, sent: str, again: int) -> None:
    """It was written ten minutes ago: whether it may be lost is told by when it was sent, also where its stream is empty again."""
    async with database(postgres_dsn, "webhooks") as pool:
        store = await _written_ten_minutes_ago(pool)
        await pool.execute(f"UPDATE outbox SET sent_at = {sent}")  # noqa: S608 -- of constants
        assert await store.send_again() == again
        assert await pool.fetchval("SELECT count(*) FROM outbox") == 1 + again


async def test_what_came_to_its_stream_late_waits_there(postgres_dsn: str) -> None:
    """It was written long before the stream's oldest message came, and sent after it; what was sent before has left it."""
    oldest = datetime.now(UTC) - timedelta(minutes=3)
    async with database(postgres_dsn, "webhooks") as pool:
        store = await _written_ten_minutes_ago(pool)
        await pool.execute("UPDATE outbox SET sent_at = $1", oldest + timedelta(minutes=1))
        assert await store.send_again(oldest) == 0
        await pool.execute("UPDATE outbox SET sent_at = $1", oldest - timedelta(minutes=1))
        assert await store.send_again(oldest) == 1


async def test_a_taken_change_is_settled_and_rests(webhooks: Webhooks) -> None:
    """Its deployments are recorded, its outbox rows closed."""
    await deliver(webhooks.http, push(A))
    change = await webhooks.coordinator.take()
    await webhooks.coordinator.took(change, "01kone", "01ktwo")

    async def settled() -> bool:
        return await _state(webhooks, change.id) == "taken"

    assert await eventually(settled)
    assert await webhooks.pool.fetchval("SELECT deployments FROM changes") == ["01kone", "01ktwo"]
    assert await webhooks.pool.fetchval("SELECT count(*) FROM outbox WHERE open") == 0
    await webhooks.pool.execute("UPDATE changes SET send_next_at = now() - interval '1 second'")
    assert await Store(webhooks.pool, Outbox("webhooks")).send_again() == 0


async def test_an_ignored_change_may_come_again_by_a_new_push(webhooks: Webhooks) -> None:
    """Nobody followed the branch; later somebody does, and the same commit is pushed again."""
    await deliver(webhooks.http, push(A))
    change = await webhooks.coordinator.take()
    await webhooks.coordinator.ignored(change, "no environment follows it")

    async def settled() -> bool:
        return await _state(webhooks, change.id) == "ignored"

    assert await eventually(settled)
    answer = await deliver(webhooks.http, push(A), delivery="d-2")
    assert len(answer.json()["changes"]) == 1


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("said", "state", "reason"),
    [
        (["nobody follows it", "it was settled before"], "ignored", "nobody follows it"),
        (["it was settled before", "", "nobody follows it"], "taken", None),
        (["", "it was settled before"], "taken", None),
    ],
)
async def test_the_first_settlement_stands_unless_the_change_was_taken(
    webhooks: Webhooks, said: list[str], state: str, reason: str | None, together: bool
) -> None:
    """The coordinator says of a change that comes again that it was settled before: the reason is the one that it gave first."""
    await deliver(webhooks.http, push(A))
    change = await webhooks.coordinator.take()
    about = {"change": change.id, "ref": change.ref, "commit": change.commit}
    facts = [ChangeIgnored(reason=word, **about) if word else ChangeTaken(deployments=("01kone",), **about) for word in said]
    events = [Received(event, {}, event.subject, 1) for event in (Event.of(fact, "main", "todo") for fact in facts)]
    settled = Settled(Store(webhooks.pool, Outbox("webhooks")))
    for batch in [events] if together else [[event] for event in events]:
        await settled(batch)
    row = await webhooks.pool.fetchrow("SELECT state, reason, deployments FROM changes")
    assert row is not None
    assert (row["state"], row["reason"], row["deployments"]) == (state, reason, ["01kone"] if state == "taken" else [])


async def test_a_settlement_of_nothing_known_is_no_harm(webhooks: Webhooks) -> None:
    """Events about changes that were forgotten, and events of later versions, are passed over."""
    await deliver(webhooks.http, push(A))
    change = await webhooks.coordinator.take()
    await webhooks.coordinator.took(change.model_copy(update={"id": "01kunknown"}), "01kone")
    await webhooks.coordinator.took(change, "01kone")

    async def settled() -> bool:
        return await _state(webhooks, change.id) == "taken"

    assert await eventually(settled)


async def test_what_was_stored_before_a_restart_is_sent_after_it(running: Running) -> None:
    """The outbox outlives the process."""
    async with running() as first:
        await deliver(first.http, push(A))
        change = await first.coordinator.take()
        await first.pool.execute("UPDATE outbox SET sent_at = NULL")
        await first.pool.execute("UPDATE outbox SET id = id || '.x', headers = headers || jsonb_build_object('Nats-Msg-Id', id || '.x')")
    async with running() as second:
        assert (await second.coordinator.take()).id == change.id
        assert (await deliver(second.http, push(B), delivery="d-2")).status_code == 202
