"""Makes a schedule that shows a violation as short as it gets: decisions are left out or become 0 for as long as it shows the same."""

import re
from collections.abc import Callable, Sequence

from tests.simulation.exploration import Found, explore

TRIES = 1500


def shrink(found: Found, tries: int = TRIES, run: Callable[[int, Sequence[int]], Found | None] = explore) -> Found:
    """The shortest schedule found that breaks the same sentence."""
    shape, left = _shape(found.sentence), tries
    best, size = found, len(found.decisions or ())

    def shows(decisions: Sequence[int]) -> bool:
        nonlocal best, left
        left -= 1
        again = run(found.seed, decisions)
        if again is None or _shape(again.sentence) != shape:
            return False
        best = Found(found.seed, again.sentence, _without_calm(decisions))
        return True

    while size > 0 and left > 0:
        start, changed = 0, False
        while start < len(now := best.decisions or ()) and left > 0:
            before, part, after = now[:start], now[start : start + size], now[start + size :]
            if shows(before + after) or (any(part) and shows(before + (0,) * len(part) + after)):
                changed = True
            else:
                start += size
        if not changed or size > 1:
            size //= 2
    return best


def _without_calm(decisions: Sequence[int]) -> tuple[int, ...]:
    """What follows the end of the decisions is 0 anyway."""
    last = max((place for place, decision in enumerate(decisions) if decision), default=-1)
    return tuple(decisions[: last + 1])


def _shape(sentence: str) -> str:
    """The sentence without names and numbers."""
    return re.sub(r"[\w.-]*\d[\w.-]*|'[^']*'", "_", sentence)
