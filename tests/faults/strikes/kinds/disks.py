"""Full disks: of NATS, of PostgreSQL, of the builder, of the logs."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass

from tests.faults.strikes.kinds.strike import Scene, Strike

_PIECE = 1024 * 1024


@dataclass(frozen=True)
class Full:
    """The disk is full to the last byte for some seconds; then somebody makes room."""

    disk: str

    def __call__(self, scene: Scene) -> None:
        """Strikes."""
        ballast = scene.machine.disk(self.disk) / "ballast"
        until = time.monotonic() + scene.chance.uniform(8.0, 25.0)
        try:
            while time.monotonic() < until:
                _fill(os.fspath(ballast))
                time.sleep(0.05)  # what is freed meanwhile is taken, too
        finally:
            ballast.unlink()


def _fill(path: str) -> None:
    with open(path, "ab", buffering=0) as file, suppress(OSError):  # noqa: PTH123 -- every write counts
        for size in (_PIECE, 4096, 1):
            with suppress(OSError):
                while file.write(b"\0" * size) == size:
                    pass


KINDS = (
    Strike("full disk of NATS", Full("nats")),
    Strike("full disk of PostgreSQL", Full("postgres")),
    Strike("full disk of builds", Full("builder"), may_end=frozenset({"failed"})),
    Strike("full disk of logs", Full("logs")),
)
