"""`slipway up` and `down` as plain functions; the command line wraps them. `embedded.status` is the third."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from embedded import engine, lock, nats, postgres, processes, removal
from embedded.home import Home
from embedded.preflight import PreflightFailed, examine
from embedded.progress import WHOLE, Progress, Report, read_from
from embedded.settings import Settings

DAEMON = (sys.executable, "-m", "embedded.daemon")
_START_LIMIT = 300.0
_END_LIMIT = 45.0
_LEFT_OVER_LIMIT = 15.0


class StartFailed(Exception):
    """The control plane did not come up; nothing of it was left running."""


class SupervisorEnded(Exception):
    """The supervisor, once all was ready, ended without being asked to, or was killed; applications go on."""


class EndFailed(Exception):
    """The supervisor did not end in time."""


@dataclass(frozen=True)
class Started:
    """A control plane of which every health check was true."""

    pid: int
    seconds: float
    """From the call to then."""
    url: str
    token_file: Path


@dataclass(frozen=True)
class Ended:
    """What `down` did."""

    was_running: bool
    containers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    engine_stopped: bool = False


def up(
    settings: Settings,
    *,
    detach: bool = False,
    report: Report = lambda _: None,
    command: Sequence[str] = DAEMON,
) -> Started:
    """Start the control plane; return when it is ready (`detach`), else when it has ended.

    `report` is told each step; part `slipway` with state `ready` says that all is up. Until this returns SIGINT,
    SIGTERM and SIGHUP end the control plane in order, and a second one at once. Raises PreflightFailed before
    anything was started, StartFailed after all that was started has been ended again, and
    SupervisorEnded.
    """
    began = time.monotonic()
    findings = examine(settings)
    if findings:
        raise PreflightFailed(findings)
    home = Home.at(settings.home)
    home.prepare()
    process, pipe = _spawn(settings, home, command)
    started, failure, waiting = None, "", dict[str, None]()
    with os.fdopen(pipe, "rb") as reading, _ending_on_signals(process), _patience(process) as patience:
        for progress in read_from(reading):
            report(progress)
            _note(waiting, progress)
            if progress.part == WHOLE and progress.state == "ready":
                patience.cancel()
                started = Started(process.pid, time.monotonic() - began, f"http://{settings.http}", home.token)
                if detach:
                    process.returncode = 0  # It is meant to outlive this object, which would warn about it.
                    return started
            elif progress.state == "failed" and not failure:
                failure = f"{progress.part}: {progress.detail}"
        process.wait()
    if started is None:
        missing = f"Still missing: {', '.join(waiting)}. " if waiting else ""
        raise StartFailed(f"{missing}{failure or 'The supervisor ended.'}\nSee {home.logs}/ for all of it.")
    if process.returncode != 0:
        raise SupervisorEnded(f"{processes.Outcome(process.returncode)}. See {home.logs}/supervisor.log.")
    return started


def down(settings: Settings, *, everything: bool = False, volumes: bool = False) -> Ended:
    """End the control plane and wait for it; applications go on. Raises EndFailed after 45 s; with `everything` EngineError, too.

    With `everything` the containers and networks of this instance go, too, and the engine if it was started for this
    home and nobody else's container runs on it; volumes stay, and with them the data, unless `volumes` says otherwise.
    """
    home = Home.at(settings.home)
    running = lock.running_supervisor(home)
    if running is not None:
        if running:
            with suppress(ProcessLookupError):
                os.kill(running, signal.SIGTERM)
        if not lock.wait_until_free(home, _END_LIMIT):
            raise EndFailed(f"The supervisor (process {running}) did not end within {_END_LIMIT:.0f} s.")
        processes.end([running] if running else [], signal.SIGTERM, _LEFT_OVER_LIMIT)  # It lets go of the home a moment before it is gone.
    _end_left_over(home)
    if not everything or not home.instance_file.exists():
        return Ended(running is not None)
    found = engine.find(settings.engine) or _start_again(settings, home)
    removed = removal.remove_instance(found.host, home.instance, volumes=volumes)
    stopped = _started_for(home, found) and not engine.running_names(found.host) and engine.stop(settings.engine)
    return Ended(running is not None, removed.containers, removed.networks, removed.volumes, stopped)


def _start_again(settings: Settings, home: Home) -> engine.Engine:
    """Ours that has ended: only it can remove what it has of the instance."""
    if not home.engine.exists():
        raise engine.EngineError(f"No container engine answers at {settings.engine.address}", "Start it, and do this again.")
    found = engine.ensure(settings.engine)
    home.engine.write_text(str(found.pid))
    return found


def _started_for(home: Home, found: engine.Engine) -> bool:
    return home.engine.exists() and home.engine.read_text() == str(found.pid)


def _spawn(settings: Settings, home: Home, command: Sequence[str]) -> tuple["subprocess.Popen[bytes]", int]:
    """The supervisor, in a session of its own so that it outlives the terminal, and the pipe that it reports to."""
    reading, writing = os.pipe()
    root = str(Path(__file__).resolve().parents[1])
    search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    log = os.open(home.logs / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            [*command, "--progress", str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={**os.environ, **settings.environment(), "SLIPWAY_HOME": str(home.path), "PYTHONPATH": search},
            pass_fds=(writing,),
            start_new_session=True,
        )
    finally:
        os.close(writing)
        os.close(log)
    return process, reading


@contextmanager
def _ending_on_signals(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """The first signal asks the supervisor to end, the second kills it, and its children with it."""
    asked: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        process.kill() if asked else process.terminate()
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _patience(process: "subprocess.Popen[bytes]") -> Iterator[threading.Timer]:
    """Ends a supervisor that does not become ready in time."""
    timer = threading.Timer(_START_LIMIT, process.terminate)
    timer.daemon = True
    timer.start()
    try:
        yield timer
    finally:
        timer.cancel()


def _note(waiting: dict[str, None], progress: Progress) -> None:
    if progress.state == "working":
        waiting[progress.part] = None
    elif progress.state == "done":
        waiting.pop(progress.part, None)


def _end_left_over(home: Home) -> None:
    """Servers whose supervisor was killed end by themselves, but not at once."""
    server = nats.NatsServer(home.nats, 0)
    processes.end_left_over(server.pid_file, str(server.configuration), signal.SIGTERM, _LEFT_OVER_LIMIT)
    data = home.postgres.resolve()
    processes.end_left_over(data / postgres.PID_FILE, str(data), signal.SIGINT, _LEFT_OVER_LIMIT)
