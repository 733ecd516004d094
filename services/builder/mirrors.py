"""Bare mirrors of repositories: a cache under the builder's state, one for each connection's view of a repository.

A mirror holds commits and objects, never an address or a credential. Two organizations never share one, so that nobody
builds from what only another may read.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import structlog

from services.builder.clone_address import CloneAddress
from services.builder.git import Credential, Gits, unreadable
from services.builder.locks import locked
from services.builder.mirror import Mirror, Object
from services.builder.mirror_repair import NEW, clear, is_broken_off, is_hollow, is_sound, remove, remove_halves
from services.builder.programs import Finished
from shared.work import StepFailure, Unavailable

log = structlog.get_logger()

_REFUSED = ("not our ref", "unadvertised object", "allow request for", "no such remote ref")
_GONE = (*_REFUSED, "couldn't find remote ref")
_PERHAPS_OURS = ("clone_failed", "repository_missing")
"""What git's words for a damaged mirror may be taken for."""
_REF = re.compile(r"refs/[^\x00-\x20\x7f~^:?*\[\\]+")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_HISTORY = 200
"""How many commits are fetched to tell whether a commit is an ancestor of another."""


@dataclass(frozen=True)
class Remote:
    """A repository as one connection sees it."""

    owner: str
    """Organization and connection: who shares the mirror."""
    repository: str
    """What people call it."""
    address: CloneAddress
    credential: Credential | None = None
    own: bool = False
    """Of Slipway's own git remote, which is where the installation says."""
    lends: bool = True
    """Its submodules on the same host are fetched with its credential; a fork's are not: it says which they are."""


@dataclass(frozen=True)
class Mirrors:
    """All mirrors; several builder processes may share them."""

    root: Path
    gits: Gits
    limit_bytes: int

    @asynccontextmanager
    async def holding(self, remote: Remote, commit: str, ref: str | None = None) -> AsyncIterator[Mirror]:
        """The mirror with this commit in it, fetched if it is not there. Raises `StepFailure` where it cannot be had."""
        if not _COMMIT.fullmatch(commit):
            raise StepFailure("commit_invalid", f"{commit!r} is not the full id of a commit of {remote.repository}")
        path = self._path(remote)
        while True:
            async with locked(path, exclusive=False):
                if await self._has(path, commit):  # upkeep may have come in between
                    yield Mirror(path, self.gits.plain)
                    return
            async with locked(path, exclusive=True):
                if not await self._has(path, commit):
                    await self._fetch(remote, path, commit, ref)

    async def fetch_with_head(self, remote: Remote, commit: str, ref: str) -> str | None:
        """Fetches a commit that is not here yet and a branch in one conversation; where the branch stands.

        None where nothing was fetched: the commit is here, the ref is no branch or gone, or the remote gives no commits by id.
        Raises `StepFailure` where they are more than may be fetched.
        """
        path = self._path(remote)
        if not (_COMMIT.fullmatch(commit) and _REF.fullmatch(ref) and ref.startswith("refs/heads/")) or await self._has(path, commit):
            return None
        kept = f"refs/slipway-heads/{sha256(ref.encode()).hexdigest()[:24]}"
        async with locked(path, exclusive=True):
            wanted = (f"+{commit}:refs/slipway/{commit}", f"+{ref}:{kept}")
            finished = await self._git_fetch(remote, path, commit, "--depth=1", wanted=wanted)
            if finished.status != 0:
                return None
            head = (path / kept).read_text().strip()
            (path / kept).unlink()  # it was asked for its name only
            return head

    async def head(self, remote: Remote, ref: str) -> str | None:
        """The commit that the ref stands at, behind an annotated tag too; None where it is gone or the remote does not say."""
        if not _REF.fullmatch(ref):
            return None
        async with self.gits.remote(remote.address, remote.credential, own=remote.own) as git:
            finished = await git("ls-remote", "--quiet", "--", remote.address.url, ref, f"{ref}^{{}}")
        lines = finished.out.decode(errors="replace").splitlines()
        named = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
        return named.get(f"{ref}^{{}}", named.get(ref)) if finished.status == 0 else None

    async def is_strict_ancestor(self, remote: Remote, commit: str, of: str) -> bool:
        """Whether `commit` lies in the history of `of`; what cannot be found out is no."""
        path = self._path(remote)
        mirror = Mirror(path, self.gits.plain)
        if commit == of or not _COMMIT.fullmatch(of):
            return False
        older, newer = await mirror.objects([commit, of])
        if of in _parents(older):
            return False
        if commit in _parents(newer):
            return True
        async with locked(path, exclusive=True):
            fetched = await self._fetch_commit(remote, path, of, f"--depth={_HISTORY}")
        return fetched and await mirror.read("merge-base", "--is-ancestor", commit, of) is not None

    def _path(self, remote: Remote) -> Path:
        name = sha256(f"{remote.owner}\0{remote.address.url}".encode()).hexdigest()[:40]
        return self.root / f"{name}.git"

    async def _has(self, path: Path, commit: str) -> bool:
        if (path / "refs" / "slipway" / commit).exists():
            return not is_hollow(path, commit)
        if not (path / "packed-refs").exists():
            return False
        finished = await self.gits.plain(f"--git-dir={path}", "rev-parse", "--quiet", "--verify", f"refs/slipway/{commit}^{{commit}}")
        return finished.status == 0

    async def _fetch(self, remote: Remote, path: Path, commit: str, ref: str | None) -> None:
        """Only the commit; where the remote gives only what its refs point at, the ref's or all branches' whole history."""
        if await self._fetch_commit(remote, path, commit, "--depth=1"):
            return
        one = ref is not None and _REF.fullmatch(ref)
        wanted = f"+{ref}:refs/slipway-ref" if one else "+refs/heads/*:refs/slipway-refs/*"
        options = [*([] if one else ["--prune"]), *(["--unshallow"] if (path / "shallow").exists() else [])]
        finished = await self._git_fetch(remote, path, commit, *options, wanted=(wanted,))
        if finished.status != 0 and not _says(finished, _GONE):
            raise self._unreadable(remote, finished)
        kept = await self.gits.plain(f"--git-dir={path}", "update-ref", f"refs/slipway/{commit}", commit)
        if kept.status != 0:
            message = f"commit {commit[:12]} is not in {remote.repository}: it was never pushed there, or a forced push replaced it"
            raise StepFailure("commit_missing", message, details=finished.err)

    async def _fetch_commit(self, remote: Remote, path: Path, commit: str, depth: str) -> bool:
        """Fetches one commit by its id; False where the remote does not give it that way."""
        finished = await self._git_fetch(remote, path, commit, depth, wanted=(f"+{commit}:refs/slipway/{commit}",))
        if finished.status == 0:
            return True
        if _says(finished, _REFUSED):
            return False
        raise self._unreadable(remote, finished)

    async def _git_fetch(self, remote: Remote, path: Path, commit: str, *options: str, wanted: tuple[str, ...]) -> Finished:
        """`git fetch` into the mirror, whose lock is held exclusively; it is made where there is none, and anew where it is damaged."""
        if is_hollow(path, commit):
            await self._throw_away(path)
        finished = await self._git_fetch_once(remote, path, commit, *options, wanted=wanted)
        if finished.status == 0 or _says(finished, _GONE) or self._failure(remote, finished).failure.code not in _PERHAPS_OURS:
            return finished
        if await is_sound(self.gits.plain, path):
            return finished
        await self._throw_away(path)
        return await self._git_fetch_once(remote, path, commit, *(option for option in options if option != "--unshallow"), wanted=wanted)

    async def _git_fetch_once(self, remote: Remote, path: Path, commit: str, *options: str, wanted: tuple[str, ...]) -> Finished:
        if not await asyncio.to_thread(clear, path):
            await self._init(path, commit)
        async with self.gits.remote(remote.address, remote.credential, own=remote.own) as git:
            finished = await git(*_fetching(path), *options, "--", remote.address.url, *wanted)
        if finished.status != 0 and is_broken_off(path, self.limit_bytes):
            await asyncio.to_thread(clear, path)
            raise self._failure(remote, replace(finished, err=f"{finished.err.rstrip()}\nfile too large"))
        return finished

    async def _throw_away(self, path: Path) -> None:
        log.warning("mirror is damaged, and is made anew", mirror=path.name)
        await asyncio.to_thread(remove, path)

    def _unreadable(self, remote: Remote, finished: Finished) -> Exception:
        """Our own remote comes back: who waits for it has not failed."""
        failure = self._failure(remote, finished)
        if remote.own and failure.failure.code == "clone_unreachable":
            return Unavailable(f"Slipway's own git remote does not answer: {failure}")
        return failure

    def _failure(self, remote: Remote, finished: Finished) -> StepFailure:
        return unreadable(remote.repository, finished, self.limit_bytes)

    async def _init(self, path: Path, commit: str) -> None:
        """Under another name until it is whole."""
        new = path.with_suffix(NEW)
        await asyncio.to_thread(remove_halves, path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        form = "sha256" if len(commit) == 64 else "sha1"
        finished = await self.gits.plain("init", "--quiet", "--bare", "--template=", f"--object-format={form}", str(new))
        if finished.status != 0:
            raise OSError(f"git could not make {path}: {finished.err}")
        new.rename(path)


def _says(finished: Finished, signs: tuple[str, ...]) -> bool:
    return any(sign in finished.err.lower() for sign in signs)


def _fetching(path: Path) -> tuple[str, ...]:
    """What is fetched is on the disk before a ref says so."""
    return (
        *("-c", "core.fsync=all", "-c", "core.fsyncMethod=batch"),
        f"--git-dir={path}",
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        "--no-recurse-submodules",
    )


def _parents(commit: Object | None) -> list[str]:
    head = ((commit and commit.content) or b"").partition(b"\n\n")[0].decode(errors="replace")
    return [line.removeprefix("parent ") for line in head.splitlines() if line.startswith("parent ")]
