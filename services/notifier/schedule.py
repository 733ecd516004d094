"""When something is tried again. Pure."""

from datetime import datetime, timedelta

GROWTH = 4
LONGEST = timedelta(hours=12)
JITTER = 0.2
"""Each wait is this much shorter or longer at most, so that receivers which failed together are not called together."""


def wait_after(attempt: int, first_s: float, chance: float) -> timedelta:
    """The wait after a failed attempt (from 1): 5 s, 20 s, 80 s, … up to 12 hours. `chance` is between 0 and 1."""
    seconds = min(first_s * GROWTH ** min(attempt - 1, 20), LONGEST.total_seconds())
    return timedelta(seconds=seconds * (1 + JITTER * (2 * chance - 1)))


def next_attempt(
    now: datetime, created_at: datetime, wait: timedelta, asked_for: timedelta | None, dead_after: timedelta
) -> datetime | None:
    """When to try again: after the wait, or what the receiver asked for where that is longer; None where it would be too late."""
    at = now + max(wait, asked_for or timedelta(0))
    return at if at < created_at + dead_after else None
