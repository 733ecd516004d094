"""Programs that the demo runs as a person would, and what they answer to programs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from examples.demo.failures import DemoFailed
from examples.demo.terminal import Terminal

LIMIT_S = 300.0
"""Longer than anything here takes; whatever hangs is ended then."""


class Programs:
    """`slipway` of the environment that runs the demo, and `git`."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        folder = Path(sys.executable).parent
        self._environment = {
            "SLIPWAY_PRIVATE_FORGES": "127.0.0.1",  # where the stand-in for the forge is
            **os.environ,
            "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}",
            "GIT_TERMINAL_PROMPT": "0",
        }

    def show(self, *words: str, folder: Path | None = None) -> int:
        """Runs it before the reader's eyes and answers its status."""
        self._terminal.command(*words)
        sys.stdout.flush()
        try:
            return subprocess.run(words, cwd=folder, env=self._environment, check=False, timeout=LIMIT_S).returncode
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"`{' '.join(words)}` was still at work after {LIMIT_S:.0f} s.", "See: slipway status") from None

    def must(self, *words: str, folder: Path | None = None, remedy: str = "") -> None:
        """As `show`; raises where it fails."""
        if status := self.show(*words, folder=folder):
            raise DemoFailed(f"`{' '.join(words)}` ended with status {status}.", remedy)

    def ask(self, *words: str, may_fail: bool = False) -> Any:
        """What `slipway … --json` answers."""
        line = ["slipway", *words, "--json"]
        done = subprocess.run(line, capture_output=True, text=True, env=self._environment, check=False, timeout=LIMIT_S)
        if done.returncode and not may_fail:
            raise DemoFailed(f"`{' '.join(line)}` ended with status {done.returncode}: {done.stderr.strip()}", "See: slipway status")
        return json.loads(done.stdout or "{}")

    def git(self, *words: str, folder: Path) -> str:
        """What git says, quietly."""
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, env=self._environment, check=False, timeout=LIMIT_S
        )
        if done.returncode:
            raise DemoFailed(f"git {words[0]} failed in {folder}: {done.stderr.strip()}", f"Begin anew without it: rm -r {folder}")
        return done.stdout.strip()
