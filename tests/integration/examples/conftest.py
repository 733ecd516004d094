from collections.abc import Iterator

import pytest

from tests.apps.bases import local_registry
from tests.apps.engine import Scratch, scratch


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real, empty image registry; host:port."""
    with local_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def engine() -> Iterator[Scratch]:
    """The real engine, and what this test makes on it."""
    with scratch() as one:
        yield one
