"""`$SLIPWAY_HOME`: the folder that holds everything which outlives a start."""

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PRIVATE = ("nats", "keys", "tls", "ca", "logs", "run", "repositories", "target")


@dataclass(frozen=True)
class Home:
    """The layout of the state folder. Paths are absolute; nothing is created before `prepare`."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> "Home":
        """The home at that path, `~` and relative parts resolved."""
        return cls(path.expanduser().absolute())

    @property
    def instance(self) -> str:
        """The short random name that prefixes every container, network and volume of this home."""
        return self.instance_file.read_text().strip()

    @property
    def instance_file(self) -> Path:
        """Where that name is kept."""
        return self.path / "instance"

    @property
    def token(self) -> Path:
        """The first administrator's token."""
        return self.path / "token"

    @property
    def nats(self) -> Path:
        """NATS' configuration, passwords and streams."""
        return self.path / "nats"

    @property
    def postgres(self) -> Path:
        """The database cluster, or a link to it."""
        return self.path / "postgres"

    @property
    def keys(self) -> Path:
        """Master key, the target's key pair, clone key, passwords of the database roles."""
        return self.path / "keys"

    @property
    def lost_keys(self) -> tuple[Path, ...]:
        """Keys that are missing beside a database: what is stored is sealed with them, and new ones open none of it."""
        needed = (self.keys / "master.key", self.keys / "target.key")
        with suppress(PermissionError):  # Somebody else's home: the preflight says that in its own words.
            if any(sign.exists() for sign in (self.postgres / "PG_VERSION", self.keys / "postgres.json")):
                return tuple(key for key in needed if not key.exists())
        return ()

    @property
    def tls(self) -> Path:
        """The control plane's CA and certificates."""
        return self.path / "tls"

    @property
    def ca(self) -> Path:
        """The local CA for `*.localhost`."""
        return self.path / "ca"

    @property
    def default_certificate(self) -> tuple[Path, Path]:
        """Certificate and key that answer for names which no application has."""
        return self.ca / "default.pem", self.ca / "default.key"

    @property
    def logs(self) -> Path:
        """One log a process, kept below 10 MB each."""
        return self.path / "logs"

    @property
    def engine(self) -> Path:
        """The process of the container engine that was started for this home; without it the engine is others'."""
        return self.run / "engine.pid"

    @property
    def substitutes(self) -> Path:
        """Settings for images that stand in for public ones (`embedded.images.substitutes`)."""
        return self.run / "substitutes.json"

    @property
    def run(self) -> Path:
        """Process ids, sockets, chosen ports: of no worth without the processes."""
        return self.path / "run"

    @property
    def subscribers(self) -> Path:
        """Outside tools that may read events; api writes it."""
        return self.run / "subscribers.json"

    @property
    def traefik(self) -> Path:
        """The load balancer's files; its container sees them under the same path."""
        return self.path / "traefik"

    @property
    def registry(self) -> Path:
        """The image registry's configuration and data."""
        return self.path / "registry"

    @property
    def deleted_images(self) -> Path:
        """There once the builder has deleted images, whose data the registry frees when it is swept."""
        return self.path / "builder" / "deleted-images"

    def prepare(self) -> None:
        """Create what is missing, private to the user; the instance's name is chosen once and kept.

        The folder itself may be passed through by other users (0711), because PostgreSQL runs as one.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o711)
        for name in _PRIVATE:
            folder = self.path / name
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)
        if not self.instance_file.exists():
            write_private(self.instance_file, f"slw-{secrets.token_hex(3)}\n")


def write_private(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Replace a file atomically; content and name are on disk when it returns. Its mode is right from the first byte."""
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
