"""Makes the registry or the load balancer again whose container was removed, and starts our own engine again, while all else goes on.

Whether a container is gone only the engine knows, which may be away or hang; so a child of the supervisor asks it, once
nobody listens on the port any more. What is there and does not run is nobody's to start here: the engine restarts what
crashed, and leaves alone what its owner stopped. Nobody restarts the engine itself where Slipway started it.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from aiodocker.exceptions import DockerError

from embedded import engine, ports, processes
from embedded.data_plane import DataPlane, DataPlaneFailed, Say
from embedded.home import Home
from embedded.images.packages import PackageUnavailableError
from embedded.images.provision import EngineRefusedError
from embedded.progress import Teller
from embedded.settings import EngineSettings

log = structlog.get_logger()

_LOOK_S = 1.0
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 60.0
_STEADY = 60.0
"""Seconds after which one that was looked after counts as healthy: its next silence is treated as the first."""
_LIMIT = 300.0
"""Seconds after which a child is killed and another one tries: its engine hangs, or packages do not come."""
_END_LIMIT = 2.0
_EXPECTED = (DockerError, DataPlaneFailed, EngineRefusedError, PackageUnavailableError, engine.EngineError, OSError)


@dataclass
class Restoration:
    """Looks after one part (`registry`, `traefik`, `engine`). Times are seconds of a monotonic clock."""

    part: str
    lost: str
    """What is said when it has to be made again."""
    listens: Callable[[], bool]
    restore: Callable[[Callable[[], None], Say], None]
    """Has it there again, if it is not; it says so before and after. For a child of its own."""
    home: Home
    teller: Teller
    _pid: int | None = None
    _forked_at: float = 0.0
    _look_at: float = 0.0
    _due_at: float = 0.0
    _delay: float = field(default=_FIRST_DELAY)

    def tend(self, now: float) -> None:
        """Looks whether it listens each second, which takes a tenth of a millisecond, and has a child see to one that is silent."""
        if self._pid is not None:
            self._wait(self._pid, now)
        elif now >= self._look_at:
            self._look_at = now + _LOOK_S
            if self.listens():
                self._delay = _FIRST_DELAY if now - self._due_at > _STEADY else self._delay
            elif now >= self._due_at:
                self._see_to_it(now)

    def end(self) -> None:
        """Before anybody removes what a child might make again."""
        if self._pid is not None:
            processes.end([self._pid], signal.SIGTERM, _END_LIMIT)

    def _see_to_it(self, now: float) -> None:
        try:
            self._pid = processes.fork(self._restore, self.home.logs / "supervisor.log", keep=self.teller.descriptors)
        except OSError as error:
            log.error("silent part cannot be seen to", part=self.part, error=str(error))
            self._later(now)
        self._forked_at = now

    def _wait(self, pid: int, now: float) -> None:
        if processes.reap(pid) is not None:
            self._pid = None
            self._later(now)
        elif now - self._forked_at > _LIMIT:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _later(self, now: float) -> None:
        self._due_at, self._delay = now + self._delay, min(self._delay * 2, _LONGEST_DELAY)

    def _restore(self) -> None:
        """What the child does. An engine that does not answer is looked at again; it may bring its containers back."""
        try:
            self.restore(self._gone, self._made)
        except _EXPECTED as failure:
            self.teller.say(self.part, "failed", str(failure))
            log.error("silent part cannot be seen to", part=self.part, error=str(failure))

    def _gone(self) -> None:
        self.teller.say(self.part, "failed", self.lost)
        log.warning(self.lost, part=self.part)

    def _made(self, part: str, how: str) -> None:
        self.teller.say(part, "done", how)
        log.info("silent part is there again", part=part)


def of_container(plane: DataPlane, part: str, home: Home, teller: Teller) -> Restoration:
    """Of a container of the data plane."""

    def restore(gone: Callable[[], None], made: Say) -> None:
        asyncio.run(plane.restore(part, gone, made))

    port = plane.ports[part]
    return Restoration(part, "container removed, it is made again", lambda: ports.somebody_listens(port), restore, home, teller)


def of_engine(found: engine.Engine, settings: EngineSettings, home: Home, teller: Teller) -> Restoration:
    """Of an engine of ours. If it was started for this home it stays so, and `down --all` ends it."""
    for_home = home.engine.exists() and home.engine.read_text() == str(found.pid)

    def restore(gone: Callable[[], None], made: Say) -> None:
        if engine.listens(settings):
            return
        gone()
        again = engine.ensure(settings)
        if for_home:
            home.engine.write_text(str(again.pid))
        made("engine", f"Docker {again.version}")

    return Restoration("engine", "container engine ended, it is started again", lambda: engine.listens(settings), restore, home, teller)
