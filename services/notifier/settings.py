"""What notifier reads from its environment (prefix `SLIPWAY_`)."""

from pathlib import Path

from shared.outbound import PrivateHosts
from shared.settings import StatefulSettings


class Settings(StatefulSettings):
    """Where the catalogue is, and how patiently things are told."""

    api_address: str = "127.0.0.1:0"
    """Host and port of api's gRPC service Catalogue."""
    master_key_file: Path
    """32 bytes; what is stored of channels' addresses and secrets is encrypted with a key of it."""
    public_url: str = ""
    """Where people reach the console; links lead there. None are sent where it is empty."""
    allow_private_webhooks: bool = False
    """Whether channels may lead to private, loopback and link-local addresses: for tests, and for use at home."""
    private_forges: PrivateHosts = ()
    """Forges at private addresses that may be called: names, addresses, networks."""
    retry_first_s: float = 5.0
    """Wait after the first failed attempt; later ones wait longer."""
    dead_after_days: float = 3.0
    """How long something is tried before it is given up."""
