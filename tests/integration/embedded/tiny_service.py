"""A service that does nothing but be one: bus, health pages and, where it has one, its schema."""

import os

from shared.process import started
from shared.settings import ServiceSettings, StatefulSettings


class _Settings(ServiceSettings):
    postgres_dsn: str | None = None


async def main() -> None:
    """Run until SIGTERM, as the user that the environment names."""
    settings = _Settings()
    async with started(settings.nats_user, settings) as process:
        if "SLIPWAY_POSTGRES_DSN" in os.environ:
            stateful = StatefulSettings()
            await process.database(stateful, settings.nats_user)
        await process.until_stopped()
