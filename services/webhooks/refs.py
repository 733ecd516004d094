"""The names of git: refs and commits."""

import re
from collections.abc import Sequence

from shared.ref_patterns import matches

LONGEST_REF = 1000
"""That Slipway takes, in characters."""
NO_COMMIT = "0" * 40
"""The object name that stands for "none"."""
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_FORBIDDEN_IN_REFS = re.compile(r"[\x00-\x20\x7f~^:?*\[\\\ufffd]|\.\.|@\{|//|/\.|\.lock(?:/|$)|[./]$")
"""git-check-ref-format(1); U+FFFD is what is left of bytes that no text can hold."""


def is_commit(text: str) -> bool:
    """Whether it is a full object name, SHA-1 or SHA-256."""
    return _COMMIT.fullmatch(text) is not None


def is_zeros(text: str) -> bool:
    """Whether it is the object name that stands for "none"."""
    return text.strip("0") == "" != text


def is_ref(ref: str) -> bool:
    """Whether git allows such a full ref name."""
    return ref.startswith("refs/") and ref.count("/") >= 2 and not _FORBIDDEN_IN_REFS.search(ref)


def short(ref: str) -> str:
    """What people call a ref."""
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


def follows(followed: Sequence[str], ref: str) -> bool:
    """Whether one of the followed refs, which may be patterns, is this one."""
    return any(matches(pattern, ref) for pattern in followed)
