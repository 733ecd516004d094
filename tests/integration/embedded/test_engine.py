"""A container engine of our own, beside the machine's."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from embedded import engine
from embedded.engine import EngineError
from embedded.settings import EngineSettings, Settings
from embedded.status import status
from embedded.supervisor import down, up
from tests.polling import eventually

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("dockerd") is None, reason="only root can start an engine, and dockerd must be installed"
)


@pytest.fixture
def own(folder: Path) -> Iterator[EngineSettings]:
    """Settings of an engine that nobody else uses; ended afterwards."""
    bridge = f"slw{secrets.token_hex(4)}"
    ip = shutil.which("ip") or "/sbin/ip"
    subprocess.run([ip, "link", "add", bridge, "type", "bridge"], check=True)
    subprocess.run([ip, "address", "add", f"10.212.{secrets.randbelow(256)}.1/24", "dev", bridge], check=True)
    settings = EngineSettings(
        host=None, socket=folder / "docker.sock", data_root=folder / "data", exec_root=folder / "exec", bridge=bridge, iptables=False
    )
    yield settings
    engine.stop(settings)
    subprocess.run([ip, "link", "delete", bridge], check=True)
    # A dockerd that was killed leaves its data root mounted on itself.
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        if line.split()[1].startswith(f"{folder}/"):
            subprocess.run(["umount", line.split()[1]], check=True)


def pid(settings: EngineSettings) -> int:
    """Our dockerd's process."""
    return int((settings.exec_root / "dockerd.pid").read_text())


def test_an_engine_is_started_where_none_answers_and_found_the_next_time(own: EngineSettings) -> None:
    """`ensure` starts one once; it is ours, and new enough."""
    assert engine.find(own) is None
    started = engine.ensure(own)
    assert started.ours
    assert not started.too_old
    first = pid(own)
    assert engine.ensure(own) == started
    assert pid(own) == first


def test_two_who_start_one_at_once_get_the_same(own: EngineSettings) -> None:
    """A supervisor, and whoever finds the engine dead at the same moment."""
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(engine.ensure, (own, own))
    assert first == second


def test_our_engine_is_a_session_of_its_own(own: EngineSettings) -> None:
    """It outlives its starter: a signal to the starter's process group does not reach it."""
    engine.ensure(own)
    assert os.getsid(pid(own)) == pid(own)


def test_stop_ends_our_engine_and_waits(own: EngineSettings) -> None:
    """After `stop` the process is gone; a second stop has nothing to do."""
    engine.ensure(own)
    process = psutil.Process(pid(own))
    assert engine.stop(own)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert not engine.stop(own)


async def test_a_pid_file_of_a_killed_engine_does_not_refuse_the_next_start(own: EngineSettings) -> None:
    """Even when its number belongs to another process by now."""
    engine.ensure(own)
    killed = psutil.Process(pid(own))
    os.kill(killed.pid, signal.SIGKILL)

    async def gone() -> bool:
        return not killed.is_running() or killed.status() == psutil.STATUS_ZOMBIE

    await eventually(gone)
    (own.exec_root / "dockerd.pid").write_text(str(os.getpid()))
    assert engine.ensure(own).ours


def test_an_engine_that_is_not_ours_is_never_stopped(own: EngineSettings) -> None:
    """A pid file with a foreign process in it makes nothing ours."""
    with subprocess.Popen(["sleep", "60"]) as foreign:
        own.exec_root.mkdir()
        (own.exec_root / "dockerd.pid").write_text(str(foreign.pid))
        assert not engine.stop(own)
        assert foreign.poll() is None
        foreign.kill()


def test_an_engine_that_cannot_start_says_why(own: EngineSettings) -> None:
    """The daemon's last words are in the error."""
    broken = own.model_copy(update={"bridge": "no-such-bridge"})
    with pytest.raises(EngineError, match=r"(?s)does not answer.*failed to start daemon.*no-such-bridge"):
        engine.ensure(broken)


def test_an_address_that_does_not_answer_is_not_replaced(folder: Path) -> None:
    """Who names an engine wants that one: none is started instead."""
    settings = EngineSettings(host=f"unix://{folder}/nothing.sock", socket=folder / "own.sock")
    with pytest.raises(EngineError, match="No container engine answers at"):
        engine.ensure(settings)
    assert not (folder / "own.sock").exists()


async def test_a_supervisor_starts_the_engine_again_that_was_killed(own: EngineSettings, settings: Settings) -> None:
    """Ours only; it stays the one that was started for its home. Until then status says that none answers."""
    chosen = settings.model_copy(update={"engine": own})
    up(chosen, detach=True, command=(sys.executable, "-m", "tests.integration.embedded.bare_stack"))
    killed = pid(own)
    os.kill(killed, signal.SIGKILL)

    async def told() -> bool:
        trouble = status(chosen).engine_trouble
        return trouble is not None and trouble.remedy.startswith("It is started again within a minute")

    async def back() -> bool:
        log = (chosen.home / "logs" / "supervisor.log").read_text()
        return "silent part is there again" in log and status(chosen).engine is not None

    await eventually(told)
    await eventually(back)
    assert pid(own) != killed
    assert down(chosen, everything=True).engine_stopped


def test_down_ends_the_engine_that_was_started_for_its_home(own: EngineSettings, settings: Settings) -> None:
    """With `--all`, also a second time and after a crash, when it has to start it for that. One that ran before it came stays."""
    chosen = settings.model_copy(update={"engine": own})
    command = (sys.executable, "-m", "tests.integration.embedded.bare_stack")
    before = engine.ensure(own)
    up(chosen, detach=True, command=command)
    assert not down(chosen, everything=True).engine_stopped
    assert engine.find(own) == before
    engine.stop(own)
    up(chosen, detach=True, command=command)
    assert engine.find(own) is not None
    down(chosen)
    os.kill(pid(own), signal.SIGKILL)
    for _ in ("after a crash", "a second time"):
        assert down(chosen, everything=True).engine_stopped
        assert engine.find(own) is None
