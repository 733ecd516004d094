"""The network between a service and the bus: cut, silent, slow, or one-way."""

import time
from dataclasses import dataclass

from tests.faults.strikes.kinds.strike import Scene, Strike
from tests.faults.strikes.machine import SERVICE_NAMES
from tests.faults.strikes.proxy import Way


@dataclass(frozen=True)
class Network:
    """The network of one service, or of all, is bad for some seconds."""

    way: Way
    longest_s: float

    def __call__(self, scene: Scene) -> str:
        """Strikes."""
        names = SERVICE_NAMES if scene.chance.random() < 0.2 else (scene.chance.choice(SERVICE_NAMES),)
        machine = scene.machine
        for name in names:
            machine.background.call(machine.proxies[name].become(self.way))
        time.sleep(scene.chance.uniform(2.0, self.longest_s))
        for name in names:
            machine.background.call(machine.proxies[name].become(Way.GOOD))
        return ", ".join(names)


KINDS = (
    Strike("network cut", Network(Way.CUT, 20.0)),
    Strike("network silent", Network(Way.SILENT, 45.0)),
    Strike("network one-way: to the bus", Network(Way.DEAF, 45.0)),
    Strike("network one-way: from the bus", Network(Way.MUTE, 45.0)),
    Strike("network slow", Network(Way.SLOW, 20.0)),
)
