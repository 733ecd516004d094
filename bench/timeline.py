"""Where a deployment's time went, from its events: how long each step was at work, and how long nobody was."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts.events import Event


@dataclass(frozen=True)
class Interval:
    """One step at work, in seconds of the wall clock: from its worker's word to its end."""

    step: str
    since: float
    until: float


def intervals(events: Sequence[Event]) -> list[Interval]:
    """Every step that was done, in the order of their starts."""
    started: dict[str, float] = {}
    found = []
    for event in sorted(events, key=lambda event: event.sequence or 0):
        if event.step is None:
            continue
        if event.outcome == "started":
            started.setdefault(event.step, event.time.timestamp())
        elif event.outcome == "done" and event.step in started:
            found.append(Interval(event.step, started[event.step], event.time.timestamp()))
    return sorted(found, key=lambda interval: interval.since)


def shares(found: Sequence[Interval], since: float, until: float) -> dict[str, float]:
    """Seconds of each step within [since, until], and `between`: when no step was at work."""
    inside = [(part.step, max(part.since, since), min(part.until, until)) for part in found if part.since < until]
    seconds = {step: end - start for step, start, end in inside}
    return seconds | {"between": (until - since) - _covered([(start, end) for _, start, end in inside])}


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
