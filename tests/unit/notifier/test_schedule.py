"""When something is tried again."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.notifier.schedule import LONGEST, next_attempt, wait_after

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = timedelta(days=3)


def test_waits_grow_until_half_a_day() -> None:
    """5 s, 20 s, 80 s, … and never more than 12 hours."""
    assert [wait_after(attempt, 5, 0.5).total_seconds() for attempt in (1, 2, 3)] == [5, 20, 80]
    assert wait_after(1000, 5, 0.5) == LONGEST


@given(st.integers(1, 50), st.floats(0, 1))
def test_jitter_stays_within_a_fifth(attempt: int, chance: float) -> None:
    """Receivers that failed together are called at different times, near the plan."""
    plan = wait_after(attempt, 5, 0.5).total_seconds()
    assert 0.79 * plan <= wait_after(attempt, 5, chance).total_seconds() <= 1.21 * plan


def test_what_the_receiver_asks_for_is_the_least() -> None:
    """A longer wait that was asked for counts, a shorter one does not."""
    wait = timedelta(minutes=1)
    assert next_attempt(NOW, NOW, wait, timedelta(hours=1), DAYS) == NOW + timedelta(hours=1)
    assert next_attempt(NOW, NOW, wait, timedelta(seconds=1), DAYS) == NOW + wait


def test_it_ends_after_the_days_that_were_set() -> None:
    """Nothing is tried later than that."""
    assert next_attempt(NOW + DAYS, NOW, timedelta(minutes=1), None, DAYS) is None
