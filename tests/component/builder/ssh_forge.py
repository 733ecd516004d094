"""A forge over SSH: OpenSSH's own server on a port of this machine, which lets keys read repositories, and nothing else (git-shell(1))."""

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared import ssh
from tests.polling import until

_READS = """#!/bin/sh
cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' ' ' >>{shown}
case "$SSH_ORIGINAL_COMMAND" in git-upload-pack*) exec git-shell -c "$SSH_ORIGINAL_COMMAND";; esac
echo "ERROR: this key may read only" >&2
exit 1
"""
_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin forced-commands-only
AuthorizedKeysFile {folder}/keys
AcceptEnv GIT_PROTOCOL
"""


@dataclass
class SshForge:
    """What runs, and whom it lets in."""

    folder: Path
    port: int = 0

    def url(self, path: Path) -> str:
        """Where a repository is cloned from."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{path}"

    @property
    def host_key(self) -> str:
        """Its public key."""
        return (self.folder / "host.pub").read_text().strip()

    def let_in(self, *public: str) -> None:
        """These keys may read; no others."""
        allowed = "".join(f'command="{self.folder}/reads",restrict {key}\n' for key in public)
        (self.folder / "keys").write_text(allowed)

    @property
    def shown(self) -> str:
        """What lists of processes said while it was asked, arguments and environments."""
        file = self.folder / "shown"
        return file.read_text(errors="replace") if file.exists() else ""

    @property
    def log(self) -> str:
        """What the server says."""
        return (self.folder / "log").read_text(errors="replace")

    @property
    def known_hosts(self) -> str:
        """By what it is known."""
        return ssh.known_hosts(ssh.known_as("127.0.0.1", self.port), [self.host_key])


@contextmanager
def running_ssh_forge(folder: Path) -> Iterator[SshForge]:
    """Serves repositories of this machine by their whole path."""
    forge = SshForge(folder)
    folder.mkdir(parents=True)
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host"), check=True)
    forge.let_in()
    reads = folder / "reads"
    reads.write_text(_READS.format(shown=folder / "shown"))
    reads.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        forge.port = free.getsockname()[1]
    (folder / "config").write_text(_CONFIG.format(port=forge.port, folder=folder))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # which Debian's init system makes, where there is one
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen((program, "-D", "-e", "-f", folder / "config"), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until(lambda: "Server listening" in forge.log, within=10, what="sshd listens")
        yield forge
    finally:
        process.terminate()
        process.wait(10)
