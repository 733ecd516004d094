"""Processes that die: killed, asked to end, one or all at once."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import psutil

from embedded import engine
from tests.faults.strikes.kinds.bus import nobody_restarts
from tests.faults.strikes.kinds.strike import DidNotStrike, Scene, Strike
from tests.faults.strikes.machine import SERVICE_NAMES

BUILD_LIMIT_S = 20.0
FAILED = frozenset({"failed"})


@dataclass(frozen=True)
class Kill:
    """`kill -9` of a service, a server or the supervisor. The supervisor's children end with it; an operator starts it again."""

    process: str

    def __call__(self, scene: Scene) -> None:
        """Strikes."""
        pid = scene.machine.signal(self.process, signal.SIGKILL)
        _until_gone(pid)


@dataclass(frozen=True)
class Terminate:
    """SIGTERM in the middle of whatever a service is at: it ends within ten seconds."""

    process: str

    def __call__(self, scene: Scene) -> None:
        """Strikes."""
        pid = scene.machine.signal(self.process, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while _runs(pid):
            assert time.monotonic() < deadline, f"{self.process} did not end within 10 s of SIGTERM"
            time.sleep(0.05)


@dataclass(frozen=True)
class TerminateWithout:
    """SIGTERM of a service while a server that it needs is away: it ends within ten seconds all the same."""

    server: str

    def __call__(self, scene: Scene) -> str:
        """Strikes."""
        name = scene.chance.choice(SERVICE_NAMES)
        with nobody_restarts(scene.machine):
            scene.machine.signal(self.server, signal.SIGKILL)
            time.sleep(scene.chance.uniform(0.0, 10.0))
            Terminate(name)(scene)
        return name


@dataclass(frozen=True)
class KillContainer:
    """`kill -9` of the program in a container of the data plane, as the kernel does for want of memory; the engine starts it again."""

    part: str

    def __call__(self, scene: Scene) -> None:
        """Strikes."""
        pid = int(scene.machine.docker("inspect", "--format", "{{.State.Pid}}", scene.machine.container(self.part)))
        os.kill(pid, signal.SIGKILL)
        _until_gone(pid)


@dataclass(frozen=True)
class RemoveContainer:
    """Somebody tidies up, and a container of the data plane with it."""

    part: str

    def __call__(self, scene: Scene) -> None:
        """Strikes."""
        scene.machine.docker("rm", "--force", scene.machine.container(self.part))


def kill_build(scene: Scene) -> str:
    """`kill -9` of what a build runs: the client that drives it, or the program in its RUN step."""
    client = scene.chance.random() < 0.5
    deadline = time.monotonic() + BUILD_LIMIT_S
    while time.monotonic() < deadline:
        for process in _builds(client=client):
            with suppress(psutil.NoSuchProcess):
                process.kill()
                return "the client of a build" if client else "the program of a build"
        time.sleep(0.02)
    raise DidNotStrike(f"no build ran within {BUILD_LIMIT_S:.0f} s")


def kill_engine(scene: Scene) -> None:
    """`kill -9` of the container engine; some seconds later its operator starts it. Its containers go on meanwhile."""
    _kill_by_name("dockerd")
    time.sleep(scene.chance.uniform(0.0, 4.0))
    engine.ensure(scene.machine.settings.engine)


def reboot(scene: Scene) -> None:
    """Every process at once, and what only the kernel knew; then `slipway up`."""
    scene.machine.kill_everything()
    scene.machine.forget_everything()
    scene.machine.up()


def _builds(*, client: bool) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            words = process.cmdline()
            is_client = "build" in words and any(word.endswith("docker") for word in words)
            if is_client if client else words[:2] == ["sleep", "0.7"]:
                yield process


def _kill_by_name(name: str) -> None:
    """All of that name: of this machine, which is the test's own."""
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if process.name() == name:
                process.kill()
                _until_gone(process.pid)


def _runs(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def _until_gone(pid: int) -> None:
    with suppress(ProcessLookupError):
        while _runs(pid):
            time.sleep(0.01)
            os.kill(pid, signal.SIGKILL)


KINDS = (
    *(Strike(f"kill {name}", Kill(name), most=3, kills=name) for name in SERVICE_NAMES),
    Strike("kill NATS", Kill("nats"), most=3, kills="nats"),
    Strike("kill PostgreSQL", Kill("postgres"), most=3, kills="postgres"),
    Strike("kill supervisor", Kill("supervisor"), kills="supervisor"),
    Strike("kill Traefik", KillContainer("traefik"), most=2, kills="traefik"),
    Strike("kill registry", KillContainer("registry"), most=2, kills="registry"),
    Strike("Traefik removed", RemoveContainer("traefik"), kills="traefik"),
    Strike("registry removed", RemoveContainer("registry"), kills="registry"),
    # The builder is there all the time: the time counts from the blow.
    Strike("kill build", kill_build, kills="builder", may_end=FAILED, steps=("inspect", "build-web")),
    Strike("kill engine", kill_engine, kills="engine"),
    Strike("reboot", reboot, kills_applications=True),
    *(Strike(f"terminate {name}", Terminate(name), most=2) for name in SERVICE_NAMES),
    Strike("terminate without NATS", TerminateWithout("nats")),
    Strike("terminate without PostgreSQL", TerminateWithout("postgres")),
)
