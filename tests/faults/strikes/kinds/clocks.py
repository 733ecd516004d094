"""Clocks that differ by an hour."""

import json
from dataclasses import dataclass

from tests.faults.strikes.kinds.processes import Kill
from tests.faults.strikes.kinds.strike import Scene, Strike
from tests.faults.strikes.stack import CLOCKS, FAKETIME


@dataclass(frozen=True)
class KillOne:
    """One of those whose clock is wrong dies, and comes back with the same clock."""

    names: tuple[str, ...]

    def __call__(self, scene: Scene) -> str:
        """Strikes."""
        name = scene.chance.choice(self.names)
        Kill(name)(scene)
        return name


def _wrong(name: str, wrong: dict[str, str]) -> Strike:
    return Strike(f"clocks differ: {name}", KillOne(tuple(wrong)), kills=str, rig={CLOCKS: json.dumps(wrong)}, needs=FAKETIME)


KINDS = (
    _wrong("control plane an hour ahead", {"coordinator": "+1h", "webhooks": "+1h"}),
    _wrong("participants an hour behind", {"builder": "-1h", "deployer": "-1h"}),
    _wrong("participants an hour ahead", {"auth": "+1h", "builder": "+1h", "deployer": "+1h"}),
)
