"""Files of the home: whole or not there, and on disk once they are written."""

import os
from pathlib import Path

import pytest

from embedded.home import write_private


def test_a_written_file_and_its_name_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the content under another name, then the folder with the right one: a power cut leaves the old file or the new one."""
    synced: list[tuple[str, bool]] = []
    kept = tmp_path / "token"

    def sync(descriptor: int) -> None:
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), kept.exists()))

    monkeypatch.setattr(os, "fsync", sync)
    write_private(kept, "secret")
    (content, named_before), folder = synced
    assert content.endswith(".tmp")
    assert not named_before
    assert folder == (str(tmp_path), True)
    assert [path.name for path in tmp_path.iterdir()] == ["token"]
    assert kept.stat().st_mode & 0o777 == 0o600
