"""Writing together what arrives together: one commit for many, and who comes alone does not wait for company."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

from shared.postgres import UNAVAILABLE

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 128
EVERY_S = 0.01
"""Between the beginnings of two batches, at least: what arrives in a row is written together, too."""
SIZE = 16 * 1024 * 1024
"""What a batch may have, in bytes: a larger item is written alone, since each is in memory several times while it is written."""


class CannotStore(Exception):
    """The database is away or too slow; the item was not stored, or nobody knows whether it was."""


class BatchWriter(Generic[T, R]):
    """Hands `write` what has queued up while its former call ran. One `run` at a time.

    What waits is bounded by who calls `put`: an item whose caller gave up is dropped at once.
    """

    def __init__(self, write: Callable[[Sequence[T]], Awaitable[Sequence[R]]], size_of: Callable[[T], int], patience_s: float) -> None:
        self._write = write
        self._size_of = size_of
        self._patience_s = patience_s
        self._waiting: dict[asyncio.Future[R], T] = {}
        self._arrived = asyncio.Event()

    async def put(self, item: T) -> R:
        """The item's result once it is committed; raises `CannotStore` after `patience_s` at the latest, or what `write` raised for it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting[future] = item
        self._arrived.set()
        giving_up = loop.call_later(self._patience_s, _fail, [(item, future)], CannotStore("it could not be stored in time"))
        try:
            return await future
        finally:
            giving_up.cancel()
            self._waiting.pop(future, None)

    async def run(self) -> None:
        """Writes for ever."""
        while True:
            await self._arrived.wait()
            earliest = asyncio.get_running_loop().time() + EVERY_S
            batch = [(self._waiting.pop(future), future) for future in self._next()]
            if not self._waiting:
                self._arrived.clear()
            wanted = [(item, future) for item, future in batch if not future.done()]
            if wanted:
                await self._write_together(wanted)
            if (rest := earliest - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(rest)

    def _next(self) -> list[asyncio.Future[R]]:
        """Those that came first, as many as one batch takes."""
        taken, left = list[asyncio.Future[R]](), SIZE
        for future, item in islice(self._waiting.items(), AT_ONCE):
            left -= self._size_of(item)
            if taken and left < 0:
                break
            taken.append(future)
        return taken

    async def _write_together(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._write([item for item, _ in batch])
        except UNAVAILABLE as error:
            _fail(batch, CannotStore(str(error) or type(error).__name__))
        except Exception as error:  # noqa: BLE001 -- it belongs to one item of the batch: that one's caller gets it
            await self._write_apart(batch, error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

    async def _write_apart(self, batch: Sequence[tuple[T, asyncio.Future[R]]], error: Exception) -> None:
        """One bad item fails alone: the others are written without it."""
        if len(batch) == 1:
            _fail(batch, error)
            return
        for one in batch:
            await self._write_together([one])


def _fail(batch: Sequence[tuple[T, asyncio.Future[R]]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
