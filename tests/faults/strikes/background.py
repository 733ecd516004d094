"""An event loop in a thread of its own: what watches, loads and forwards while the test waits."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Runs coroutines beside the caller, for as long as the process lives."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        threading.Thread(target=self._loop.run_forever, daemon=True, name="background").start()

    def call(self, work: Coroutine[Any, Any, T], within: float = 30.0) -> T:
        """Runs it there and waits for its end."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs it there for as long as it takes."""

        async def keep() -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            await work

        asyncio.run_coroutine_threadsafe(keep(), self._loop)
