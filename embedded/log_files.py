"""The files in `logs/`: each is kept below 10 MB, and its last two pieces besides."""

import os
import shutil
from pathlib import Path

_LARGEST = 10 * 1024 * 1024


def rotate(log: Path) -> None:
    """A large log is copied to `.1`, the copy before to `.2`, and emptied; where it cannot be copied it is emptied all the same, and raises.

    Who writes appends to the same file all the while; a line written between copy and emptying is lost.
    """
    if not log.exists() or log.stat().st_size < _LARGEST:
        return
    copy, last, before = (log.with_name(f"{log.name}.{ending}") for ending in ("new", "1", "2"))
    try:
        shutil.copyfile(log, copy)
        copy.chmod(0o600)
        if last.exists():
            last.replace(before)
        copy.replace(last)
    except OSError:
        copy.unlink(missing_ok=True)
        raise
    finally:
        os.truncate(log, 0)
