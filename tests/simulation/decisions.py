"""What decides a schedule: a sequence of small numbers, drawn from a seed or given. 0 is always "as it should be"."""

from collections.abc import Sequence
from random import Random


class Decisions:
    """Draws, and remembers what was drawn; with `given` it repeats that, and answers 0 when it is at its end."""

    def __init__(self, seed: int, given: Sequence[int] | None = None) -> None:
        self._random = Random(seed).random
        self._given = None if given is None else iter(given)
        self.taken: list[int] = []

    def happens(self, probability: float) -> bool:
        """Something goes wrong."""
        if probability <= 0:
            return False
        value = int(self._random() < probability) if self._given is None else next(self._given, 0)
        self.taken.append(value)
        return value > 0

    def pick(self, count: int, disorder: float = 1.0) -> int:
        """One of `count`: with the probability `disorder` any of them, else the first."""
        if count <= 1:
            return 0
        if self._given is None:
            value = int(self._random() / disorder * count) if disorder else 0
            value = value if value < count else 0
        else:
            value = next(self._given, 0) % count
        self.taken.append(value)
        return value
