from collections.abc import Iterator

import pytest

from tests.apps.bases import Bases, bases
from tests.apps.engine import Scratch, scratch


@pytest.fixture(scope="session")
def base_images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bases]:
    """A registry with the base images of the applications."""
    with bases(tmp_path_factory.mktemp("registry")) as provided:
        yield provided


@pytest.fixture
def engine() -> Iterator[Scratch]:
    """The real engine, and what this test makes on it."""
    with scratch() as one:
        yield one
