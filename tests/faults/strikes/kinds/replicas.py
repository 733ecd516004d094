"""Two processes of every service, side by side, of which one dies or both."""

import signal
from dataclasses import dataclass

from tests.faults.strikes.kinds.processes import Kill
from tests.faults.strikes.kinds.strike import Scene, Strike
from tests.faults.strikes.machine import SERVICE_NAMES


@dataclass(frozen=True)
class KillReplica:
    """One of the two, by chance the first or the second, gets the signal."""

    number: signal.Signals

    def __call__(self, scene: Scene) -> str:
        """Strikes."""
        name = scene.chance.choice(SERVICE_NAMES)
        if scene.chance.random() < 0.5:
            Kill(name)(scene)
            return f"the first {name}"
        scene.machine.replicas.restart(name, self.number)
        return f"the second {name}"


def _service(hit: str) -> str:
    return hit.rpartition(" ")[2]


def nothing(scene: Scene) -> None:
    """That there are two is the strike."""


KINDS = (
    Strike("two replicas", nothing, replicas=True),
    Strike("two replicas: kill one", KillReplica(signal.SIGKILL), most=3, kills=_service, replicas=True),
    Strike("two replicas: terminate one", KillReplica(signal.SIGTERM), most=2, replicas=True),
)
