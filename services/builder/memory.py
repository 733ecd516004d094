"""The memory that all builds together may use: a limit on the control group that holds BuildKit's steps.

BuildKit ignores `--memory`, so the group is limited as a whole (cgroup v1 and v2). Where we may not, it is said once.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import structlog

from services.builder.engine import About

log = structlog.get_logger()

ROOT = Path("/sys/fs/cgroup")
_SHARE = 0.75
_MIB = 2**20
_PARENTS = {"cgroupfs": "docker", "systemd": "system.slice:docker"}
"""Where dockerd puts what has no parent of its own (dockerd(8), --cgroup-parent)."""


@dataclass(frozen=True)
class Group:
    """BuildKit's control group."""

    folder: Path
    version: int

    @classmethod
    def of(cls, about: About, named: str | None, root: Path = ROOT) -> "Group | None":
        """The group of an engine on this machine; None where it cannot be here."""
        parent = f"{_PARENTS.get(about.cgroup_driver, '')}/buildkit" if named is None else named.strip("/")
        version = 1 if (root / "memory").is_dir() else 2
        top = root / "memory" if version == 1 else root
        if parent.startswith("/") or not about.root.exists() or not top.is_dir():
            return None
        return cls(top / parent, version)

    def limit(self, size: int) -> None:
        """Sets the limit, in bytes; raises `OSError` where we may not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.version == 1:
            self._limit_v1(size)
            return
        for above in (self.folder.parent.parent, self.folder.parent):
            with suppress(OSError):
                (above / "cgroup.subtree_control").write_text("+memory")
        (self.folder / "memory.max").write_text(str(size))
        with suppress(OSError):
            (self.folder / "memory.swap.max").write_text("0")

    def hits(self) -> int:
        """A number that grows whenever the limit was hit (v1) or somebody was killed for it (v2)."""
        try:
            if self.version == 1:  # a huge page meets the limit with swap first
                return sum(int(file.read_text()) for file in self.folder.glob("memory*.failcnt") if ".kmem" not in file.name)
            events = (self.folder / "memory.events").read_text()
        except (OSError, ValueError):
            return 0
        return sum(int(line.split()[1]) for line in events.splitlines() if line.startswith("oom_kill "))

    def _limit_v1(self, size: int) -> None:
        """Memory with swap is a little more: it may not be less, and where it is the same the kernel counts no hit."""
        both = self.folder / "memory.memsw.limit_in_bytes"
        with suppress(OSError):
            both.write_text(str(size + _MIB))
        (self.folder / "memory.limit_in_bytes").write_text(str(size))
        with suppress(OSError):
            both.write_text(str(size + _MIB))


@dataclass
class Watch:
    """What became of a build's memory."""

    limit_bytes: int | None
    group: Group | None
    before: int = 0

    @property
    def limit_was_hit(self) -> bool:
        """Whether the limit was hit since the build began."""
        return self.group is not None and self.group.hits() > self.before


@dataclass
class BuildMemory:
    """Sets the limit while builds run: that of the build that may use most, and never more than all may."""

    group: Group | None
    most: int
    _running: Counter[int] = field(default_factory=Counter)
    _complained: bool = False

    @contextmanager
    def limited(self, wanted: int | None) -> Iterator[Watch]:
        """Holds a build's limit; the block gets to know whether it was hit."""
        size = min(wanted or self.most, self.most)
        self._running[size] += 1
        try:
            set_to = self._apply()
            yield Watch(set_to, self.group if set_to else None, self.group.hits() if self.group else 0)
        finally:
            self._running[size] -= 1
            self._running += Counter()
            if self._running:
                self._apply()

    def _apply(self) -> int | None:
        size = max(self._running)
        if self.group is None:
            self._complain("the engine's control groups are not on this machine")
            return None
        try:
            self.group.limit(size)
        except OSError as error:
            self._complain(str(error))
            return None
        return size

    def _complain(self, reason: str) -> None:
        if not self._complained:
            self._complained = True
            log.warning("builds are not limited in memory", reason=reason)


def share_of_machine() -> int:
    """Three quarters of the machine's memory."""
    return int(psutil.virtual_memory().total * _SHARE)
