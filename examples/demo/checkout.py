"""The checkout that the demo works in: a copy of examples/todo with a history of its own."""

import re
import shutil
from pathlib import Path

from examples.demo.failures import DemoFailed
from examples.demo.programs import Programs

EXAMPLE = Path(__file__).parents[1] / "todo"
_GOOD = "SELECT FROM todos LIMIT 1"
_BAD = "SELECT priority FROM todos LIMIT 1"


class Checkout:
    """`folder` on branch main. Versions count on from run to run, so that each push shows another one."""

    def __init__(self, folder: Path, programs: Programs) -> None:
        self.folder = folder
        self._programs = programs

    def prepare(self) -> None:
        """Makes the repository where there is none; a former run's is used again."""
        if not (self.folder / ".git").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._git("init", "--quiet", "--initial-branch=main")
            for name, value in (("user.name", "Ada"), ("user.email", "ada@example.com"), ("commit.gpgsign", "false")):
                self._git("config", name, value)
        if (branch := self._git("branch", "--show-current")) != "main":
            raise DemoFailed(f"The demo's checkout is on the branch {branch or '(none)'}.", f"git -C {self.folder} switch main")

    def commit_good(self, title: str) -> tuple[str, str]:
        """The example as it is, under the next version number; answers version and commit."""
        following = self._next_version()
        shutil.copytree(EXAMPLE, self.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
        return self._commit(following, f"{title} (version {following})")

    def commit_bad(self, title: str) -> tuple[str, str]:
        """A health check that asks for a column which no migration adds: what a hurried person forgets."""
        source = self.folder / "todos.js"
        text = source.read_text()
        if _GOOD not in text:
            raise DemoFailed(f"{source} has no health check to break.", f"Begin anew without it: rm -r {self.folder}")
        source.write_text(text.replace(_GOOD, _BAD))
        return self._commit(self._next_version(), title)

    def difference(self) -> str:
        """What the last commit changed in the health check."""
        shown = self._git("show", "--format=", "--unified=0", "HEAD", "--", "todos.js")
        return "\n".join(line for line in shown.splitlines() if re.match(r"[+-](?![+-])", line))

    def point(self, remote: str, url: str) -> None:
        """Sets a git remote."""
        known = self._git("remote").split()
        self._git("remote", "set-url" if remote in known else "add", remote, url)

    def _next_version(self) -> str:
        source = self.folder / "version.js"
        found = re.search(r'"(\d+)"', source.read_text()) if source.exists() else None
        return str(int(found[1]) + 1 if found else 1)

    def _commit(self, version: str, title: str) -> tuple[str, str]:
        (self.folder / "version.js").write_text(f'export const VERSION = "{version}";\n')
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", title)
        return version, self._git("rev-parse", "HEAD")

    def _git(self, *words: str) -> str:
        return self._programs.git(*words, folder=self.folder)
