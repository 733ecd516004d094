"""What a kind of strike is."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.faults.strikes.machine import Machine
from tests.faults.strikes.moments import Watch


@dataclass(frozen=True)
class Scene:
    """What a strike strikes, and the chance that its details come of."""

    machine: Machine
    watch: Watch
    chance: random.Random
    turn: int
    """Of its kind."""

    def outage_s(self) -> float:
        """How long a server is away: most of a minute; each third time longer than the two that JetStream remembers what it was sent."""
        return self.chance.uniform(25.0, 50.0) if self.turn % 3 else self.chance.uniform(130.0, 200.0)


class DidNotStrike(Exception):
    """What was to be struck was not there in time: the run proves nothing of its kind."""


class Blow(Protocol):
    """Does the harm; returns when it is over, or when an operator would set right what is left of it."""

    def __call__(self, scene: Scene, /) -> str | None:
        """Strikes, and says what, where the kind does not; raises `DidNotStrike` where there was nothing to strike."""
        ...


@dataclass(frozen=True)
class Strike:
    """One kind: its blow, and what it excuses."""

    name: str
    blow: Blow
    most: int = 1
    """So many in one run."""
    steps: tuple[str, ...] = ()
    """Steps at whose boundaries it strikes, where elsewhere there is nothing for it."""
    kills_applications: bool = False
    """Requests may fail until the containers of the application run again."""
    may_end: frozenset[str] = frozenset()
    """States in which any deployment may end besides those that its commit leads to."""
    kills: str | Callable[[str], str] = ""
    """What it kills, where that is one thing; where chance chooses it, what that is by what was hit.

    A deployment that one of these strikes ends within 30 s of its return, and the usual time.
    """
    retried: bool = False
    """What is stuck afterwards is retried by a person, as its alert asks for."""
    rig: Mapping[str, str] = field(default_factory=dict)
    """Settings with which the platform runs meanwhile."""
    replicas: bool = False
    """A second process of every service runs meanwhile."""
    needs: Path | None = None
    """A file without which it cannot be made."""

    def killed(self, hit: str) -> str:
        """What a blow has killed; empty where that is nothing, or not one thing."""
        return self.kills if isinstance(self.kills, str) else self.kills(hit)

    @property
    def cuts_off(self) -> bool:
        """Applications cannot be reached until what is killed is back."""
        return self.kills_applications or self.kills == "traefik"
