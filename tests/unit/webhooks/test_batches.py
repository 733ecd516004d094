"""Writing together what arrives together."""

import asyncio
import gc
import weakref
from collections.abc import Sequence

import pytest

from services.webhooks.batches import SIZE, BatchWriter, CannotStore


class Book:
    """Remembers what was written together; a write waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def write(self, items: Sequence[int]) -> list[int]:
        """Minus one is bad; minus two finds the database away."""
        self.batches.append(list(items))
        await self.open.wait()
        if -2 in items:
            raise OSError("away")
        if -1 in items:
            raise ValueError("bad item")
        return [item * 10 for item in items]


async def test_what_arrives_during_a_write_is_written_in_the_next() -> None:
    """The first waits for nobody; the others share a commit."""
    book = Book()
    book.open.clear()
    writer = BatchWriter(book.write, abs, 5)
    running = asyncio.create_task(writer.run())
    first = asyncio.create_task(writer.put(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(writer.put(item)) for item in (1, 2, 3)]
    await asyncio.sleep(0)
    book.open.set()
    assert await asyncio.gather(first, *others) == [0, 10, 20, 30]
    assert book.batches == [[0], [1, 2, 3]]
    running.cancel()


async def test_a_batch_has_a_size_too() -> None:
    """What is too large is written alone, and nothing overtakes it."""
    book = Book()
    writer = BatchWriter(book.write, abs, 5)
    half, more = SIZE // 2, SIZE + 1
    puts = [asyncio.create_task(writer.put(item)) for item in (half, half, half, more, 1, 2)]
    await asyncio.sleep(0)
    running = asyncio.create_task(writer.run())
    await asyncio.gather(*puts)
    assert book.batches == [[half, half], [half], [more], [1, 2]]
    running.cancel()


async def test_a_bad_item_fails_alone() -> None:
    """The others of its batch are written without it."""
    book = Book()
    writer = BatchWriter(book.write, abs, 5)
    puts = [asyncio.create_task(writer.put(item)) for item in (1, -1, 2)]
    await asyncio.sleep(0)
    running = asyncio.create_task(writer.run())
    found = await asyncio.gather(*puts, return_exceptions=True)
    assert found[0] == 10
    assert isinstance(found[1], ValueError)
    assert found[2] == 20
    running.cancel()


async def test_a_database_that_is_away_is_said_so() -> None:
    """Every item of the batch gets the same word, and nothing is tried twice."""
    book = Book()
    writer = BatchWriter(book.write, abs, 5)
    puts = [asyncio.create_task(writer.put(item)) for item in (1, -2)]
    await asyncio.sleep(0)
    running = asyncio.create_task(writer.run())
    found = await asyncio.gather(*puts, return_exceptions=True)
    assert all(isinstance(one, CannotStore) for one in found)
    assert len(book.batches) == 1
    running.cancel()


async def test_patience_ends() -> None:
    """A write that takes too long is answered before the forge gives up."""
    book = Book()
    book.open.clear()
    writer = BatchWriter(book.write, abs, 0.05)
    running = asyncio.create_task(writer.run())
    with pytest.raises(CannotStore):
        await writer.put(1)
    running.cancel()


class Large:
    """Something that takes memory."""


async def test_nothing_is_kept_of_what_its_caller_gave_up() -> None:
    """While a database hangs, others may come and give up as they like."""
    writes = asyncio.Event()

    async def write(items: Sequence[Large]) -> list[Large]:
        writes.set()
        await asyncio.Event().wait()
        return list(items)

    writer = BatchWriter(write, lambda _: 0, 0.05)
    running = asyncio.create_task(writer.run())
    first = asyncio.create_task(writer.put(Large()))
    await writes.wait()
    item = Large()
    there = weakref.ref(item)
    given_up = asyncio.create_task(writer.put(item))
    await asyncio.wait([first, given_up])
    assert isinstance(first.exception(), CannotStore)
    assert isinstance(given_up.exception(), CannotStore)
    del item, given_up
    gc.collect()
    assert there() is None
    running.cancel()
