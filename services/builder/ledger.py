"""When each image was last built, pushed or asked for: the registry does not remember."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ledger:
    """One empty file an image, whose time is the image's."""

    root: Path

    @property
    def deleted(self) -> Path:
        """There as long as the registry holds the data of images that were deleted; who sweeps the registry removes it."""
        return self.root.parent / "deleted-images"

    def note_deleted(self) -> None:
        """The registry has something to sweep."""
        self.deleted.touch()

    def touch(self, repository: str, tag: str) -> None:
        """The image is wanted now."""
        path = self.root / repository / tag
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def times(self, repository: str) -> dict[str, float]:
        """Tag → when it was last wanted, in seconds since 1970."""
        folder = self.root / repository
        return {path.name: path.stat().st_mtime for path in folder.iterdir() if path.is_file()} if folder.is_dir() else {}

    def note_unknown(self, repository: str, tags: tuple[str, ...]) -> None:
        """Tags that somebody else pushed count from the day that they were first seen."""
        known = self.times(repository)
        for tag in tags:
            if tag not in known:
                self.touch(repository, tag)

    def forget(self, repository: str, tag: str) -> None:
        """The image is gone."""
        (self.root / repository / tag).unlink(missing_ok=True)
