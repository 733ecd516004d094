"""The example subscribers, built and run against a living platform: they read, go on where they were, and are cut off."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import nats.errors
import pytest
from nats.aio.client import Client

from embedded.home import Home
from embedded.postgres import SYSTEM_FOLDER
from embedded.settings import Settings
from embedded.supervisor import down, up
from shared.bus import open_client
from tests.polling import until
from tests.stack import free_port

EXAMPLES = Path(__file__).parents[3] / "examples" / "subscribers"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "slipway-tests" / "subscribers"
STACK = (sys.executable, "-m", "tests.integration.examples.reading_stack")


@dataclass(frozen=True)
class Platform:
    """The API and the command line of a living platform."""

    home: Path
    url: str

    def slipway(self, *words: str) -> Any:
        """What a command answers with `--json`."""
        environment = {**os.environ, "SLIPWAY_HOME": str(self.home), "SLIPWAY_URL": self.url}
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *words, "--json"], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def post(self, path: str, **fields: str) -> None:
        """Makes something in the catalogue."""
        token = (self.home / "token").read_text().strip()
        answer = httpx.post(f"{self.url}/api/v1{path}", json=fields, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        assert answer.status_code == 201, answer.text


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """Running, and gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="slw-"))
    folder.chmod(0o711)
    settings = Settings(
        home=folder / "home", http=f"127.0.0.1:{free_port()}", web_port=free_port(), https_port=free_port(), nats_port=free_port()
    )
    try:
        up(settings, detach=True, command=STACK)
        home = Home.at(settings.home)
        ports = json.loads((home.run / "ports.json").read_text())
        yield Platform(home.path, f"http://127.0.0.1:{ports['api-http']}")
    finally:
        down(settings, everything=True, volumes=True)
        shutil.rmtree(SYSTEM_FOLDER / Home.at(settings.home).instance, ignore_errors=True)
        shutil.rmtree(folder)


def python() -> list[str]:
    """There is nothing to build."""
    return [sys.executable, str(EXAMPLES / "python" / "read.py")]


def javascript() -> list[str]:
    """Its packages are installed once for each lock file."""
    source = EXAMPLES / "javascript"
    lock = source / "package-lock.json"
    folder = CACHE / f"javascript-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    if not (folder / "node_modules").exists():
        beside = folder.with_name(f"{folder.name}.{os.getpid()}")
        beside.mkdir(parents=True)
        for file in (lock, source / "package.json"):
            shutil.copy(file, beside)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=beside, check=True)
        beside.replace(folder)
    shutil.copy(source / "read.mjs", folder)
    return ["node", str(folder / "read.mjs")]


def go() -> list[str]:
    """Go keeps what it fetched and compiled by itself."""
    CACHE.mkdir(parents=True, exist_ok=True)
    program = shutil.which("go") or "/usr/local/go/bin/go"
    subprocess.run([program, "build", "-o", str(CACHE / "go-reader"), "."], cwd=EXAMPLES / "go", check=True)
    return [str(CACHE / "go-reader")]


@contextmanager
def running(command: list[str], environment: dict[str, str], output: Path) -> Iterator[Callable[[], list[dict[str, str]]]]:
    """The example as a process; what it has printed so far."""
    with output.open("w") as writing:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=writing, stderr=subprocess.STDOUT)
    try:
        yield lambda: [json.loads(line) for line in output.read_text().splitlines() if line.startswith("{")]
    finally:
        process.kill()
        process.wait()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("build", [python, javascript, go])
def test_an_example_reads_goes_on_and_is_cut_off(platform: Platform, build: Callable[[], list[str]], tmp_path: Path) -> None:
    """What happened while it was away is there when it comes back; once removed, its user is let in no more."""
    name = build.__name__
    command = build()
    made = platform.slipway("subscribers", "add", name, "--filter", f"cdevents.main.{name}.>")
    connection = made["connection"]
    environment = {
        "NATS_URL": connection["url"], "NATS_USER": connection["user"], "NATS_PASSWORD": made["password"],
        "NATS_STREAM": connection["stream"], "NATS_CONSUMER": connection["consumer"], "NATS_INBOX_PREFIX": connection["inbox_prefix"],
    }  # fmt: skip
    platform.post("/projects/main", slug=name, name=name)
    platform.post(f"/environments/main/{name}", slug="one")
    with running(command, environment, tmp_path / "first") as printed:
        (first,) = until(printed, within=60, what=(tmp_path / "first").read_text())
    assert first["type"] == "dev.cdevents.environment.created.0.3.0"
    assert first["subject"] == f"cdevents.main.{name}.environment.created"
    platform.post(f"/environments/main/{name}", slug="two")
    with running(command, environment, tmp_path / "second") as printed:
        second = until(printed, within=60, what=(tmp_path / "second").read_text())[-1]
    assert second["id"] != first["id"]
    platform.slipway("subscribers", "remove", name)
    until(lambda: _refused(environment), within=20, what="the user is still let in")


def _refused(environment: dict[str, str]) -> bool:
    """Told so, not merely cut off: while the server reads its table, it does that to everyone who is about to log in."""

    async def connect() -> bool:
        client = Client()
        try:
            await open_client(
                client, environment["NATS_URL"], user=environment["NATS_USER"], password=environment["NATS_PASSWORD"], allow_reconnect=False
            )
        except nats.errors.Error:
            return True
        except OSError:
            return False
        await client.close()
        return False

    return asyncio.run(connect())
