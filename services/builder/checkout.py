"""Lays the files of exactly one commit into a folder, submodules included."""

import posixpath
import re
from dataclasses import dataclass, replace
from pathlib import Path

from services.builder.clone_address import UnusableAddress
from services.builder.mirror import LARGEST_READ, Entry, Mirror
from services.builder.mirrors import Mirrors, Remote
from services.builder.programs import run
from shared.messages import new_id
from shared.work import StepFailure, Work

_OF_FORKS = "/forks"
"""Mirrors of what forks name are not shared with what the connection's credential has fetched."""
_DEEPEST = 5
_MOST = 100
_LEAST_BYTES = 4096
"""What a file or folder takes on a disk, however little is in it."""
_MODULE = re.compile(r"submodule\.(.+)\.(path|url)\n(.*)", re.DOTALL)


@dataclass(frozen=True)
class Checkouts:
    """Makes checkouts from mirrors."""

    mirrors: Mirrors
    limit_bytes: int
    protocols: tuple[str, ...]

    async def lay_out(self, remote: Remote, commit: str, ref: str | None, folder: Path, work: Work) -> None:
        """Fills an empty folder. Raises `StepFailure` where the commit cannot be had or is too large."""
        await self._lay_out(remote, commit, ref, folder, work, 0, 0)

    async def _lay_out(self, remote: Remote, commit: str, ref: str | None, folder: Path, work: Work, depth: int, taken: int) -> int:
        """How many bytes all of the checkout takes so far, as `taken` was before."""
        async with self.mirrors.holding(remote, commit, ref) as mirror:
            entries = await mirror.entries(commit, "-r", "-t")
            taken = self._measure(remote, entries, taken)
            await _write(mirror, commit, folder)
            submodules = [entry for entry in entries if entry.is_submodule]
            urls = await _submodule_urls(mirror, commit) if submodules else {}
            _say_what_is_left_out(folder, work)
        if len(submodules) > _MOST or (submodules and depth >= _DEEPEST):
            raise StepFailure(
                "too_many_submodules", f"{remote.repository} nests submodules deeper than {_DEEPEST}, or has more than {_MOST}"
            )
        for entry in submodules:
            taken = await self._submodule(remote, entry, urls.get(entry.path), folder, work, depth, taken)
        return taken

    async def _submodule(self, parent: Remote, entry: Entry, url: str | None, folder: Path, work: Work, depth: int, taken: int) -> int:
        if url is None:
            work.log(f"{entry.path} is a submodule that .gitmodules does not name; it stays empty")
            return taken
        try:
            address = parent.address.submodule(url, self.protocols)
        except UnusableAddress as error:
            raise StepFailure(
                "submodule_unusable", f"the submodule {entry.path} of {parent.repository} cannot be fetched: {error}"
            ) from None
        own_host = address.host == parent.address.host
        name = f"submodule {entry.path} of {parent.repository}"
        credential = parent.credential if own_host and parent.lends else None
        owner = parent.owner if parent.lends else f"{parent.owner.removesuffix(_OF_FORKS)}{_OF_FORKS}"
        remote = replace(parent, owner=owner, repository=name, address=address, credential=credential, own=parent.own and own_host)
        return await self._lay_out(remote, entry.id, None, _below(folder, entry.path), work, depth + 1, taken)

    def _measure(self, remote: Remote, entries: list[Entry], taken: int) -> int:
        size = taken + sum(max(entry.size, _LEAST_BYTES) for entry in entries)
        if size > self.limit_bytes:
            what = f"with {remote.repository}, all files" if taken else f"the files of {remote.repository}"
            message = f"{what} take {size // 2**20} MiB; a build may have {self.limit_bytes // 2**20} MiB"
            raise StepFailure("source_too_large", message)
        return size


def _below(folder: Path, path: str) -> Path:
    """The submodule's folder; git has made it, and no link may lead out on the way."""
    target = folder / path
    target.mkdir(parents=True, exist_ok=True)
    if not target.resolve().is_relative_to(folder.resolve()):
        raise StepFailure("submodule_unusable", f"the submodule {path} leads out of the repository")
    return target


async def _write(mirror: Mirror, commit: str, folder: Path) -> None:
    """Not by `git archive`, which leaves out what `export-ignore` names. Files are readable by all, as in a clone."""
    index = folder / f".index-{new_id()}"
    arguments = (f"--git-dir={mirror.path}", f"--work-tree={folder}", "read-tree", "-u", "--reset", commit)
    try:
        finished = await run(
            "sh", "-c", 'umask 022; exec git -c core.bare=false -c core.hooksPath=/dev/null -c safe.directory="*" "$@"', "sh", *arguments,
            env={**mirror.git.env, "GIT_INDEX_FILE": str(index)}, cwd=folder,
        )  # fmt: skip
    finally:
        index.unlink(missing_ok=True)
    if finished.status != 0:
        raise StepFailure(
            "checkout_failed", f"the files of commit {commit[:12]} could not be written: {finished.err.strip()}", may_pass=True
        )


def _say_what_is_left_out(folder: Path, work: Work) -> None:
    attributes = folder / ".gitattributes"
    if not attributes.is_file() or attributes.is_symlink():
        return
    with attributes.open("rb") as opened:
        uses_lfs = b"filter=lfs" in opened.read(LARGEST_READ)
    if uses_lfs:
        work.log("this repository uses Git LFS, which is not fetched: its large files are pointers in the build")


async def _submodule_urls(mirror: Mirror, commit: str) -> dict[str, str]:
    """Path → address, as .gitmodules has them."""
    (module,) = await mirror.objects([f"{commit}:.gitmodules"])
    if module is not None and module.content is None:
        raise StepFailure("submodule_unusable", f".gitmodules is larger than {LARGEST_READ // 2**10} KiB")
    out = await mirror.read("config", f"--blob={commit}:.gitmodules", "-z", "--get-regexp", r"^submodule\..*\.(path|url)$")
    values: dict[str, dict[str, str]] = {}
    for item in (out or b"").decode(errors="surrogateescape").split("\0"):
        if found := _MODULE.fullmatch(item):
            values.setdefault(found[1], {})[found[2]] = found[3]
    return {posixpath.normpath(module["path"]): module["url"] for module in values.values() if len(module) == 2}
