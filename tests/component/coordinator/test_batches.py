"""Pushes that arrive together: what nobody follows is settled in one transaction, each push for itself all the same."""

import asyncio

from services.coordinator.changes import take_changes
from services.coordinator.store import refs
from shared.consumer import Received
from shared.contracts.changes import Change, ChangePushed, FoundBy, Pusher
from shared.telemetry import span, traceparent
from tests.component.coordinator.world import World, world
from tests.polling import eventually


def pushed(arrival: int, ref: str, commit: str = "a") -> ChangePushed:
    """A push of the todo project."""
    return ChangePushed(
        organization="main", project="todo", connection="todo", repository="slipway/main/todo", clone_url="http://x", ref=ref,
        commit=commit * 40, arrival=arrival, pusher=Pusher(forge="slipway", person="ada"), found_by=FoundBy.PUSH,
    )  # fmt: skip


def batch(*changes: ChangePushed) -> list[Received[Change]]:
    """As the consumer hands it over; each push has a trace of its own."""
    received: list[Received[Change]] = []
    for change in changes:
        with span("push", {}):
            received.append(Received(change, {"traceparent": traceparent()}, "slipway.chg.main.todo", 1))
    return received


async def settled(made: World, *changes: ChangePushed) -> dict[str, list[str]]:
    """What the settlements of each change say, once there is one of each."""

    async def all_of_them() -> dict[str, list[str]]:
        said: dict[str, list[str]] = {change.id: [] for change in changes}
        for event in made.events:
            if event.name in {"ChangeIgnored", "ChangeTaken"} and event.data["change"] in said:
                said[str(event.data["change"])].append(str(event.data.get("reason", "taken")))
        assert all(said.values()), said
        return said

    return await eventually(all_of_them)


async def test_each_push_of_a_batch_is_settled_with_its_own_reason(nats_url: str, postgres_dsn: str) -> None:
    """What is followed is deployed; of a ref that nobody follows the newest is remembered, whatever else came with it."""
    new, same, older, newer = (
        pushed(10, "refs/heads/x"), pushed(11, "refs/heads/x"), pushed(9, "refs/heads/x", "b"), pushed(12, "refs/heads/x", "c"),
    )  # fmt: skip
    other, followed = pushed(3, "refs/heads/y"), pushed(13, "refs/heads/main")
    async with world(nats_url, postgres_dsn) as made:
        items = batch(new, other, same, followed, older, newer)
        await take_changes(made.coordinator, items)
        said = await settled(made, new, same, older, newer, other, followed)
        nobody = ["no environment of main/todo follows refs/heads/x"]
        assert (said[new.id], said[newer.id], said[followed.id]) == (nobody, nobody, ["taken"])
        assert said[other.id] == ["no environment of main/todo follows refs/heads/y"]
        assert "the last one taken" in said[same.id][0]
        assert "a newer change" in said[older.id][0]
        async with made.coordinator.pool.acquire() as connection:
            last = await refs.last_taken(connection, [refs.ref_of(new), refs.ref_of(other), ("main", "todo", "todo", "refs/heads/none")])
            rows = await connection.fetch("SELECT body::jsonb->>'cause' AS change, headers->>'traceparent' AS trace FROM outbox")
        assert {ref[3]: taken.change.id for ref, taken in last.items()} == {"refs/heads/x": newer.id, "refs/heads/y": other.id}
        trace = {row["change"]: row["trace"].split("-")[1] for row in rows if row["change"] in said}
        assert trace == {item.message.id: item.headers["traceparent"].split("-")[1] for item in items}
        await take_changes(made.coordinator, items)  # its acknowledgement was lost
        await made.event("ChangeIgnored", count=2 * 5)
        assert (await settled(made, other))[other.id][1:] == ["it was settled before"]


async def test_replicas_take_the_same_pushes_in_any_order(nats_url: str, postgres_dsn: str) -> None:
    """Neither waits for the other for ever, and what was taken last is the newest."""
    changes = [pushed(number, f"refs/heads/{number % 7}", "abcdef"[number % 6]) for number in range(1, 60)]
    async with world(nats_url, postgres_dsn) as made:
        async with asyncio.timeout(20):
            await asyncio.gather(
                *(take_changes(made.coordinator, batch(*some)) for some in (changes, changes[::-1], changes[20:], changes[::2]))
            )
        await settled(made, *changes)
        async with made.coordinator.pool.acquire() as connection:
            last = await refs.last_taken(connection, sorted({refs.ref_of(change) for change in changes}))
        assert sorted(taken.change.arrival for taken in last.values()) == list(range(53, 60))
