"""Renews the certificates of a control plane that runs for months. Services read theirs when they start, so they are started again."""

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from embedded import authority
from embedded.children import Child
from embedded.home import Home

log = structlog.get_logger()

_LOOK_S = 24 * 3600.0


@dataclass
class Renewal:
    """Looks once a day; ends one service after the other, each once all are ready. What they hold is good meanwhile."""

    home: Home
    services: Sequence[Child]
    _look_at: float = 0.0
    _outdated: set[int | None] = field(default_factory=set)
    """Processes that have read what was replaced since."""
    _ended: int | None = None

    def tend(self, now: float) -> None:
        """Seconds of a monotonic clock. Ends a process at most; the supervisor starts the next one."""
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            self._renew()
        self._outdated &= {child.pid for child in self.services}
        if self._outdated and self._ended not in self._outdated and all(child.ready for child in self.services):
            self._end(next(child for child in self.services if child.pid in self._outdated))

    def _renew(self) -> None:
        try:
            renewed = authority.renew(self.home, tuple(child.name for child in self.services))
        except (OSError, ValueError, TypeError) as error:
            log.error("certificates cannot be renewed", error=str(error))
            return
        self._outdated |= {child.pid for child in self.services if child.name in renewed and child.pid is not None}

    def _end(self, child: Child) -> None:
        self._ended = child.pid
        log.info("certificate renewed, service starts again", process=child.name)
        if child.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGTERM)
