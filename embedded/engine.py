"""The container engine: found where one runs, started where none does, stopped only if it is ours.

`python -m embedded.engine ensure` prints the address of an engine that answers; `stop` ends the one
that we started. Our dockerd is a session of its own: it, and with `live-restore` its containers,
outlive whoever started it.
"""

import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psutil

from embedded.settings import EngineSettings

MINIMUM_API = (1, 41)
_ANSWER_LIMIT = 5.0
START_LIMIT = 30.0
STOP_LIMIT = 30.0
_DYING_LIMIT = 5.0
_LOOK = "Its log says more (journalctl -u docker, or dockerd.log in its folder); restart it if it stays so."


class EngineError(Exception):
    """The engine cannot be used or started: the problem without its full stop, and what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True)
class Engine:
    """An engine that answered."""

    host: str
    version: str
    api_version: str
    pid: int | None
    """Its process, where it was started with our configuration; None for an engine of somebody else's."""

    @property
    def ours(self) -> bool:
        """Whether Slipway started it, from this home or another one."""
        return self.pid is not None

    @property
    def too_old(self) -> bool:
        """Whether it lacks what the local target needs (Docker 20.10, API 1.41)."""
        major, minor = self.api_version.split(".")[:2]
        return (int(major), int(minor)) < MINIMUM_API


class _Connection(http.client.HTTPConnection):
    """HTTP over the engine's address, `unix://` or `tcp://`."""

    def __init__(self, host: str, timeout: float) -> None:
        self._address = urlsplit(host)
        super().__init__(self._address.hostname or "localhost", self._address.port or 2375, timeout=timeout)

    def connect(self) -> None:
        if self._address.scheme != "unix":
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._address.path)


def ask(host: str, path: str) -> Any:
    """The engine's answer to a GET, as JSON. Raises EngineError where there is none within 5 s, or a refusal."""
    answer = _request(host, "GET", path, _ANSWER_LIMIT)
    try:
        return json.loads(answer)
    except ValueError as error:
        raise EngineError(f"What answers at {host} is no container engine", _LOOK) from error


def order(host: str, method: str, path: str, limit: float) -> None:
    """Have the engine do something; one that is gone already, or stopped, is fine. Raises EngineError."""
    _request(host, method, path, limit, fine=(http.client.NOT_FOUND,))


def _request(host: str, method: str, path: str, limit: float, fine: tuple[int, ...] = ()) -> str:
    connection = _Connection(host, limit)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        words = answer.read().decode(errors="replace")
    except TimeoutError as late:
        raise EngineError(f"The container engine at {host} answers too slowly: nothing within {limit:g} s", _LOOK) from late
    except (OSError, http.client.HTTPException) as error:
        raise EngineError(f"The container engine at {host} does not answer: {error}", _LOOK) from error
    finally:
        connection.close()
    if answer.status >= http.client.BAD_REQUEST and answer.status not in fine:
        raise EngineError(f"The container engine refuses {method} {path.partition('?')[0]}: {words.strip()}", _LOOK)
    return words


def listens(settings: EngineSettings) -> bool:
    """Whether anybody does at the engine's address; it may be too busy to answer."""
    try:
        connection = _Connection(settings.address, _ANSWER_LIMIT)
    except ValueError:  # A port that is no number.
        return False
    try:
        connection.connect()
    except BlockingIOError:  # So many wait there already.
        return True
    except OSError:
        return False
    finally:
        connection.close()
    return True


def find(settings: EngineSettings) -> Engine | None:
    """The engine at the configured address, or at the socket; None where nobody listens. Raises EngineError as `ask`.

    Who listens and does not answer is no reason to start another one: it would take the socket, and all containers would seem gone.
    """
    if not listens(settings):
        return None
    try:
        version = ask(settings.address, "/version")
    except EngineError:
        if listens(settings):
            raise
        return None  # It ended just now.
    process = None if settings.is_somebody_elses else _our_process(settings)
    return Engine(settings.address, str(version["Version"]), str(version["ApiVersion"]), process.pid if process else None)


def ensure(settings: EngineSettings) -> Engine:
    """An engine that answers: the one that runs, else one that is started now. Raises EngineError."""
    engine = find(settings)
    if engine is not None:
        return engine
    if settings.is_somebody_elses:
        raise EngineError(f"No container engine answers at {settings.host}", "Start it, or unset SLIPWAY_DOCKER_HOST and DOCKER_HOST.")
    return _start(settings)


def why_not_startable(settings: EngineSettings) -> EngineError | None:
    """What stands in the way of starting an engine of our own; None where nothing does."""
    if shutil.which("dockerd") is None:
        return EngineError("No container engine is installed", "Install one: apt-get install docker.io")
    if os.geteuid() != 0:
        return EngineError(
            f"A container engine is installed, but none answers at {settings.socket}, and only root can start one",
            "Start it (sudo systemctl start docker), and join its group (sudo usermod -aG docker $USER).",
        )
    return None


def stop(settings: EngineSettings) -> bool:
    """End the engine that we started and wait for it; False where it is not ours or does not run.

    Containers go on (`live-restore`). Raises EngineError when it does not end within 30 s.
    """
    process = _our_process(settings)
    if process is None:
        return False
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_LIMIT)
    except psutil.TimeoutExpired as late:
        raise EngineError(f"dockerd (process {process.pid}) did not end within {STOP_LIMIT:.0f} s", _LOOK) from late
    return True


def running_names(host: str, instance: str | None = None) -> frozenset[str]:
    """The names of the containers that run on it: all, or those of one instance."""
    filters = {} if instance is None else {"label": [f"slipway.instance={instance}"]}
    found = ask(host, f"/containers/json?filters={quote(json.dumps(filters))}")
    return frozenset(name.removeprefix("/") for container in found for name in container["Names"])


def _start(settings: EngineSettings) -> Engine:
    obstacle = why_not_startable(settings)
    if obstacle is not None:
        raise obstacle
    settings.data_root.mkdir(parents=True, exist_ok=True)
    settings.exec_root.mkdir(parents=True, exist_ok=True)
    with (settings.exec_root / "start.lock").open("a") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        return find(settings) or _start_daemon(settings)


def _start_daemon(settings: EngineSettings) -> Engine:
    configuration = _configuration_file(settings)
    configuration.write_text(json.dumps(_configuration(settings), indent=2))
    _forget_dead(_pid_file(settings), "dockerd")
    _forget_dead(settings.exec_root / "containerd" / "containerd.pid", "containerd")
    log = settings.data_root / "dockerd.log"
    with log.open("ab") as output:
        beginning = output.tell()
        process = subprocess.Popen(
            ["dockerd", "--config-file", str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,
        )
    return _wait_until_it_answers(settings, process, log, beginning)


def _wait_until_it_answers(settings: EngineSettings, process: "subprocess.Popen[bytes]", log: Path, beginning: int) -> Engine:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with suppress(EngineError):  # It listens before it answers.
            engine = find(settings)
            if engine is not None:
                process.returncode = 0  # It is meant to outlive this object, which would warn about it.
                return engine
        time.sleep(0.1)
    process.terminate()
    with log.open("rb") as file:
        file.seek(beginning)
        lines = file.read().decode(errors="replace").splitlines()
    last = "\n".join([line for line in lines if "level=info" not in line and "level=warning" not in line][-5:])
    raise EngineError(f"dockerd was started but does not answer at {settings.socket}", f"Its last words ({log}):\n{last}")


def _configuration(settings: EngineSettings) -> dict[str, object]:
    content: dict[str, object] = {
        "data-root": str(settings.data_root),
        "exec-root": str(settings.exec_root),
        "pidfile": str(_pid_file(settings)),
        "hosts": [f"unix://{settings.socket}"],
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "features": {"buildkit": True},
        "live-restore": True,
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "3"},
    }
    if not settings.iptables:
        content["iptables"] = False
    if settings.bridge is not None:
        content["bridge"] = settings.bridge
    return content


def _configuration_file(settings: EngineSettings) -> Path:
    return settings.data_root / "daemon.json"


def _pid_file(settings: EngineSettings) -> Path:
    return settings.exec_root / "dockerd.pid"


def _our_process(settings: EngineSettings) -> psutil.Process | None:
    """The running dockerd that was started with our configuration file."""
    with suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int(_pid_file(settings).read_text()))
        if str(_configuration_file(settings)) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _forget_dead(pid_file: Path, program: str) -> None:
    """A pid file left by a killed daemon refuses the next start once its number belongs to another process.

    One that is just dying (containerd does with its dockerd) is waited for: a new dockerd would wait for its answer.
    """
    deadline = time.monotonic() + _DYING_LIMIT
    while _runs(pid_file, program):
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)
    pid_file.unlink(missing_ok=True)


def _runs(pid_file: Path, program: str) -> bool:
    with suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int(pid_file.read_text()))
        return process.name() == program and process.status() != psutil.STATUS_ZOMBIE
    return False


def main(arguments: list[str]) -> int:
    """`ensure` or `stop`; 0 done, 1 failed, 2 wrong usage."""
    if arguments not in (["ensure"], ["stop"]):
        sys.stderr.write("usage: python -m embedded.engine ensure|stop\n")
        return 2
    try:
        if arguments == ["stop"]:
            stop(EngineSettings())
        else:
            sys.stdout.write(f"{ensure(EngineSettings()).host}\n")
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
