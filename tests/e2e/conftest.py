from collections.abc import Iterator

import pytest

from tests.e2e.platform import Platform, running_platform


@pytest.fixture(scope="package")
def platform() -> Iterator[Platform]:
    """One platform for all of these tests of a worker. It ends with them: idle it takes a twentieth of a processor."""
    with running_platform(SLIPWAY_PRIVATE_FORGES="127.0.0.1") as started:
        yield started
