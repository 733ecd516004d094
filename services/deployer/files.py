"""Files that are whole or not there, and on disk before anything is built on them."""

import os
from pathlib import Path

_UNFINISHED = ".tmp"


def write_durably(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Replaces a file atomically; content and name are on disk when it returns. The mode is right from the first byte."""
    beside = _beside(path, content, mode)
    beside.replace(path)
    sync_folder(path.parent)


def create_durably(path: Path, content: str | bytes, mode: int = 0o600) -> bool:
    """Creates a file with all its content at once; False where there is one already, which is left as it is."""
    beside = _beside(path, content, mode)
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    finally:
        beside.unlink()
    sync_folder(path.parent)
    return True


def remove_durably(path: Path) -> bool:
    """Removes a file; False where there was none."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    sync_folder(path.parent)
    return True


def sync_folder(folder: Path) -> None:
    """Brings the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """Removes what processes that are gone were writing in a folder and those below it; private keys may be among it."""
    for path in folder.rglob(f".*{_UNFINISHED}"):
        *_, pid, _random, _end = path.name.rsplit(".", 3)
        if pid == str(os.getpid()) or (pid.isdigit() and not Path("/proc", pid).exists()):
            path.unlink(missing_ok=True)


def _beside(path: Path, content: str | bytes, mode: int) -> Path:
    """The content in a file beside, under a name that no reader of the folder takes for its own."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}{_UNFINISHED}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        beside.unlink()
        raise
    return beside
