"""Which refs an environment follows."""

import pytest

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
