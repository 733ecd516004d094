"""A living api for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.component.api.running import RunningApi, running_api


@pytest.fixture(scope="session")
def schemas() -> tuple[str, ...]:
    """What its services keep."""
    return ("api", "auth")


@pytest.fixture
async def api(tmp_path: Path, nats_url: str, postgres_dsn: str) -> AsyncIterator[RunningApi]:
    """Api with the first organization, the local target and an admin."""
    async with running_api(tmp_path, nats_url, postgres_dsn) as running:
        yield running
