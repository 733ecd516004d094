"""A service that does nothing but be one: bus, health pages and, where it has one, its schema."""

import os
from pathlib import Path

from shared.process import started
from shared.settings import ServiceSettings, StatefulSettings


async def main() -> None:
    """Run until SIGTERM, as the user that the environment names."""
    settings = ServiceSettings()
    lines = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("SLIPWAY_")]
    Path(settings.home, "run", f"environment.{os.getpid()}").write_text("\n".join(lines))
    async with started(settings.nats_user, settings) as process:
        if "SLIPWAY_POSTGRES_DSN" in os.environ:
            await process.database(StatefulSettings(), settings.nats_user)
        await process.until_stopped()
