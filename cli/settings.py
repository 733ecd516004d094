"""What the command line reads from its environment (prefix `SLIPWAY_`)."""

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where the platform is, and who asks."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_", frozen=True, extra="ignore")

    url: str | None = None
    http: str = "127.0.0.1:8080"
    token: SecretStr | None = None
    home: Path = Path("~/.slipway")
    organization: str = "main"

    @property
    def base_url(self) -> str:
        """The platform's address without a slash at its end."""
        return (self.url or f"http://{self.http}").rstrip("/")

    @property
    def token_file(self) -> Path:
        """Where `slipway up` puts the first token."""
        return self.home.expanduser() / "token"
