"""An application's files, and the git repository that they are committed to."""

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

_AUTHOR = {
    "GIT_AUTHOR_NAME": "Ada Lovelace",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada Lovelace",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}


@dataclass(frozen=True)
class App:
    """The files of one commit: path → text. What begins with `#!` is executable."""

    name: str
    files: dict[str, str]

    def with_file(self, path: str, text: str) -> "App":
        """The same application with one file more, or with another text in it."""
        return replace(self, files={**self.files, path: text})

    def with_text(self, path: str, old: str, new: str) -> "App":
        """The same application with `old` replaced in a file; ValueError where it is not there."""
        if old not in self.files[path]:
            raise ValueError(f"{path} does not hold {old!r}")
        return self.with_file(path, self.files[path].replace(old, new))


@dataclass(frozen=True)
class Repository:
    """A git repository with a work tree and the branch `main`."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> "Repository":
        """Make an empty one."""
        path.mkdir(parents=True)
        repository = cls(path)
        repository.git("init", "--quiet", "--initial-branch=main")
        return repository

    def commit(self, app: App, message: str = "") -> str:
        """Replace all files by the application's and commit them; the commit's SHA. Equal files make an empty commit."""
        for entry in self.path.iterdir():
            if entry.name == ".git":
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        for name, text in app.files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o755 if text.startswith("#!") else 0o644)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message", message or f"Deploy {app.name}")
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        """Run git here and return what it says; CalledProcessError when it fails."""
        done = subprocess.run(
            ("git", *arguments),
            cwd=self.path,
            env={**os.environ, **_AUTHOR},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()
