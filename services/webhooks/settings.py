"""What webhooks reads from its environment."""

from pathlib import Path

from shared.outbound import PrivateHosts
from shared.settings import StatefulSettings


class Settings(StatefulSettings):
    """Where it listens, where api and auth answer, and where its keys are."""

    http_address: str = "127.0.0.1:0"
    """Deliveries and the git remote; the front door sends requests here. Port 0: a free one."""
    api_address: str = "127.0.0.1:0"
    """Where api's gRPC service Catalogue is."""
    auth_address: str = "127.0.0.1:0"
    """Where auth's gRPC service is."""
    clone_url: str = "http://127.0.0.1:8080/git"
    """Base of the own git remote as builders reach it."""
    master_key_file: Path = Path.home() / ".slipway" / "keys" / "master.key"
    """32 bytes; encrypts the secrets of connections at rest."""
    clone_key_file: Path = Path.home() / ".slipway" / "keys" / "clone.key"
    """Signs the builder's clone credentials."""
    private_forges: PrivateHosts = ()
    """Forges at private addresses that the sweep may ask: names, addresses, networks."""
    sweep_s: float = 60.0
    """A push or a change request whose webhook got lost is found within so many seconds."""
    push_limit_bytes: int = 1024 * 1024 * 1024
    """Largest pack that one push to the own remote may bring."""

    @property
    def sweep_grace_s(self) -> float:
        """What the sweep has found may still be told by a webhook within so many seconds."""
        return min(self.sweep_s / 6, 10.0)

    @property
    def repositories(self) -> Path:
        """Where the bare repositories of the own remote lie."""
        return self.home / "repositories"

    @property
    def listens_on(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.http_address.rpartition(":")
        return host, int(port)
