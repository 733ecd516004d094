"""Where a deployment's time went, from its events: how long each step's worker was at it, and how long nobody was."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts.events import Event


@dataclass(frozen=True)
class Interval:
    """One step at work, in seconds of the wall clock. Its beginning is reckoned back from its end, which was heard a moment later."""

    step: str
    since: float
    until: float


def intervals(events: Sequence[Event]) -> list[Interval]:
    """Every step that was done, in the order of their beginnings."""
    done = [event for event in events if event.step is not None and event.outcome == "done" and event.seconds is not None]
    found = [Interval(event.step or "", event.time.timestamp() - (event.seconds or 0.0), event.time.timestamp()) for event in done]
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
