"""Which refs an environment follows."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ref_patterns import matches


@pytest.mark.parametrize(
    ("pattern", "ref", "expected"),
    [
        ("refs/heads/main", "refs/heads/main", True),
        ("refs/heads/main", "refs/heads/main2", False),
        ("refs/heads/main", "refs/heads/Main", False),
        ("refs/heads/release/*", "refs/heads/release/1/2", True),
        ("refs/heads/release/*", "refs/heads/releases", False),
        ("refs/tags/v*", "refs/tags/v1.0", True),
        ("refs/tags/v*", "refs/heads/v1.0", False),
        ("refs/tags/v*", "refs/heads/refs/tags/v1.0", False),
        ("refs/heads/v*", "refs/tags/v1.0", False),
        ("refs/heads/a.c", "refs/heads/abc", False),
        ("refs/heads/[ab]", "refs/heads/a", False),
        ("refs/heads/*/ü", "refs/heads/ä/ü", True),
    ],
)
def test_matches(pattern: str, ref: str, expected: bool) -> None:
    """`*` matches any part of a name, everything else itself: a branch that is named like a tag is none."""
    assert matches(pattern, ref) is expected


@given(st.text("*ab/"), st.text("ab/"))
def test_a_star_is_what_it_is_in_a_regular_expression(pattern: str, ref: str) -> None:
    """Several of them, one beside the other, and at either end."""
    assert matches(pattern, ref) is (re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), ref) is not None)


def test_many_stars_take_no_time() -> None:
    """With them a regular expression would be at it for years."""
    began = time.process_time()
    assert not matches("*a" * 200 + "b", "a" * 1000)
    assert time.process_time() - began < 1.0
