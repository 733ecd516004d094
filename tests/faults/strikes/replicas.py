"""A second process of every service, with the same settings as the first and ports of its own."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.polling import until
from tests.stack import free_port

START_LIMIT_S = 60.0
END_LIMIT_S = 10.0


@dataclass
class Replicas:
    """The second processes, by service."""

    home: Path
    _running: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)
    _health: dict[str, int] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Starts one, as the supervisor starts the first."""
        environment: dict[str, str] = json.loads((self.home / "run" / "environments" / f"{name}.json").read_text())
        self._health[name] = free_port()
        own = {"SLIPWAY_HEALTH_PORT": str(self._health[name])}
        for address in ("SLIPWAY_HTTP_ADDRESS", "SLIPWAY_GRPC_ADDRESS"):
            if address in environment:
                own[address] = f"127.0.0.1:{free_port()}"
        with (self.home / "logs" / f"{name}-2.log").open("ab") as log:
            command = (sys.executable, "-m", "tests.faults.strikes.service", name)
            self._running[name] = subprocess.Popen(command, env={**os.environ, **environment, **own}, stdout=log, stderr=log)

    def start_all(self, names: tuple[str, ...]) -> None:
        """One of each."""
        for name in names:
            if name not in self._running:
                self.start(name)

    def restart(self, name: str, number: signal.Signals) -> None:
        """Ends one by a signal and starts it again."""
        process = self._running[name]
        process.send_signal(number)
        process.wait(END_LIMIT_S)
        self.start(name)

    def is_ready(self, name: str) -> bool:
        """Whether the second process of a service says that it is ready; True where there is none."""
        return name not in self._running or is_ready(self._health[name])

    def tend(self) -> None:
        """Starts those again that ended by themselves, and waits until all are ready."""
        for name in [name for name, process in self._running.items() if process.poll() is not None]:
            self.start(name)
        for name in self._running:
            until(lambda name=name: is_ready(self._health[name]), within=START_LIMIT_S, every=0.2, what=f"the second {name} is ready")  # type: ignore[misc]

    def end_all(self) -> None:
        """All of them, in order."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            until(lambda process=process: process.poll() is not None, within=END_LIMIT_S, what="a replica ends")  # type: ignore[misc]
        self._running.clear()


def is_ready(port: int) -> bool:
    """Whether the service with this health port says that it is ready."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=3, trust_env=False).is_success
    except (httpx.HTTPError, OSError):
        return False
