"""What a blow itself takes away from the people of an application, and until when: requests may fail then, and at no other time."""

import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.deployer.targets.local.naming import Role
from tests.faults.strikes.load import Outage
from tests.faults.strikes.machine import Machine
from tests.faults.strikes.stream import Lane

OPENS_S = 5.0
"""So long after its container runs again a program may take to open its port."""
_EVERY_S = 0.2
_STATE = "{{.State.Running}} {{.State.StartedAt}}"


@dataclass
class Outages:
    """Looks, from a blow on, for the return of every host: of the load balancer, and where `applications` die of their containers."""

    machine: Machine
    lanes: Sequence[Lane]
    applications: bool
    began: float = field(default_factory=time.monotonic)
    ended: dict[str, float] = field(default_factory=dict)
    """By host. One that never returned is not there, and nothing is excused of it."""
    _since: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f"))
    _closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._look, daemon=True, name="outages")
        self._thread.start()

    def close(self) -> Iterator[Outage]:
        """Looks no longer; what is excused."""
        self._closed.set()
        self._thread.join()
        return (Outage(host, self.began, ended) for host, ended in self.ended.items())

    def _look(self) -> None:
        while not self._closed.wait(_EVERY_S) and len(self.ended) < len(self.lanes):
            for lane in self.lanes:
                if lane.load.host not in self.ended and self.has_returned(lane):
                    self.ended[lane.load.host] = time.monotonic() + (OPENS_S if self.applications else 0.0)

    def has_returned(self, lane: Lane) -> bool:
        """Whether people reach an application, be it that it says no."""
        with suppress(subprocess.CalledProcessError, TimeoutError):
            if not self._started(self.machine.container("traefik")):
                return False
            if self.applications and not self._runs(lane):
                return False
            return self.machine.background.call(lane.load.reaches())
        return False

    def _runs(self, lane: Lane) -> bool:
        label = f"label=slipway.project={lane.place.project}"
        listed = self.machine.docker("ps", "--filter", label, "--format", '{{.Names}} {{.Label "slipway.role"}}').splitlines()
        roles = {role for name, _, role in (line.partition(" ") for line in listed) if self._started(name) and self._lets_in(name, role)}
        return roles >= ({Role.APPLICATION, Role.DATABASE} if lane.rows else {Role.APPLICATION})

    def _started(self, name: str) -> bool:
        running, _, at = self.machine.docker("inspect", "--format", _STATE, name).partition(" ")
        return running == "true" and at > self._since

    def _lets_in(self, name: str, role: str) -> bool:
        """A database may be reading its log."""
        return role != Role.DATABASE or not self.machine.docker("exec", name, "pg_isready", "--quiet")
