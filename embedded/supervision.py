"""All children of one supervisor: kept going, asked whether they are ready, told of, and ended."""

import asyncio
import json
import signal
import time
from collections.abc import Callable
from functools import partial

import structlog

from embedded import log_files, processes
from embedded.children import Child, as_json
from embedded.home import Home, write_private
from embedded.progress import Teller

log = structlog.get_logger()

_SERVICES_END = 10.0
_SERVERS_END = 15.0


class Supervision:
    """Servers, and the services that use them. How each is stands in run/processes.json while there are any."""

    def __init__(self, home: Home, teller: Teller) -> None:
        self._state = home.run / "processes.json"
        self._logs = home.logs
        self._teller = teller
        self.servers: list[Child] = []
        self.services: list[Child] = []

    @property
    def _children(self) -> list[Child]:
        return [*self.servers, *self.services]

    def tend(self) -> bool:
        """Notice who ended, start who is due, keep the logs small; whether something happened."""
        changed = False
        for child in self._children:
            happened = child.tend(time.monotonic())
            if happened is None:
                continue
            changed = True
            if child.pid is None:
                words = child.last_words()
                self._teller.say(child.name, "failed", f"{happened}\n{words}")
                log.warning("process ended", process=child.name, how=happened, last_words=words, restarts=child.restarts)
            else:
                self._teller.say(child.name, "working", happened)
                log.info("process started", process=child.name, pid=child.pid)
        for file in self._logs.glob("*.log"):
            self._keep_on(partial(log_files.rotate, file))
        if changed:
            self._keep_on(self._write_state)
        return changed

    def probe(self) -> bool:
        """Ask everyone for their readiness, tell what became ready; whether all are."""

        async def ask(child: Child) -> tuple[bool, bool]:
            ready = await child.probe()
            return ready, ready or await child.lives()

        async def ask_all() -> list[tuple[bool, bool]]:
            answers = await asyncio.gather(*(ask(child) for child in self._children), return_exceptions=True)
            return [answer if isinstance(answer, tuple) else (False, False) for answer in answers]

        before = [child.ready for child in self._children]
        for child, was, (ready, lives) in zip(self._children, before, asyncio.run(ask_all()), strict=True):
            child.ready = ready and child.pid is not None
            if child.heard(time.monotonic(), answered=lives):
                self._teller.say(child.name, "failed", "it hangs and was killed")
                log.error("process killed, it hangs", process=child.name)
            if child.ready and not was:
                self._teller.say(child.name, "done")
                log.info("process ready", process=child.name)
        if before != [child.ready for child in self._children]:
            self._keep_on(self._write_state)
        return all(child.ready for child in self._children)

    def due_in(self, now: float) -> list[float]:
        """Seconds until each of those who do not run is to be started."""
        delays = (child.due_in(now) for child in self._children)
        return [delay for delay in delays if delay is not None]

    def end(self) -> None:
        """Services first, within ten seconds; then the servers that they used."""
        self._end_all(self.services, signal.SIGTERM, _SERVICES_END)
        for child in self.servers:
            self._end_all([child], child.stop_signal, _SERVERS_END)
        self._state.unlink(missing_ok=True)

    def _keep_on(self, write: Callable[[], None]) -> None:
        """A full disk must not end what still works."""
        try:
            write()
        except OSError as error:
            self._teller.say("supervisor", "failed", str(error))
            log.error("file cannot be written", error=str(error))

    def _write_state(self) -> None:
        write_private(self._state, json.dumps(as_json([child.state() for child in self._children])))

    def _end_all(self, children: list[Child], with_signal: signal.Signals, limit: float) -> None:
        running = {child.pid: child.name for child in children if child.pid is not None}
        for killed in processes.end(list(running), with_signal, limit):
            self._teller.say(running[killed], "failed", f"did not end within {limit:.0f} s and was killed")
