"""Fixtures that every test may ask for, the event loop that all of them run on, and where they keep their files."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio.plugin
import structlog
import uvloop
from xdist.scheduler import LoadFileScheduling

from tests.stack import nats_shared, nats_url, postgres_dsn, postgres_shared, schemas
from tests.turns import together, turns

__all__ = ["nats_shared", "nats_url", "postgres_dsn", "postgres_shared", "schemas"]

_MEMORY = Path("/dev/shm")
_ROOM = 4 * 1024**3


def _keep_files_in_memory() -> None:
    """Where there is room: a database is made for nearly every test, 300 files that a disk takes ten times as long for."""
    if "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
        os.environ["TMPDIR"] = str(_MEMORY)
        tempfile.tempdir = None  # read the variable


_keep_files_in_memory()


def pytest_asyncio_loop_factories() -> Mapping[str, pytest_asyncio.plugin.LoopFactory]:
    """The loop that the services run on."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests begin first, and those that work go beside those that wait.

    uvloop swallows what a signal's handler raises: only a thread, which ends the whole process, ends a test on it that takes too long.
    """
    for item in items:
        if item.get_closest_marker("asyncio"):
            own = item.get_closest_marker("timeout") or pytest.mark.timeout().mark
            item.add_marker(pytest.mark.timeout(*own.args, **{**own.kwargs, "method": "thread"}))
    turn = turns(list(dict.fromkeys(map(_file, items))))
    items.sort(key=lambda item: turn[_file(item)])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """As `--dist loadfile`, but for the files that share something."""
    scheduler = LoadFileScheduling(config, log)
    scheduler._split_scope = together
    return scheduler


@pytest.fixture(autouse=True)
def _logs_end_with_their_file(request: pytest.FixtureRequest) -> Iterator[None]:
    """A process that a test starts within it logs to the standard error of that moment, which `capsys` closes."""
    yield
    if "capsys" in request.fixturenames:
        structlog.reset_defaults()
        logging.basicConfig(force=True)


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]
