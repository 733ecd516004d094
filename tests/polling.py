"""Waiting with a deadline, for tests."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(probe: Callable[[], Awaitable[T]], *, within: float = 30.0, every: float = 0.02) -> T:
    """Calls the probe until it answers something true, or stops raising AssertionError; fails with its last word after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        failure: AssertionError | None = None
        try:
            found = await probe()
        except AssertionError as error:
            failure = error
        else:
            if found:
                return found
        if time.monotonic() > deadline:
            raise failure or AssertionError(f"not within {within} s")
        await asyncio.sleep(every)


def until(probe: Callable[[], T | None], *, within: float, every: float = 0.05, what: str = "") -> T:
    """As `eventually`, for tests without an event loop: the first true answer of the probe."""
    deadline = time.monotonic() + within
    while not (found := probe()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(every)
    return found
