"""What the deployer reads from its environment (prefix `SLIPWAY_`), besides what every service reads."""

from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path

from pydantic import AliasChoices, Field

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """The container engine, the load balancer, and the images and addresses that may be used."""

    docker_host: str = Field(
        default="unix:///var/run/docker.sock", validation_alias=AliasChoices("SLIPWAY_DOCKER_HOST", "DOCKER_HOST", "docker_host")
    )
    traefik_api: str = "http://127.0.0.1:8082"
    """Base address of the load balancer's own API."""
    https_port: int = 8443
    web_port: int = 8081
    postgres_images: Mapping[str, str] = Field(default_factory=dict)
    """Major version → image. Where it is empty, `postgres:<major>` is pulled from the public registry."""
    subnets: IPv4Network = IPv4Network("10.213.0.0/16")
    """Every environment's network gets a /26 of its own out of this range."""
    drain_s: float = 0.5
    """How long the former release goes on after traffic has left it, before it is asked to stop."""

    target_key_file: Path | None = None
    """The target's private key, 32 raw bytes; `keys/target.key` of the home where it is not given."""

    @property
    def key_file(self) -> Path:
        """Where the target's private key lies."""
        return self.target_key_file or self.home / "keys" / "target.key"

    @property
    def target_folder(self) -> Path:
        """The target's small store: epochs, locks, records."""
        return self.home / "target"

    @property
    def dynamic_folder(self) -> Path:
        """The load balancer's file provider."""
        return self.home / "traefik" / "dynamic"

    @property
    def certificate_folder(self) -> Path:
        """Certificates and their private keys, named by content."""
        return self.home / "traefik" / "certificates"
