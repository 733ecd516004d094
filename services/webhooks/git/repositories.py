"""The bare repositories: `<root>/<org>/<project>.git`, made on first use, and how git is run on them."""

import asyncio
import os
import re
import shutil
import signal
import sys
from asyncio import StreamReader
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

from shared.ssh import command as ssh_command
from shared.ssh import led_to
from shared.subprocesses import memory_limit, spawn

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
GIT_S = 60.0
"""How long a git command on a local repository may take."""
MEMORY = memory_limit(512 * 2**20)
"""Of git, in bytes: it holds all that a server says of its refs, which may be without end, and whole commits."""
_CHUNK = 64 * 1024
_LONGEST_ERROR = 2000
"""Of what git says of an error, which may be a server's words, the last so many bytes are told."""


class GitError(Exception):
    """git ended with an error; the message holds what it said."""


@dataclass(frozen=True)
class Repository:
    """One project's repository."""

    organization: str
    project: str
    path: Path

    @property
    def identity(self) -> str:
        """Its stable name in Changes."""
        return f"slipway/{self.organization}/{self.project}"


@dataclass(frozen=True)
class Reference:
    """A ref, and the commit that it leads to (annotated tags are followed)."""

    name: str
    commit: str


@dataclass(frozen=True)
class Summary:
    """What a person calls a commit."""

    title: str
    author: str


@dataclass(frozen=True)
class SshTo:
    """How a forge is reached over SSH: at which address, which was checked, and with which keys."""

    address: str
    known_as: str
    known_hosts: str
    key: str = field(repr=False)


class Repositories:
    """All of them, under one folder. `hooks` is the folder with our hooks: no others run."""

    def __init__(self, root: Path, hooks: Path, push_limit_bytes: int) -> None:
        self.root = root
        self._settings = _settings(hooks, push_limit_bytes)

    def at(self, organization: str, project: str) -> Repository:
        """Where a project's repository is, or will be; raises `ValueError` for names that are no slugs."""
        if not (SLUG.fullmatch(organization) and SLUG.fullmatch(project)):
            raise ValueError(f"{organization}/{project}")
        return Repository(organization, project, self.root / organization / f"{project}.git")

    async def make(self, repository: Repository) -> None:
        """Makes it where it is missing. It is made beside and renamed: whoever is quicker wins, and nobody sees half of one."""
        if repository.path.exists():
            return
        repository.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = Path(mkdtemp(prefix=".new-", dir=repository.path.parent))
        try:
            await self.git(beside, "init", "--quiet", "--bare", "--initial-branch=main", "--template=", ".")
            await asyncio.to_thread(beside.rename, repository.path)
        except OSError:
            if not repository.path.exists():
                raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def all(self) -> list[Repository]:
        """Every repository that there is."""
        found = sorted(self.root.glob("*/*.git"))
        return [self.at(path.parent.name, path.stem) for path in found if SLUG.fullmatch(path.parent.name) and SLUG.fullmatch(path.stem)]

    async def references(self, repository: Repository) -> list[Reference]:
        """Branches and tags that lead to commits."""
        form = "%(objectname) %(objecttype) %(*objectname) %(*objecttype) %(refname)"
        lines = await self.git(repository.path, "for-each-ref", f"--format={form}", "refs/heads/", "refs/tags/")
        return [found for line in lines.split("\n") if line and (found := _reference(line)) is not None]

    async def commit_and_summary(self, repository: Repository, name: str) -> tuple[str, Summary] | None:
        """The commit that an object leads to, and what it says of itself; None where it leads to none."""
        try:
            told = await self.git(repository.path, "log", "-1", "--encoding=UTF-8", "--format=%H%x00%an%x00%s", f"{name}^{{commit}}", "--")
        except GitError:
            return None
        commit, author, title = told.rstrip("\n").split("\x00", 2)
        return commit, Summary(title, author)

    async def commit_of(self, repository: Repository, name: str) -> str | None:
        """The commit that an object leads to: itself, or what an annotated tag points to; None where it leads to none."""
        try:
            return (await self.git(repository.path, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")).strip()
        except GitError:
            return None

    async def pushed_by(self, repository: Repository, ref: str) -> tuple[str, str] | None:
        """Person id and name of who moved the ref last, as the reflog says."""
        try:
            told = await self.git(repository.path, "log", "--walk-reflogs", "-1", "--format=%ge%x00%gn", ref, "--")
        except GitError:
            return None
        mail, _, name = told.rstrip("\n").partition("\x00")
        person, _, host = mail.partition("@")
        return (person, name) if host == "slipway" and person else None

    async def git(self, folder: Path, *arguments: str) -> str:
        """Runs git on a repository; raises `GitError`, or `TimeoutError`. Bytes that are no UTF-8 become lone surrogates."""
        return await self.git_with({}, folder, *arguments)

    async def git_with(
        self,
        settings: Mapping[str, str],
        folder: Path,
        *arguments: str,
        secret: str = "",
        answers: Path | None = None,
        most: int = sys.maxsize,
    ) -> str:
        """As `git`, with more settings. Those that no list of processes may show are in `secret`, as in a file (git-config(1)).

        The headers of what servers answer are written to `answers` (git(1), GIT_TRACE_CURL; credentials are left out).
        Where git says more than `most` bytes it is ended, with a `GitError`.
        """
        with _in_memory(secret) as config:
            traced = {"GIT_TRACE_CURL": str(answers), "GIT_TRACE_CURL_NO_DATA": "1"} if answers else {}
            env = self.environment({"GIT_CONFIG_GLOBAL": config, **traced}, settings)
            return await self._run(folder, *arguments, env=env, most=most)

    async def git_over_ssh(self, ssh: "SshTo", folder: Path, *arguments: str, most: int) -> str:
        """As `git_with`, of a repository that is reached over SSH, and nothing else."""
        with _in_memory(ssh.key) as key, _in_memory(ssh.known_hosts) as known:
            command = led_to(ssh_command(known, key), ssh.address, ssh.known_as)
            env = self.environment({"GIT_SSH_COMMAND": command, "GIT_ALLOW_PROTOCOL": "ssh"})
            return await self._run(folder, *arguments, env=env, most=most)

    async def _run(self, folder: Path, *arguments: str, env: Mapping[str, str], most: int) -> str:
        process = await spawn("git", *arguments, cwd=folder, env=env, start_new_session=True, limits={"data": MEMORY})
        try:
            async with asyncio.timeout(GIT_S):
                told, errors = await asyncio.gather(_all_of(process.stdout, most), _all_of(process.stderr, most))
                await process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with all that it started: ssh stays for as long as its server likes
            await process.wait()
            process.close()
            raise
        if process.returncode != 0:
            raise GitError(f"git {arguments[0]}: {errors[-_LONGEST_ERROR:].decode(errors='replace').strip()}")
        return told.decode(errors="surrogateescape")

    def environment(self, more: Mapping[str, str] | None = None, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of git: our settings, nobody else's."""
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": "/nonexistent",
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "https:http",
            **_as_environment((*self._settings, *(settings or {}).items())),
            **(more or {}),
        }


async def _all_of(stream: StreamReader | None, most: int) -> bytes:
    """What a program writes, to its end; raises `GitError` as soon as that is more than so many bytes."""
    read = bytearray()
    while stream is not None and (part := await stream.read(_CHUNK)):
        read += part
        if len(read) > most:
            raise GitError(f"git says more than {most / 2**20:.0f} MB, the most that is read of it")
    return bytes(read)


@contextmanager
def _in_memory(content: str) -> Iterator[str]:
    """The path of a file in no folder: only this user opens it, and it is gone with this process however that ends (memfd_create(2))."""
    if not content:
        yield os.devnull
        return
    file = os.memfd_create("slipway")
    try:
        os.fchmod(file, 0o600)  # ssh takes no key that others may read
        os.write(file, content.encode())
        yield f"/proc/{os.getpid()}/fd/{file}"
    finally:
        os.close(file)


def _settings(hooks: Path, push_limit_bytes: int) -> tuple[tuple[str, str], ...]:
    """Given with every call, so that they hold for repositories that an older version made."""
    known_mistakes = (
        "missingSpaceBeforeDate",
        "zeroPaddedFilemode",
        "badTimezone",
        "multipleAuthors",
        "missingTaggerEntry",
        "badDateOverflow",
    )
    return (
        ("core.hooksPath", str(hooks)),
        ("core.logAllRefUpdates", "always"),  # who pushed, for the sweep
        ("http.receivepack", "true"),
        ("receive.fsckObjects", "true"),
        *((f"receive.fsck.{name}", "warn") for name in known_mistakes),  # old histories have them; forges take them too
        ("receive.maxInputSize", str(push_limit_bytes)),
        ("receive.denyDeletes", "false"),
        ("receive.denyNonFastForwards", "false"),
        ("receive.advertisePushOptions", "false"),
        ("uploadpack.allowAnySHA1InWant", "true"),  # the builder fetches exactly the commit
        ("gc.auto", "2000"),
        ("gc.autoDetach", "false"),
        ("pack.threads", "2"),
        ("pack.windowMemory", "128m"),
    )


def _as_environment(settings: Sequence[tuple[str, str]]) -> dict[str, str]:
    numbered = {
        name: value
        for number, (key, content) in enumerate(settings)
        for name, value in ((f"GIT_CONFIG_KEY_{number}", key), (f"GIT_CONFIG_VALUE_{number}", content))
    }
    return {"GIT_CONFIG_COUNT": str(len(settings)), **numbered}


def _reference(line: str) -> Reference | None:
    object_, kind, pointed, pointed_kind, name = line.split(" ", 4)
    if kind == "commit":
        return Reference(name, object_)
    return Reference(name, pointed) if pointed_kind == "commit" else None
