"""A real git repository on disk, and commands about it."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from shared.contracts.commands import BuildImage, InspectSource, PushImage, Source
from shared.contracts.manifest import BuildSpec
from shared.contracts.places import Place
from shared.contracts.releases import Sealed
from shared.messages import new_id

PLACE = Place(organization="main", project="todo", environment="production")


def git(folder: Path, *arguments: str, given: str = "") -> str:
    """Runs git as some author, whatever this machine is set up for."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_NAME": "Änne Author",
        "GIT_AUTHOR_EMAIL": "a@example.com",
        "GIT_COMMITTER_NAME": "Änne Author",
        "GIT_COMMITTER_EMAIL": "a@example.com",
    }
    command = ["git", "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True, text=True, input=given).stdout.strip()


@dataclass(frozen=True)
class Repository:
    """A repository with a work tree."""

    folder: Path

    @classmethod
    def at(cls, folder: Path) -> "Repository":
        """A new one."""
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet")
        return cls(folder)

    @property
    def url(self) -> str:
        """Where it is cloned from."""
        return f"file://{self.folder}"

    def commit(self, files: dict[str, str], message: str = "Change") -> str:
        """Writes files and commits everything; the commit's id."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--allow-empty", "--message", message)
        return self.head

    @property
    def head(self) -> str:
        """Where it stands."""
        return git(self.folder, "rev-parse", "HEAD")

    def source(self, commit: str | None = None, **more: str) -> Source:
        """The source of a commit."""
        known = {"connection": "own", "repository": "slipway/todo", "clone_url": self.url, "ref": "refs/heads/main"}
        return Source.model_validate({**known, "commit": commit or self.head, **more})

    def inspect(self, commit: str | None = None, newest: str | None = None, **more: str) -> InspectSource:
        """The command to inspect it."""
        source = self.source(commit, **more)
        return InspectSource(place=PLACE, target="local", timeout_s=60, deployment=new_id(), step="inspect", source=source, newest=newest)

    def build(
        self, commit: str | None = None, build: BuildSpec | None = None, *, key: str | None = None, secrets: Sealed | None = None,
        timeout_s: float = 60, memory_bytes: int | None = None,
    ) -> BuildImage:  # fmt: skip
        """The command to build its service `web`."""
        return BuildImage(
            place=PLACE, target="local", timeout_s=timeout_s, deployment=new_id(), step="build-web", source=self.source(commit),
            service="web", build=build or BuildSpec(), key=key or new_id(), secrets=secrets or Sealed(), memory_bytes=memory_bytes,
        )  # fmt: skip


def push(image: str, key: str) -> PushImage:
    """The command to push an image of the service `web`."""
    return PushImage(place=PLACE, target="local", timeout_s=60, deployment=new_id(), step="push-web", service="web", image=image, key=key)
