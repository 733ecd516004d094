"""Whose turn it is to take an environment, and who gives way in its queue. Pure.

What was pushed later stands at the end, whichever build was quicker. What a person asked for is done: a push does not take its
place, and comes after it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from services.coordinator.inputs import Superseded
from services.coordinator.saga import Saga


@dataclass(frozen=True)
class Turn:
    """What happens in the queue of one environment."""

    next: str | None
    """Takes the environment as soon as it is free."""
    give_way: dict[str, Superseded]
    """The others that have nothing to wait for any more."""


def turn(queued: Iterable[Saga], runs: Saga | None) -> Turn:
    """Looks at those that wait for an environment; `runs` is the deployment whose releases it runs."""
    oldest_first = sorted(queued, key=lambda saga: saga.origin.arrival)
    give_way: dict[str, Superseded] = {}
    for saga in oldest_first:
        newer = [other for other in oldest_first if gives_way(saga, other)]
        if newer:
            give_way[saga.id] = Superseded(by=newer[-1].id, reason="a newer deployment is ready", by_hand=True, queued_only=True)
        elif runs is not None and not saga.origin.by_hand and saga.origin.arrival < runs.origin.arrival:
            give_way[saga.id] = Superseded(by=runs.id, reason="the environment runs a newer deployment already", queued_only=True)
    return Turn(next((saga.id for saga in oldest_first if saga.id not in give_way), None), give_way)


def gives_way(saga: Saga, other: Saga) -> bool:
    """To what is newer; but what a person asked for only to what a person asked for."""
    return saga.origin.arrival < other.origin.arrival and (other.origin.by_hand or not saga.origin.by_hand)
