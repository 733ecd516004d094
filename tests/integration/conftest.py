"""What tests of messages have in common."""

from collections.abc import AsyncIterator

import pytest

from shared.bus import Bus
from shared.postgres import Pool, database
from shared.settings import ServiceSettings
from tests.stack import migrated, service_settings


@pytest.fixture
async def coordinator(nats_url: str) -> AsyncIterator[Bus]:
    """A connection as the coordinator."""
    bus = await Bus.connect(service_settings(ServiceSettings, "coordinator", nats_url), "coordinator")
    yield bus
    await bus.close()


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    """A schema with inbox and outbox."""
    await migrated(postgres_dsn, "coordinator")
    async with database(postgres_dsn, "coordinator") as opened:
        yield opened
