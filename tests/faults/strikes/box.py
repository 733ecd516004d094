"""A machine of the tests' own: processes, network and mounts of their own (namespaces(7)), which end with it.

Inside, everything has its default place: engine, ports, folders. Killing every process there is a reboot, and nobody outside notices.
Root and util-linux are needed. What lies on the disks elsewhere than below `FRESH` is shared with the outside.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

FRESH = {"/tmp": "12g", "/run": "256m", "/var/lib/slipway-engine": "6g", "/var/lib/slipway": "1g", "/dev/shm": "512m"}
"""Folders that are empty memory inside, and their sizes."""
CHECKOUT = Path(__file__).parents[3]
"""Is seen inside wherever it lies."""


def why_not() -> str | None:
    """What keeps a machine of our own from being made here; None where nothing does."""
    if os.geteuid() != 0:
        return "only root can make namespaces and start an engine"
    missing = [program for program in ("setpriv", "unshare", "mount", "ip", "dockerd") if shutil.which(program) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def run_inside(module: str, arguments: Sequence[str], limit_s: float | None = None) -> int:
    """Runs a Python module in a new machine, and answers its exit status when all of that machine has ended."""
    for folder in FRESH:
        Path(folder).mkdir(parents=True, exist_ok=True)
    command = (
        "setpriv",
        "--pdeathsig=KILL",
        "unshare",
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        sys.executable,
        "-m",
        __name__,
    )
    with subprocess.Popen([*command, module, *arguments], env=_environment()) as machine:
        try:
            return machine.wait(limit_s)
        except subprocess.TimeoutExpired:
            machine.kill()
            raise


def _environment() -> Mapping[str, str]:
    """No setting of the caller's platform, and our programs first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLIPWAY_", "DOCKER_"))}
    path = f"{Path(sys.executable).parent}:{kept.get('PATH', os.defpath)}"
    return kept | {"PATH": path, "SLIPWAY_PRIVATE_FORGES": "127.0.0.1"}  # where the forge is


def main(module: str, *arguments: str) -> int:
    """The first process inside: it makes the machine, starts the module, and buries every orphan."""
    subprocess.run(("ip", "link", "set", "lo", "up"), check=True)
    checkout = os.open(CHECKOUT, os.O_PATH)
    for folder, size in FRESH.items():
        subprocess.run(("mount", "-t", "tmpfs", "-o", f"mode=1777,size={size}", "tmpfs", folder), check=True)
    if any(CHECKOUT.is_relative_to(folder) for folder in FRESH):
        CHECKOUT.mkdir(parents=True)
        subprocess.run(("mount", "--no-canonicalize", "--bind", f"/proc/self/fd/{checkout}", CHECKOUT), check=True, pass_fds=(checkout,))
        os.chdir(CHECKOUT)
    os.close(checkout)
    tempfile.tempdir = None
    started = subprocess.Popen([sys.executable, "-m", module, *arguments])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        ended, status = os.wait()
        if ended == started.pid:
            started.returncode = 0  # it was waited for here
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) & 0xFF)
