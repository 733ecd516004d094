"""Fixtures that every test may ask for, the event loop that all of them run on, and where they keep their files."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import pytest_asyncio.plugin
import uvloop

from tests.stack import nats_shared, nats_url, postgres_dsn, postgres_shared, schemas

__all__ = ["nats_shared", "nats_url", "postgres_dsn", "postgres_shared", "schemas"]

_MEMORY = Path("/dev/shm")
_ROOM = 4 * 1024**3
_FIRST = ("tests/e2e/", "tests/simulation/")
_SIDE_BY_SIDE = ("tests/integration/", "tests/component/")


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
    turns = _turns(list(dict.fromkeys(map(_file, items))))
    items.sort(key=lambda item: turns[_file(item)])


def _turns(files: Sequence[str]) -> Mapping[str, float]:
    """Where several workers share the files, none is left alone with a long one in the end, nor do all of them wait at the same time."""
    turns = {file: 0.0 if file.startswith(_FIRST) else 2.0 for file in files}
    for folder in _SIDE_BY_SIDE:
        inside = [file for file in files if file.startswith(folder)]
        turns |= {file: 1 + number / len(inside) for number, file in enumerate(inside)}
    return turns


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]
