"""Judging gives way to what arrives, within bounds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from services.webhooks import judging
from services.webhooks.backlog import Backlog, Waiting
from services.webhooks.domain import Arrival, Origin
from services.webhooks.held import MOST, Holdings
from services.webhooks.judging import Judging
from services.webhooks.reading import Reader
from services.webhooks.store import Judged, Recorded, Store
from shared.contracts.changes import FoundBy
from tests.polling import eventually

BATCHES = 5
NOTHING = Arrival(Origin("main", "todo", "gh", "github", "", ""), FoundBy.DELIVERY, (), "d")


class Batches(Store):
    """A backlog of so many batches."""

    def __init__(self) -> None:
        self.left = BATCHES

    async def judge(self, _most: int, _read: Callable[[Backlog, Sequence[Waiting]], Awaitable[Sequence[Arrival]]]) -> Judged:
        """One of them."""
        if self.left == 0:
            return Judged({}, 0)
        self.left -= 1
        return Judged({f"in {self.left}": Recorded()}, self.left)


@asynccontextmanager
async def _judging(store: Store, pressed: Callable[[], bool]) -> AsyncIterator[Judging]:
    found = Judging(store, Reader())
    running = asyncio.create_task(found.run(pressed))
    try:
        yield found
    finally:
        running.cancel()


@pytest.mark.parametrize("asked", [False, True], ids=["nobody asks", "somebody asks"])
async def test_what_arrives_comes_first_unless_somebody_waits_for_a_judgement(monkeypatch: pytest.MonkeyPatch, *, asked: bool) -> None:
    """One batch is judged between two pauses; the pause ends where nothing arrives any more, or an answer waits."""
    monkeypatch.setattr(judging, "GIVING_WAY_S", 1.0)
    store, many = Batches(), True

    async def one_is_judged() -> bool:
        return store.left < BATCHES

    async def all_are_judged() -> bool:
        return store.left == 0

    async with _judging(store, lambda: many) as judges:
        await eventually(one_is_judged)
        assert store.left == BATCHES - 1
        with judges.held.holding("d", NOTHING, 100) as held:
            held.stored()
        waiting = asyncio.create_task(judges.outcome(held)) if asked else None
        many = asked
        await eventually(all_are_judged)
        assert waiting is None or await waiting is None  # it was in none of the batches: another replica has judged it


async def test_nothing_comes_first_where_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much arrives: how far judging is behind is bounded."""
    monkeypatch.setattr(judging, "GIVING_WAY_S", 60.0)
    monkeypatch.setattr(judging, "GIVING_WAY_MOST", 2)
    store = Batches()

    async def fewer_wait() -> bool:
        return store.left == 1

    async with _judging(store, lambda: True):
        await eventually(fewer_wait)


async def test_what_finds_no_room_is_not_held() -> None:
    """Who comes after it finds none either, until it has gone."""
    held = Holdings()
    with held.holding("d", NOTHING, MOST), held.holding("another", NOTHING, 1):
        assert (len(held), held.get("d"), held.get("another")) == (1, NOTHING, None)
    assert len(held) == 0
