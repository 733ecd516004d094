"""Many schedules, each another combination of what can go wrong: no sentence of the design is ever broken."""

import pytest

from tests.simulation.exploration import Found, explore, told
from tests.simulation.shrinking import shrink

SCHEDULES, PARTS = 2000, 10


@pytest.mark.parametrize("part", range(PARTS))
def test_no_schedule_breaks_a_sentence(part: int) -> None:
    """Whatever strikes: it ends, and what stands on the target is what the final state says."""
    for seed in range(part, SCHEDULES, PARTS):
        found = explore(seed)
        assert found is None, f"{told(shrink(found))}\npython -m tests.simulation --seed {seed}"


def test_a_schedule_is_the_same_whenever_it_is_run() -> None:
    """By its number, and by its decisions."""
    first, again = told(Found(7, "", None)), told(Found(7, "", None))
    assert first == again
    assert "succeeded" in first.lower()
