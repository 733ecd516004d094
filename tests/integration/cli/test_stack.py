"""`slipway up`, `status`, `doctor` and `down`, with everything real."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded import engine
from embedded.home import Home
from embedded.postgres import SYSTEM_FOLDER
from embedded.settings import Settings
from tests.stack import free_port

PROJECT = Path(__file__).parents[3]


class Stack:
    """An instance of the test's own: its folder, its ports."""

    def __init__(self, folder: Path) -> None:
        own = {
            "SLIPWAY_HOME": str(folder / "home"),
            "SLIPWAY_HTTP": f"127.0.0.1:{free_port()}",
            "SLIPWAY_WEB_PORT": str(free_port()),
            "SLIPWAY_HTTPS_PORT": str(free_port()),
            "SLIPWAY_NATS_PORT": str(free_port()),
            "PYTHONPATH": str(PROJECT),
        }
        self.environment = {**os.environ, **own}

    def call(self, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Calls `slipway` as a process of its own."""
        whole = [sys.executable, "-m", "cli.main", *words]
        return subprocess.run(whole, env={**self.environment, **more}, capture_output=True, text=True, check=False, timeout=120)

    def answer(self, *words: str) -> Any:
        """The last line that it prints with --json."""
        done = self.call(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Whatever a test leaves of it is removed."""
    found = Stack(tmp_path)
    yield found
    found.call("down", "--all", "--volumes")
    home = Home.at(tmp_path / "home")
    if home.instance_file.exists():
        shutil.rmtree(SYSTEM_FOLDER / home.instance, ignore_errors=True)


@pytest.mark.skipif(engine.find(Settings().engine) is None, reason="no container engine runs")
def test_the_platform_comes_up_is_looked_at_and_goes(stack: Stack) -> None:
    """Ready with every process; the first token is good; down leaves nothing with --all."""
    down = stack.call("status")
    assert down.returncode == 1
    assert "slipway up" in down.stderr
    started = stack.answer("up", "--detach")
    assert started["url"] == f"http://{stack.environment['SLIPWAY_HTTP']}"
    status = stack.answer("status")
    assert status["ready"]
    assert {"nats", "postgres", "auth", "api", "coordinator"} <= {process["name"] for process in status["processes"]}
    assert stack.answer("whoami")["name"] == "admin"
    assert all(finding["good"] for finding in stack.answer("doctor")["findings"])
    again = stack.call("up", "--detach")
    assert again.returncode == 1
    assert "runs already" in again.stderr
    registry = f"{status['instance']}-registry"
    subprocess.run(["docker", "stop", registry], check=True, capture_output=True)
    lacking = next(each for each in json.loads(stack.call("doctor", "--json").stdout)["findings"] if each["what"] == "waits for you")
    assert lacking["detail"] == f"the registry does not run: {registry} is exited"
    assert lacking["remedy"] == f"docker start {registry}"
    ended = stack.answer("down", "--all", "--volumes")
    assert ended["was_running"]
    assert len(ended["containers"]) == 2
    assert stack.answer("down")["was_running"] is False


def test_a_taken_port_is_named_before_anything_starts(stack: Stack) -> None:
    """Which port, who has it, and what to do; status 1; nothing was started. So is a setting that nobody knows."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = stack.call("up", "--detach", SLIPWAY_HTTP=f"127.0.0.1:{port}", SLIPWAY_WEBPORT="8085")
    assert done.returncode == 1
    assert f"Port {port} is taken" in done.stderr
    assert "SLIPWAY_HTTP" in done.stderr
    assert "SLIPWAY_WEBPORT is no setting. Did you mean SLIPWAY_WEB_PORT?" in done.stderr
    assert stack.answer("down")["was_running"] is False


def test_trust_without_a_ca_says_what_to_do(stack: Stack) -> None:
    """The CA is made by the first start."""
    done = stack.call("trust")
    assert done.returncode == 1
    assert "slipway up" in done.stderr


def test_completion_knows_the_commands(stack: Stack) -> None:
    """What bash asks when somebody presses Tab."""
    program = "import sys; sys.argv[0] = 'slipway'; from cli.main import main; main()"
    environment = {**stack.environment, "_SLIPWAY_COMPLETE": "complete_bash", "COMP_WORDS": "slipway dep", "COMP_CWORD": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["deploy", "deployments"]
