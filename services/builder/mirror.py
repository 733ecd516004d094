"""Reading one mirror: its trees and its objects, as far as they may be read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.builder.git import Git
from shared.work import StepFailure

_LEADS_NOWHERE = (b"symlink", b"dangling", b"loop", b"notdir")
LARGEST_READ = 2**20
"""Of one object, in bytes: a gigabyte of zeros is nothing in a pack."""
_MOST_ENTRIES = 200_000
_LONGEST_LISTING = 64 * 2**20


@dataclass(frozen=True)
class Entry:
    """One line of a tree."""

    mode: str
    id: str
    size: int
    path: str

    @property
    def is_submodule(self) -> bool:
        """Whether it names a commit of another repository."""
        return self.mode == "160000"

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode == "120000"


@dataclass(frozen=True)
class Object:
    """A blob or commit; `content` is None where it is larger than `LARGEST_READ`."""

    size: int
    content: bytes | None


@dataclass(frozen=True)
class Mirror:
    """One mirror while it is open: nobody changes it as long as it is."""

    path: Path
    git: Git

    async def read(self, *arguments: str, given: bytes | None = None) -> bytes | None:
        """What git says of the mirror; None where it fails."""
        finished = await self.git(f"--git-dir={self.path}", *arguments, given=given)
        return finished.out if finished.status == 0 else None

    async def objects(self, names: list[str]) -> list[Object | None]:
        """Objects by name (`<commit>:<path>`); None for what is not there or is no blob or commit. What is large is not read."""
        given = "".join(f"{name}\n" for name in names).encode()
        out = await self.read("cat-file", "--batch-check=%(objecttype) %(objectsize)", given=given) or b""
        sizes = {name: size for name, size in zip(names, _sizes(out), strict=False) if size is not None}
        small = [name for name, size in sizes.items() if size <= LARGEST_READ]
        out = await self.read("cat-file", "--batch", given="".join(f"{name}\n" for name in small).encode()) or b"" if small else b""
        contents = dict(zip(small, _objects(out, len(small)), strict=True))
        return [Object(sizes[name], contents.get(name)) if name in sizes else None for name in names]

    async def ids(self, names: list[str]) -> list[str | None]:
        """Object ids by name (`<commit>:<path>`), links followed; None for what is not there, or behind a link that leads out or nowhere."""
        given = "".join(f"{name}\n" for name in names).encode()
        return list(_ids(await self.read("cat-file", "--batch-check=%(objectname)", "--follow-symlinks", given=given) or b""))

    async def entries(self, commit: str, *options: str, paths: Iterable[str] = ()) -> list[Entry]:
        """What stands in a commit at these paths (literal, links not followed), or at its root; with `-r` all files below.

        Raises `StepFailure` where that is more than may be built: trees that repeat each other hold a thousand million files
        in a kilobyte.
        """
        found: list[Entry] = []
        rest, length = b"", 0
        listing = ("ls-tree", "-l", "-z", "--full-tree", *options, commit, "--", *paths)
        async with self.git.started(f"--git-dir={self.path}", *listing) as process:
            if process.stdout is None:
                raise RuntimeError("git was started without a pipe")
            while chunk := await process.stdout.read(2**16):
                *lines, rest = (rest + chunk).split(b"\0")
                found += map(_entry, lines)
                length += len(chunk)
                if len(found) > _MOST_ENTRIES or length > _LONGEST_LISTING:
                    message = f"commit {commit[:12]} has too many files: more than {_MOST_ENTRIES} files and folders, or too long names"
                    raise StepFailure("source_too_large", message)
            return found if await process.wait() == 0 else []


def _ids(out: bytes) -> Iterator[str | None]:
    """Reads the output of `git cat-file --batch-check --follow-symlinks`: what is said of a link that leads to nothing takes two lines."""
    at = 0
    while at < len(out):
        end = out.index(b"\n", at)
        word, _, size = out[at:end].partition(b" ")
        at = end + 1
        if not size:
            yield word.decode()
            continue
        if word in _LEADS_NOWHERE and size.isdigit():
            at += int(size) + 1
        yield None


def _entry(line: bytes) -> Entry:
    about, _, path = line.partition(b"\t")
    mode, _, identity, size = about.decode().split()
    return Entry(mode, identity, int(size) if size.isdigit() else 0, path.decode("utf-8", "surrogateescape"))


def _sizes(out: bytes) -> Iterator[int | None]:
    for line in out.splitlines():
        kind, _, size = line.rpartition(b" ")
        yield int(size) if kind in (b"blob", b"commit") else None


def _objects(out: bytes, count: int) -> list[bytes | None]:
    """Reads the output of `git cat-file --batch` (git-cat-file(1), BATCH OUTPUT)."""
    found: list[bytes | None] = []
    at = 0
    while len(found) < count and at < len(out):
        end = out.index(b"\n", at)
        words = out[at:end].rsplit(b" ", 2)
        at = end + 1
        if len(words) < 3 or not words[2].isdigit():
            found.append(None)
            continue
        size = int(words[2])
        found.append(out[at : at + size] if words[1] in (b"blob", b"commit") else None)
        at += size + 1
    return found + [None] * (count - len(found))
