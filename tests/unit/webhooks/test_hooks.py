"""The folder of the hook and its socket."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from services.webhooks.git.pushes import Hooks


def test_what_a_killed_process_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also outside its home, whose path was too long for a socket; what a living process has stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed = subprocess.Popen(["true"])
    killed.wait()
    left = tmp_path / f"slipway-webhooks-{killed.pid}-12345678"
    left.mkdir()
    first, second = (Hooks(tmp_path / ("long" * 30)) for _ in range(2))
    assert {first.folder.parent, second.folder.parent} == set(tmp_path.glob("slipway-webhooks-*"))
