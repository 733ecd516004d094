"""Which refs an environment follows."""

import pytest

from services.api.refs import follows


@pytest.mark.parametrize(
    ("pattern", "ref", "expected"),
    [
        ("refs/heads/main", "refs/heads/main", True),
        ("refs/heads/main", "refs/heads/main2", False),
        ("refs/heads/main", "refs/heads/Main", False),
        ("refs/heads/release/*", "refs/heads/release/1/2", True),
        ("refs/tags/v*", "refs/tags/v1.0", True),
        ("refs/tags/v*", "refs/heads/v1.0", False),
        ("refs/heads/a.c", "refs/heads/abc", False),
        ("refs/heads/*/ü", "refs/heads/ä/ü", True),
    ],
)
def test_follows(pattern: str, ref: str, expected: bool) -> None:
    """`*` matches any part of a name, everything else itself."""
    assert follows(pattern, ref) is expected
