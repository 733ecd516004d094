"""What every service reads from its environment (prefix `SLIPWAY_`). Each service's settings.py adds its own fields."""

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """The bus, the health port, and where things are."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_", frozen=True, extra="ignore")

    home: Path = Path.home() / ".slipway"
    instance: str = "slipway"
    target: str = "local"
    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str = ""
    nats_password: SecretStr = SecretStr("")
    health_port: int = 0
    tls_dir: Path = Path.home() / ".slipway" / "tls"
    log_level: str = "INFO"
    otlp_endpoint: str | None = None
    """Base URL of an OpenTelemetry collector (OTLP over HTTP); traces go nowhere without it."""


class StatefulSettings(ServiceSettings):
    """And the database, for services that keep state."""

    postgres_dsn: SecretStr
    pool_size: int = 8
