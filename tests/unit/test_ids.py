"""Identifiers."""

from itertools import pairwise

from shared.messages import new_id


def test_ids_sort_by_their_making() -> None:
    """Also those of one millisecond; none comes twice."""
    made = [new_id() for _ in range(2000)]
    assert len(set(made)) == len(made)
    assert all(len(one) == 26 for one in made)
    assert sum(earlier[:14] > later[:14] for earlier, later in pairwise(made)) == 0
