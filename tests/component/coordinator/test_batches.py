"""Pushes that arrive together: what nobody follows is settled in one transaction, each push for itself all the same."""

import asyncio
from collections.abc import Sequence

import pytest

from services.coordinator.changes import take_changes
from services.coordinator.store import refs
from shared.consumer import Received
from shared.contracts.changes import Change, ChangePushed, FoundBy, Pusher
from shared.postgres import Connection
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
        items = batch(new, other, same, followed, older, newer, newer)
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


async def test_what_came_again_is_asked_for_once(nats_url: str, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of a batch were handled before: what each has made is one question to the database."""
    asked: list[int] = []
    made_of = refs.made_of

    async def counted(connection: Connection, changes: Sequence[str]) -> dict[str, list[str]]:
        asked.append(len(changes))
        return await made_of(connection, changes)

    monkeypatch.setattr(refs, "made_of", counted)
    changes = [pushed(number, f"refs/heads/{number}") for number in range(20)]
    async with world(nats_url, postgres_dsn) as made:
        await take_changes(made.coordinator, batch(*changes[:15]))
        await take_changes(made.coordinator, batch(*changes))
        said = await settled(made, *changes)
    assert [count for count in asked if count] == [15]
    assert all("no environment" in reasons[0] for reasons in said.values())


async def test_a_change_that_comes_again_has_its_own_deployments(nats_url: str, postgres_dsn: str) -> None:
    """Of several that are asked for together; those of others are not even looked at, however many there were."""
    async with world(nats_url, postgres_dsn) as made:
        first = await made.push("a")
        await made.event("DeploymentSucceeded")
        second = await made.push("b")
        await made.event("DeploymentSucceeded", count=2)
        deployments = {event.data["change"]: event.data["deployments"] for event in made.events if event.name == "ChangeTaken"}
        async with made.coordinator.pool.acquire() as connection, connection.transaction():
            assert await refs.made_of(connection, [first.id, second.id, "another"]) == deployments
            await connection.execute("SET LOCAL enable_seqscan = off")  # as where there are many
            read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'deployments'"
            before = await connection.fetchval(read)
            assert await refs.made_of(connection, ["another"]) == {}
            assert await connection.fetchval(read) == before


async def test_a_push_that_comes_late_does_not_undo_a_newer_one_of_the_former_commit(nats_url: str, postgres_dsn: str) -> None:
    """A branch is moved on and set back; the push between arrives last: the branch is not there any more."""
    first, between, back = (pushed(arrival, "refs/heads/x", commit) for arrival, commit in ((1, "a"), (2, "b"), (3, "a")))
    async with world(nats_url, postgres_dsn) as made:
        for change in (first, back, between):
            await take_changes(made.coordinator, batch(change))
        said = await settled(made, back, between)
        assert said[back.id] == ["this commit is the last one taken of the ref already"]
        assert said[between.id] == ["a newer change of the ref was taken before it"]
