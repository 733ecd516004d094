"""Patterns of refs: what an environment follows. Pure."""

import re
from functools import lru_cache


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)


def matches(pattern: str, ref: str) -> bool:
    """Whether the pattern matches the full name of the ref; `*` matches any part of it, slashes too."""
    return _compiled(pattern).fullmatch(ref) is not None
