"""What a crash or a full disk leaves of a file that was being written."""

import os
import subprocess
from pathlib import Path

import pytest

from services.deployer import files
from services.deployer.files import remove_unfinished, write_durably


def test_what_a_dead_process_was_writing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by one that had this process's id before; not what another one is writing now, nor files of other names."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    folder = tmp_path / "certificates"
    folder.mkdir()
    for pid in (ended.pid, os.getpid(), os.getppid()):
        with monkeypatch.context() as writing:
            writing.setattr(os, "getpid", lambda pid=pid: pid)
            files._beside(folder / "web.key", "secret", 0o600)
    (folder / "web.key").touch()
    (folder / ".hidden.tmp").touch()
    remove_unfinished(tmp_path)
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == 3
    assert left[0] == ".hidden.tmp"
    assert left[1].startswith(f".web.key.{os.getppid()}.")
    assert left[2] == "web.key"


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full, every try would leave one more."""

    def full(_descriptor: int) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space left"):
            write_durably(tmp_path / "file", "one")
    assert list(tmp_path.iterdir()) == []
