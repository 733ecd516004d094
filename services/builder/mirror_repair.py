"""What a killed git or a power cut leaves in a mirror, told and removed. Only for who holds the mirror's lock exclusively."""

import shutil
from pathlib import Path

from services.builder.git import Git

REMOVED = ".removed"
"""A mirror's folder before it is removed: half of one would pass for a whole one."""
NEW = ".new"
"""A mirror's folder before it is whole."""


def clear(path: Path) -> bool:
    """Removes what gits that are no more have left: locks, for which every later git would fail, and what they had of a pack.

    False where there is no mirror.
    """
    for left in (*path.glob("*.lock"), *(path / "refs").rglob("*.lock"), *(path / "objects").glob("[ip]*/*.lock"), *_unfinished(path)):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)  # a git that was killed a moment ago removes its own
    return path.exists()


def is_broken_off(path: Path, limit_bytes: int) -> bool:
    """Whether a git was ended since what it fetched is larger than a file may be: it does not say so itself of a pack."""
    return any(left.stat().st_size >= limit_bytes for left in _unfinished(path))


def remove(path: Path) -> None:
    """Removes the mirror, where there is one."""
    remove_halves(path)
    if path.exists():
        path.rename(path.with_suffix(REMOVED))
    remove_halves(path)


def remove_halves(path: Path) -> None:
    """Removes what is left of a mirror that was removed, and of one that never became whole."""
    for half in (path.with_suffix(REMOVED), path.with_suffix(NEW)):
        if half.exists():
            shutil.rmtree(half)


def is_hollow(path: Path, commit: str = "") -> bool:
    """Whether a power cut came before the content of the commit, or of any object, was on the disk, and after its name was."""
    objects = path / "objects"
    return any(map(_is_empty, [objects / commit[:2] / commit[2:]] if commit else objects.glob("??/*")))


async def is_sound(git: Git, path: Path) -> bool:
    """Whether git can use the mirror, and everything that its refs lead to is there."""
    checked = await git(f"--git-dir={path}", "fsck", "--connectivity-only", "--no-dangling", "--no-progress")
    return checked.status == 0 and not is_hollow(path)


def _unfinished(path: Path) -> list[Path]:
    return [*(path / "objects").glob("tmp_*"), *(path / "objects" / "pack").glob("tmp_*")]


def _is_empty(file: Path) -> bool:
    try:
        return file.stat().st_size == 0
    except FileNotFoundError:
        return False
