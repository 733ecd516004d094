"""What runs of a container without the engine's knowing is found by its id, and nothing else is."""

from pathlib import Path

import pytest

from services.deployer.targets.local.unknown_run import end_unknown_run, unknown_run

OURS, ANOTHERS = "a" * 64, "b" * 64
NOBODYS_PID = "999999999"
"""Above any limit of Linux: killing it harms nobody."""
SHIM = "/usr/bin/containerd-shim-runc-v2\0-namespace\0moby\0-id\0{}\0-address\0/run/containerd.sock\0"


@pytest.mark.parametrize(
    ("cmdline", "cgroup", "found"),
    [
        (SHIM.format(OURS), "0::/system.slice/docker.service\n", True),
        ("httpd\0-f\0", f"0::/docker/{OURS}\n", True),
        (SHIM.format(ANOTHERS), "0::/system.slice/docker.service\n", False),
        ("httpd\0-f\0", f"0::/docker/{ANOTHERS}\n", False),
        (f"docker\0logs\0{OURS}\0", "0::/user.slice\n", False),
    ],
    ids=["its shim", "its process", "another's shim", "another's process", "somebody who names it"],
)
def test_what_runs_of_a_container(tmp_path: Path, cmdline: str, cgroup: str, *, found: bool) -> None:
    """By its shim's command line, and by the control group of its processes."""
    process = tmp_path / NOBODYS_PID
    process.mkdir()
    (process / "cmdline").write_text(cmdline)
    (process / "cgroup").write_text(cgroup)
    (tmp_path / "version").write_text("Linux\n")
    assert unknown_run(OURS, tmp_path) == ((int(NOBODYS_PID),) if found else ())
    assert end_unknown_run(OURS, tmp_path) == found
