"""The demo keeps what it promises, twice; and the platform ends as it says."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from embedded.postgres import SYSTEM_FOLDER
from examples.demo.application import Application
from examples.demo.promises import TODOS
from tests.e2e.platform import BUILDS
from tests.stack import free_port

ROOT = Path(__file__).parents[2]
_OTHERS = ("remote:", "      │", "$ ")
"""What git, builds and the reader's own words print may be longer than a line."""


@dataclass(frozen=True)
class Shell:
    """What a user types, on a home and ports of the test's own."""

    home: Path
    environment: dict[str, str]

    @property
    def instance(self) -> str:
        """The label of everything that this home's platform makes."""
        return (self.home / "instance").read_text().strip()

    def run(self, *words: str, within: float = 60) -> str:
        """What it prints, on both streams; fails the test where the status is not 0."""
        done = subprocess.run(
            words, env=self.environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=within, check=False
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def slipway(self, *words: str) -> str:
        """`slipway …`."""
        return self.run(str(Path(sys.executable).with_name("slipway")), *words)

    def demo(self) -> str:
        """What `make demo` runs once all is installed."""
        return self.run(sys.executable, "-m", "examples.demo", within=400)

    def application(self) -> Application:
        """What the demo has deployed."""
        newest = json.loads(self.slipway("deployments", "list", "--project", "demo", "--state", "succeeded", "--json"))["items"][0]
        return Application(newest["urls"][0], self.home / "ca" / "ca.pem")

    def standing(self) -> list[str]:
        """Containers and networks of this home."""
        label = f"label=slipway.instance={self.instance}"
        listed = ("ps", "--all", "--format", "{{.Names}}"), ("network", "ls", "--format", "{{.Name}}")
        return [name for words in listed for name in self.run("docker", *words, "--filter", label).split()]

    def processes(self) -> list[str]:
        """Processes that belong to this home."""
        found = []
        for process in psutil.process_iter():
            try:
                words, home = process.cmdline(), process.environ().get("SLIPWAY_HOME")
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
            if home == str(self.home) or any(self.instance in word or str(self.home) in word for word in words):
                found.append(" ".join(words))
        return found


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A user's shell; whatever stands at the end is removed, with its data."""
    home = tmp_path / "home"
    names = ("SLIPWAY_WEB_PORT", "SLIPWAY_HTTPS_PORT", "SLIPWAY_NATS_PORT")
    mine = {"SLIPWAY_HOME": str(home), "SLIPWAY_HTTP": f"127.0.0.1:{free_port()}", **{name: str(free_port()) for name in names}}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    found = Shell(home, inherited | BUILDS | mine)
    try:
        yield found
    finally:
        found.slipway("down", "--all", "--volumes")
        if (home / "instance").exists():
            shutil.rmtree(SYSTEM_FOLDER / found.instance, ignore_errors=True)


def _told(story: str) -> tuple[list[int], list[int]]:
    """Counted requests, and the versions that answered, in the order in which the demo tells them."""
    failed = [int(number) for number in re.findall(r"requests meanwhile .*, (\d+) failed", story)]
    assert failed == [0, 0]
    requests = [int(number) for number in re.findall(r"✓ (\d+) requests meanwhile", story)]
    return requests, [int(number) for number in re.findall(r"^  status 200, version (\d+)$", story, re.MULTILINE)]


@pytest.mark.timeout(900)
def test_the_demo_runs_twice_and_ends_as_it_says(shell: Shell) -> None:
    """Two pushes that go live and one that is rolled back, a second time on top; then `down`, which the application outlives, and `down --all`."""
    first, second = shell.demo(), shell.demo()
    for story, versions in ((first, [1, 2]), (second, [4, 5])):
        requests, shown = _told(story)
        assert shown == versions
        assert min(requests) > 50
        assert story.count("Live in") == 2
        assert "signed: answered with 202, stored" in story
        assert "✗ check container web" in story
        assert "↩ deploy container web" in story
        assert f"✓ Version {versions[1]} answers as before, with all {len(TODOS)} entries of its list." in story
        assert [
            line for line in story.splitlines() if len(line) > 80 and not line.startswith(_OTHERS) and str(shell.home) not in line
        ] == []
    assert "$ slipway up --detach" in first
    assert "It runs already" in second

    application = shell.application()
    shell.slipway("down")
    assert application.get("/api/version")[:2] == (200, "5")
    assert {todo["title"] for todo in application.todos()} == set(TODOS)

    shell.slipway("down", "--all")
    assert shell.standing() == []
    assert shell.processes() == []


def test_a_demo_that_cannot_start_says_why_and_fails(shell: Shell) -> None:
    """A port that somebody else has is named, with the setting that changes it, and nothing is started."""
    taken = subprocess.Popen([sys.executable, "-c", _LISTEN, shell.environment["SLIPWAY_WEB_PORT"]], stdout=subprocess.PIPE)
    assert taken.stdout is not None
    taken.stdout.readline()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "examples.demo"],
            env=shell.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        taken.kill()
        taken.communicate()
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert f"Port {shell.environment['SLIPWAY_WEB_PORT']} is taken by" in said
    assert "SLIPWAY_WEB_PORT" in said
    assert not (shell.home / "instance").exists()


_LISTEN = "import socket,sys,time; s=socket.create_server(('', int(sys.argv[1]))); print('there', flush=True); time.sleep(300)"
