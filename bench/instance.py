"""A platform of the benchmark's own: its home, ports and containers are new, and all of it is gone at the end."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.client import Api
from cli.settings import Settings
from embedded.engine import ensure
from embedded.settings import EngineSettings
from tests.stack import free_port

ROOT = Path(__file__).resolve().parent.parent
START_LIMIT_S = 180.0
END_LIMIT_S = 90.0
PLACE = "main/todo"
HOST = "web.production.todo.main.localhost"


@dataclass(frozen=True)
class Instance:
    """One home; its platform may run or not."""

    home: Path
    http_port: int
    web_port: int
    https_port: int
    nats_port: int

    @property
    def environment(self) -> dict[str, str]:
        """What makes `slipway` speak to this instance and no other."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
        programs = Path(sys.executable).parent
        return inherited | {
            "PATH": f"{programs}:{inherited.get('PATH', os.defpath)}",
            "PYTHONPATH": str(ROOT),
            "SLIPWAY_HOME": str(self.home),
            "SLIPWAY_HTTP": f"127.0.0.1:{self.http_port}",
            "SLIPWAY_WEB_PORT": str(self.web_port),
            "SLIPWAY_HTTPS_PORT": str(self.https_port),
            "SLIPWAY_NATS_PORT": str(self.nats_port),
            "GIT_TERMINAL_PROMPT": "0",
        }

    @property
    def authority(self) -> Path:
        """The certificate of its local CA."""
        return self.home / "ca" / "ca.pem"

    def slipway(self, *arguments: str, folder: Path | None = None, limit_s: float = START_LIMIT_S) -> str:
        """Runs the command line and answers what it printed; raises where it fails or takes longer."""
        return run([sys.executable, "-m", "cli.main", *arguments], folder or self.home, self.environment, limit_s)

    def git(self, folder: Path, *arguments: str, limit_s: float = START_LIMIT_S) -> str:
        """Runs git."""
        who = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@localhost", "-c", "commit.gpgsign=false"]
        return run(["git", *who, *arguments], folder, self.environment, limit_s)

    def api(self) -> Api:
        """Its public API, as its first administrator. To be closed."""
        return Api(Settings(http=f"127.0.0.1:{self.http_port}", home=self.home))

    def checkout(self, parent: Path) -> Path:
        """A repository of examples/todo with its first commit, in `parent`/todo."""
        folder = parent / "todo"
        shutil.copytree(ROOT / "examples" / "todo", folder, ignore=shutil.ignore_patterns("node_modules"))
        self.git(folder, "init", "--quiet", "--initial-branch=main")
        self.git(folder, "add", ".")
        self.git(folder, "commit", "--quiet", "--message=First")
        return folder


def run(arguments: list[str], folder: Path, environment: dict[str, str], limit_s: float) -> str:
    """Runs a program to its end; what it wrote is in the error where it fails."""
    done = subprocess.run(
        arguments, cwd=folder, env=environment, timeout=limit_s, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


@contextmanager
def new_instance() -> Iterator[Instance]:
    """A home and free ports. Nothing is started; whatever was, is ended and removed, data and images included."""
    # PostgreSQL runs as another user and has to pass through.
    home = Path(tempfile.mkdtemp(prefix="slipway-bench-"))
    home.chmod(0o711)
    instance = Instance(home, free_port(), free_port(), free_port(), free_port())
    # Not the instance's own, which would end with it: images are removed after that.
    ensure(EngineSettings())
    try:
        yield instance
    finally:
        try:
            instance.slipway("down", "--all", "--volumes", limit_s=END_LIMIT_S)
            _remove_images(instance)
        finally:
            shutil.rmtree(home, ignore_errors=True)


@contextmanager
def running_instance() -> Iterator[Instance]:
    """The same, started and ready."""
    with new_instance() as instance:
        instance.slipway("up", "--detach")
        yield instance


def _remove_images(instance: Instance) -> None:
    """The names that the instance's registry gave: layers that others use stay."""
    ports = instance.home / "run" / "ports.json"
    if not ports.exists():
        return
    registry = f"127.0.0.1:{registry_port(instance)}/"
    listed = run(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"], instance.home, instance.environment, END_LIMIT_S)
    names = [name for name in listed.split() if name.startswith(registry) and not name.endswith(":<none>")]
    if names:
        run(["docker", "image", "rm", "--force", *names], instance.home, instance.environment, END_LIMIT_S)


def registry_port(instance: Instance) -> int:
    """Where its image registry listens, once it was started."""
    import json

    ports: dict[str, int] = json.loads((instance.home / "run" / "ports.json").read_text())
    return ports["registry"]
