"""An instance of one's own, on the real engine, of which nothing is left afterwards."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.home import Home
from embedded.postgres import SYSTEM_FOLDER
from embedded.settings import Settings
from embedded.supervisor import down
from tests.stack import free_port

TINY = (sys.executable, "-m", "tests.integration.embedded.tiny_stack")
"""The supervisor's command for a stack of two services that do nothing."""


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A temporary folder that other users can pass through, with a short path; below the folder that the parameter says, if any."""
    path = Path(tempfile.mkdtemp(prefix="slw-", dir=getattr(request, "param", None)))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def settings(folder: Path) -> Iterator[Settings]:
    """Settings with a home and ports that nobody else uses."""
    chosen = Settings(
        home=folder / "my höme",
        http=f"127.0.0.1:{free_port()}",
        web_port=free_port(),
        https_port=free_port(),
        nats_port=free_port(),
    )
    yield chosen
    down(chosen, everything=True, volumes=True)
    home = Home.at(chosen.home)
    if home.instance_file.exists():
        shutil.rmtree(SYSTEM_FOLDER / home.instance, ignore_errors=True)


@pytest.fixture
def home(settings: Settings) -> Home:
    """The prepared home of those settings."""
    prepared = Home.at(settings.home)
    prepared.prepare()
    return prepared
