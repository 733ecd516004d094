"""A root file system in memory, and the layer that it becomes."""

import copy
import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

_MERGED = ("bin", "sbin", "lib", "lib64")


@dataclass(frozen=True)
class Layer:
    """A written layer: digests are `sha256:…`, `size` is that of the compressed file, in bytes."""

    digest: str
    diff_id: str
    size: int


@dataclass
class Tree:
    """Paths (absolute, of an image) and what stands there; a later addition replaces an earlier one.

    `/bin`, `/sbin`, `/lib` and `/lib64` are links into `/usr`, as in Debian, whatever way a package
    names its files.
    """

    _entries: dict[str, tuple[tarfile.TarInfo, bytes]] = field(default_factory=dict)

    def directory(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        """Make a directory; its parents are made when the layer is written."""
        self._add(_info(path, tarfile.DIRTYPE, mode, owner), b"")

    def file(self, path: str, content: bytes | str, mode: int = 0o644) -> None:
        """Make a regular file that belongs to root."""
        data = content.encode() if isinstance(content, str) else content
        self._add(_info(path, tarfile.REGTYPE, mode, 0), data)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link; `target` is taken as it is."""
        info = _info(path, tarfile.SYMTYPE, 0o777, 0)
        info.linkname = target
        self._add(info, b"")

    def copy(self, source: Path, path: str, *, skip: Iterable[str] = ()) -> None:
        """Copy a file or a folder of this machine; `skip` are patterns of paths below `source`."""
        if source.is_dir():
            for child in sorted(source.iterdir()):
                if not any(child.match(pattern) for pattern in skip):
                    self.copy(child, f"{path}/{child.name}", skip=skip)
        elif source.is_symlink():
            self.link(path, str(source.readlink()))
        else:
            self.file(path, source.read_bytes(), source.stat().st_mode & 0o755)

    def extract(self, archive: tarfile.TarFile, *, keep: Iterable[str], skip: Iterable[str] = ()) -> None:
        """Add an archive's files and links whose path starts with one of `keep` and holds none of `skip`."""
        kept, skipped = tuple(keep), tuple(skip)
        for member in archive:
            path = str(PurePosixPath("/") / member.name)
            if member.isdir() or not path.startswith(kept) or any(part in path for part in skipped):
                continue
            info, content = copy.copy(member), b""
            if member.islnk():
                original, content = self._entries[_merged(member.linkname.removeprefix("."))]
                info = copy.copy(original)
            elif member.isreg():
                stream = archive.extractfile(member)
                content = stream.read() if stream is not None else b""
            info.name = path
            self._add(info, content)

    def read(self, path: str) -> bytes:
        """The content of a file of the tree; KeyError where none is."""
        return self._entries[_merged(path)][1]

    def paths(self) -> list[str]:
        """All the paths that were added, sorted."""
        return sorted(self._entries)

    def write_layer(self, target: BinaryIO) -> Layer:
        """Write the tree as a gzip-compressed tar; equal trees give equal bytes."""
        compressed = _Digest(target)
        # Level 1: a layer is read from the same machine, so time counts and size does not.
        with gzip.GzipFile("", "wb", 1, cast(BinaryIO, compressed), mtime=0) as packed:
            plain = _Digest(cast(BinaryIO, packed))
            with tarfile.open(fileobj=cast(BinaryIO, plain), mode="w|", format=tarfile.GNU_FORMAT) as archive:
                for info, content in self._complete():
                    archive.addfile(info, io.BytesIO(content))
        return Layer(compressed.hexdigest(), plain.hexdigest(), compressed.size)

    def _add(self, info: tarfile.TarInfo, content: bytes) -> None:
        path = _merged(info.name)
        info.name = path.lstrip("/")
        info.uname = info.gname = ""
        info.mtime = 0
        info.pax_headers = {}
        if info.isreg():
            info.size = len(content)
        self._entries[path] = (info, content)

    def _complete(self) -> list[tuple[tarfile.TarInfo, bytes]]:
        entries = dict(self._entries)
        for name in _MERGED:
            info = _info(name, tarfile.SYMTYPE, 0o777, 0)
            info.linkname = f"usr/{name}"
            entries[f"/{name}"] = (info, b"")
            entries.setdefault(f"/usr/{name}", (_info(f"usr/{name}", tarfile.DIRTYPE, 0o755, 0), b""))
        for path in list(entries):
            for parent in list(PurePosixPath(path).parents)[:-1]:
                entries.setdefault(
                    str(parent),
                    (_info(str(parent)[1:], tarfile.DIRTYPE, 0o755, 0), b""),
                )
        return [entries[path] for path in sorted(entries)]


class _Digest:
    """Passes bytes on and keeps their SHA-256 and number."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._target.write(data)

    def flush(self) -> None:
        self._target.flush()

    def hexdigest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _info(path: str, kind: bytes, mode: int, owner: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.uid, info.gid = kind, mode, owner, owner
    return info


def _merged(path: str) -> str:
    first, _, rest = path.lstrip("/").partition("/")
    return f"/usr/{first}/{rest}" if first in _MERGED else f"/{path.lstrip('/')}"
