"""An engine of the tests' own: its images, its bridge and its control group are touched by nobody else, and gone afterwards."""

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

START_LIMIT_S = 30.0


@dataclass(frozen=True)
class TestEngine:
    """A running engine."""

    __test__ = False

    host: str
    cgroup: str
    pid: int

    def docker(self, *arguments: str, folder: Path | None = None) -> str:
        """Runs the client; returns what it printed."""
        env = {"PATH": os.environ["PATH"], "DOCKER_BUILDKIT": "1", "DOCKER_HOST": self.host}
        done = subprocess.run(["/usr/bin/docker", *arguments], env=env, cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout


@contextmanager
def running_engine(folder: Path) -> Iterator[TestEngine]:
    """Starts dockerd with a data root in `folder`. It sets no packet filter rules: those are the machine's engine's."""
    name = f"sb{secrets.token_hex(3)}"
    host = f"unix://{folder}/docker.sock"
    configuration = {
        "data-root": str(folder / "data"),
        "exec-root": str(folder / "exec"),
        "pidfile": str(folder / "docker.pid"),
        "hosts": [host],
        "bridge": name,
        "iptables": False,
        "ip-forward": False,
        "ip-masq": False,
        "cgroup-parent": f"/{name}",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "features": {"buildkit": True},
    }
    file = folder / "daemon.json"
    file.write_text(json.dumps(configuration))
    ip = shutil.which("ip") or "/sbin/ip"
    subprocess.run([ip, "link", "add", name, "type", "bridge"], check=True)
    try:
        subprocess.run([ip, "address", "add", f"10.213.{secrets.randbelow(256)}.1/24", "dev", name], check=True)
        subprocess.run([ip, "link", "set", name, "up"], check=True)
        with (folder / "dockerd.log").open("wb") as log:
            process = subprocess.Popen(["dockerd", "--config-file", str(file)], stdout=log, stderr=log, start_new_session=True)
        try:
            _wait(process, folder)
            yield TestEngine(host, name, process.pid)
        finally:
            process.terminate()
            process.wait(30)
    finally:
        subprocess.run([ip, "link", "delete", name], check=True)
        _unmount(folder)
        _remove_cgroups(name)


def _wait(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        asked = subprocess.run(
            ["/usr/bin/docker", "--host", f"unix://{folder}/docker.sock", "version"],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if asked.returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError((folder / "dockerd.log").read_text()[-2000:])


def _unmount(folder: Path) -> None:
    """What an engine that was killed has left mounted."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for path in reversed([path for path in mounted if path.startswith(f"{folder}/")]):
        subprocess.run(["umount", "--lazy", path], check=True)


def _remove_cgroups(name: str) -> None:
    """A group can be removed once the last process in it is gone, which after a kill takes a moment."""
    root = Path("/sys/fs/cgroup")
    deadline = time.monotonic() + 5
    while left := [top for top in (*root.glob(f"*/{name}"), root / name) if top.exists()]:
        for top in left:
            for folder, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)
