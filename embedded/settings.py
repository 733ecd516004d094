"""What a user can say about the embedded stack, read once from the environment."""

from pathlib import Path

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_SOCKET = Path("/var/run/docker.sock")


class EngineSettings(BaseSettings):
    """Which container engine is used, and where one of our own would live."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_ENGINE_", frozen=True)

    host: str | None = Field(default=None, validation_alias=AliasChoices("SLIPWAY_DOCKER_HOST", "DOCKER_HOST", "host"))
    """Address of an engine that somebody else runs; without it, the socket below is tried."""
    socket: Path = DEFAULT_SOCKET
    data_root: Path = Path("/var/lib/slipway-engine")
    exec_root: Path = Path("/var/run/slipway-engine")
    bridge: str | None = None
    """Name of the engine's bridge, where it is not `docker0`. It must exist; `none` would delete the machine's own `docker0`."""
    iptables: bool = True
    """Whether it may change the machine's packet filter. A second engine must not: at its start it empties the first one's chains."""

    @property
    def address(self) -> str:
        """The engine's address."""
        return self.host or f"unix://{self.socket}"

    @property
    def is_somebody_elses(self) -> bool:
        """Whether the address was given and is not where an engine of our own would be."""
        return self.address != f"unix://{self.socket}"


class CacheSettings(BaseSettings):
    """Where images that are assembled on this machine are kept."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_", env_ignore_empty=True, frozen=True)

    cache: Path | None = None
    """Without it `slipway` in the user's cache folder."""


class Settings(BaseSettings):
    """The embedded stack: its folder, its ports, and what is used instead of the embedded parts."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_", frozen=True, populate_by_name=True)

    home: Path = Path("~/.slipway")
    http: str = "127.0.0.1:8080"
    """The front door (Traefik's entry point `platform`)."""
    web_port: int = Field(default=8081, ge=1, le=65535)
    https_port: int = Field(default=8443, ge=1, le=65535)
    nats_port: int = Field(default=4222, ge=1, le=65535)
    nats_url: str | None = None
    """A NATS server that somebody else runs; its users are made by its owner."""
    postgres_dsn: str | None = None
    """A PostgreSQL database that somebody else runs; the role must be allowed to create roles and schemas."""
    organization: str = "main"
    target: str = "local"
    engine: EngineSettings = Field(default_factory=EngineSettings)

    @field_validator("http")
    @classmethod
    def _address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or any(each in ": \t" for each in host) or not (port.isdecimal() and 0 < int(port) < 2**16):
            raise ValueError("it is no address with a port from 1 to 65535")
        return value

    @field_validator("home")
    @classmethod
    def _folder(cls, value: Path) -> Path:
        try:
            value.expanduser()
        except RuntimeError:
            raise ValueError("there is no such user") from None
        return value

    def environment(self) -> dict[str, str]:
        """The variables from which the same settings are read again."""
        own = self.model_dump(mode="json", exclude={"engine"}, exclude_none=True)
        engine = self.engine.model_dump(mode="json", exclude={"host"}, exclude_none=True)
        host = {"SLIPWAY_DOCKER_HOST": self.engine.host} if self.engine.host else {}
        return {
            **{f"SLIPWAY_{name.upper()}": str(value) for name, value in own.items()},
            **{f"SLIPWAY_ENGINE_{name.upper()}": str(value) for name, value in engine.items()},
            **host,
        }
