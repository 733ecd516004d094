"""Logs stay small, whatever the disk has room for."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded import log_files


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a log belongs that is large with ten bytes."""
    monkeypatch.setattr(log_files, "_LARGEST", 10)
    return tmp_path / "api.log"


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Nothing more than twelve bytes can be written into a file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def pieces(log: Path) -> dict[str, str]:
    """What stands in which file."""
    return {path.name: path.read_text() for path in log.parent.iterdir()}


def test_a_large_log_is_kept_in_pieces(log: Path) -> None:
    """The file that somebody writes to stays the same one; two older pieces are kept, readable by their owner only."""
    with log.open("a") as open_all_the_while:
        for text in ("first piece", "second piece", "third piece"):
            open_all_the_while.write(text)
            open_all_the_while.flush()
            log_files.rotate(log)
        open_all_the_while.write("now")
    assert pieces(log) == {"api.log": "now", "api.log.1": "third piece", "api.log.2": "second piece"}
    assert log.with_name("api.log.1").stat().st_mode & 0o777 == 0o600


def test_a_small_log_is_left_alone(log: Path) -> None:
    """So is one that is not there."""
    log_files.rotate(log)
    log.write_text("short")
    log_files.rotate(log)
    assert pieces(log) == {"api.log": "short"}


def test_where_a_log_cannot_be_copied_it_is_emptied(log: Path, request: pytest.FixtureRequest) -> None:
    """It would fill the disk for ever; the older pieces stay whole."""
    for name, text in (("api.log", "more than there is room for"), ("api.log.1", "yesterday"), ("api.log.2", "before")):
        log.with_name(name).write_text(text)
    request.getfixturevalue("full_disk")
    with pytest.raises(OSError, match="too large"):
        log_files.rotate(log)
    log_files.rotate(log)
    assert pieces(log) == {"api.log": "", "api.log.1": "yesterday", "api.log.2": "before"}
