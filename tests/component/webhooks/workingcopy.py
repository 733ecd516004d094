"""A working copy, and the real git client."""

import os
from dataclasses import dataclass
from pathlib import Path

from shared.subprocesses import Program, spawn

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Grace Hopper",
    "GIT_AUTHOR_EMAIL": "grace@example.org",
    "GIT_COMMITTER_NAME": "Grace Hopper",
    "GIT_COMMITTER_EMAIL": "grace@example.org",
}


@dataclass(frozen=True)
class Done:
    """How a git command ended; `said` is its standard error, where the remote's lines come."""

    status: int
    out: str
    said: str

    @property
    def remote(self) -> list[str]:
        """The lines of the remote, without git's prefix."""
        lines = [line.removeprefix("remote: ") for line in self.said.split("\n") if line.startswith("remote:")]
        return [line.removeprefix("remote:").rstrip() for line in lines]


@dataclass(frozen=True)
class WorkingCopy:
    """A repository on disk."""

    path: Path

    @classmethod
    async def new(cls, path: Path) -> "WorkingCopy":
        """An empty one, on the branch main."""
        path.mkdir()
        copy = cls(path)
        await copy.git("init", "-q", "-b", "main")
        return copy

    async def commit(self, message: str = "Work", **files: str) -> str:
        """Commits the files (or one of the message's name) and answers the commit."""
        for name, content in (files or {"file": message}).items():
            (self.path / name).write_text(content)
        await self.git("add", "-A")
        await self.git("commit", "-q", "--allow-empty", "-m", message)
        return (await self.git("rev-parse", "HEAD")).out.strip()

    async def git(self, *arguments: str, good: bool = True) -> Done:
        """Runs git; fails the test where it fails and should not."""
        process = await self.start(*arguments)
        out, said = await process.communicate()
        done = Done(process.returncode or 0, out.decode(errors="replace"), said.decode(errors="replace"))
        assert done.status == 0 or not good, done.said
        return done

    async def start(self, *arguments: str) -> Program:
        """Starts git, in a group of its own: Ctrl-C reaches all of it. Not by `fork`, at which gRPC's threads may break the child."""
        return await spawn("git", *arguments, cwd=self.path, env=ENVIRONMENT, start_new_session=True)
