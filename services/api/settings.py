"""What api reads from its environment (prefix `SLIPWAY_`)."""

from pathlib import Path

from shared.outbound import PrivateHosts
from shared.settings import StatefulSettings


class Settings(StatefulSettings):
    """Where api listens, where auth is, and what it tells the others."""

    http_address: str = "127.0.0.1:0"
    """REST, live streams and the console; the front door sends requests here. Port 0: a free one."""
    grpc_address: str = "127.0.0.1:0"
    """Where the gRPC service Catalogue listens."""
    auth_address: str = "127.0.0.1:0"
    """Where auth's gRPC service is."""
    clone_url: str = "http://127.0.0.1:8080/git"
    """Base of the own git remote as builders reach it."""
    public_url: str = "http://127.0.0.1:8080"
    """The front door as people and forges reach it."""
    https_port: int = 8443
    organization: str = "main"
    """Made at the first start."""
    own_bus: bool = True
    """Whether Slipway runs the bus itself, and so makes its users; else its operator does."""
    log_days: int = 30
    """How long step logs are kept."""
    master_key_file: Path = Path.home() / ".slipway" / "keys" / "master.key"
    """32 bytes that the data keys are encrypted with."""
    target_public_key_file: Path = Path.home() / ".slipway" / "keys" / "target.pub"
    """The public half of the local target's key."""
    private_forges: PrivateHosts = ()
    """Forges at private addresses at which hooks may be made: names, addresses, networks."""
    clone_key_file: Path = Path.home() / ".slipway" / "keys" / "clone.key"
    """Signs the builder's credentials for the own git remote."""
