"""Runs schedules by number, on one core or on several, and makes a violation readable."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.simulation.violation import Violation
from tests.simulation.world import World


@dataclass(frozen=True)
class Found:
    """A schedule that shows what must not be."""

    seed: int
    sentence: str
    decisions: tuple[int, ...] | None
    """None: as the seed has them."""


def explore(seed: int, given: Sequence[int] | None = None, counts: Counter[str] | None = None) -> Found | None:
    """Runs one schedule. What went wrong in it on purpose is added to `counts`."""
    world = World(seed, given)
    sentence = _ran(world)
    if counts is not None:
        counts.update(world.counts)
    return None if sentence is None else Found(seed, sentence, tuple(world.decisions.taken))


def _ran(world: World) -> str | None:
    """What was broken."""
    try:
        world.run()
    except Violation as violation:
        return str(violation)
    except Exception as error:  # noqa: BLE001 -- an error of the engine is as bad as a wrong move
        return f"{type(error).__name__}: {error}"
    return None


def told(found: Found) -> str:
    """The schedule, line by line."""
    world = World(found.seed, found.decisions, telling=True)
    if (sentence := _ran(world)) is not None:
        world.tell(f"VIOLATION: {sentence}")
    return "\n".join(world.told or ())


def explore_many(seeds: Sequence[int], workers: int = 1) -> Iterator[Found]:
    """All violations of many schedules; on several cores where asked."""
    if workers == 1:
        yield from _some(seeds)
        return
    parts = [seeds[start : start + 500] for start in range(0, len(seeds), 500)]
    with ProcessPoolExecutor(workers) as pool:
        for found in pool.map(_some, parts):
            yield from found


def _some(seeds: Sequence[int]) -> list[Found]:
    return [found for seed in seeds if (found := explore(seed)) is not None]
