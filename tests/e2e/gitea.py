"""A real Gitea: built once from its Go module and kept outside the checkout, run with a repository and people of the tests' own.

`python -m tests.e2e.gitea` builds it where it is not there yet: 12 minutes on 2 processors. Go and a C compiler are needed.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from shared.authorities import nobody
from tests.polling import until
from tests.stack import free_port

MODULE, VERSION = "code.gitea.io/gitea", "v1.26.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "slipway-tests" / f"gitea-{VERSION}"
PROGRAM = CACHE / "gitea"
_STATIC = ("options", "public", "templates")
_START_S = 60.0

_SETTINGS = """
RUN_MODE = prod
RUN_USER = {user}
WORK_PATH = {folder}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = {url}/
STATIC_ROOT_PATH = {static}
OFFLINE_MODE = true
START_SSH_SERVER = true
SSH_DOMAIN = 127.0.0.1
SSH_LISTEN_HOST = 127.0.0.1
SSH_PORT = {ssh_port}
SSH_LISTEN_PORT = {ssh_port}
[database]
DB_TYPE = sqlite3
[security]
INSTALL_LOCK = true
[webhook]
ALLOWED_HOST_LIST = loopback
[log]
LEVEL = warn
[actions]
ENABLED = false
[indexer]
ISSUE_INDEXER_TYPE = db
"""


def build() -> None:
    """Makes the program and what it serves from its module, as its own go.mod says (a replaced module counts in the main module only)."""
    go = shutil.which("go") or "/usr/local/go/bin/go"
    with tempfile.TemporaryDirectory(prefix="gitea-") as scratch:
        source, made = Path(scratch) / "source", Path(scratch) / "made"
        (Path(scratch) / "go.mod").write_text("module build\n")
        download = subprocess.run(
            [go, "mod", "download", "-json", f"{MODULE}@{VERSION}"], cwd=scratch, check=True, capture_output=True, text=True
        )
        shutil.copytree(Path(json.loads(download.stdout)["Dir"]), source, copy_function=shutil.copyfile)
        for folder in (source, *(path for path in source.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        flags = ("-trimpath", "-ldflags=-s -w", "-tags=sqlite sqlite_unlock_notify")
        subprocess.run(
            [go, "build", *flags, "-o", str(made / "gitea"), "."], cwd=source, check=True, env={**os.environ, "CGO_ENABLED": "1"}
        )
        for served in _STATIC:
            shutil.copytree(source / served, made / served)
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        beside = CACHE.with_name(f"{CACHE.name}.{os.getpid()}")
        shutil.move(made, beside)
        shutil.rmtree(CACHE, ignore_errors=True)
        beside.rename(CACHE)


@dataclass(frozen=True)
class Gitea:
    """A running server."""

    url: str
    ssh_port: int
    folder: Path

    def run(self, *words: str) -> list[str]:
        """A command of its own; the lines that it printed, warnings among them (it does not like to be root)."""
        command = [str(PROGRAM), "--config", str(self.folder / "app.ini"), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=_environment(self.folder)).stdout.splitlines()

    def person(self, name: str) -> "Person":
        """Somebody with an account."""
        self.run(
            "admin", "user", "create", "--username", name, "--email", f"{name}@example.com",
            "--password", secrets.token_urlsafe(), "--must-change-password=false",
        )  # fmt: skip
        words = ("admin", "user", "generate-access-token", "--username", name, "--token-name", "tests", "--raw")
        said = self.run(*words, "--scopes", "write:repository,write:issue,write:user")
        return Person(self, name, next(line for line in said if re.fullmatch("[0-9a-f]{40}", line)))


@dataclass(frozen=True)
class Person:
    """An account, and what its owner does."""

    gitea: Gitea
    name: str
    token: str

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The API, see https://docs.gitea.com/api/."""
        with httpx.Client(base_url=f"{self.gitea.url}/api/v1/", verify=nobody(), timeout=30) as http:
            answer = http.request(method, path, json=body, headers={"Authorization": f"token {self.token}"})
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def push(self, folder: Path, repository: str, *refs: str) -> None:
        """`git push --force`."""
        credential = ("-c", f"http.extraHeader=Authorization: token {self.token}")
        quiet = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        words: Sequence[str] = ("git", *credential, "push", "--quiet", "--force", f"{self.gitea.url}/{repository}.git", *refs)
        subprocess.run(words, cwd=folder, env=quiet, check=True)


@contextmanager
def running_gitea() -> Iterator[Gitea]:
    """Starts one that is empty; nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="gitea-") as scratch:
        folder, port, ssh_port = Path(scratch), free_port(), free_port()
        gitea = Gitea(f"http://127.0.0.1:{port}", ssh_port, folder)
        user = _environment(folder)["USER"]
        settings = _SETTINGS.format(user=user, folder=folder, port=port, url=gitea.url, ssh_port=ssh_port, static=CACHE)
        (folder / "app.ini").write_text(settings)
        with (folder / "output").open("w") as output:
            words = (str(PROGRAM), "--config", str(folder / "app.ini"), "web")
            with subprocess.Popen(words, env=_environment(folder), stdout=output, stderr=subprocess.STDOUT) as server:
                try:
                    until(lambda: _answers(gitea, server), within=_START_S, what="Gitea answers")
                    yield gitea
                finally:
                    server.terminate()


def _answers(gitea: Gitea, server: "subprocess.Popen[bytes]") -> bool:
    assert server.poll() is None, (gitea.folder / "output").read_text()
    try:
        return httpx.get(f"{gitea.url}/api/healthz", verify=nobody()).is_success
    except httpx.TransportError:
        return False


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "USER": os.environ.get("USER") or "root", "GITEA_WORK_DIR": str(folder)}


if __name__ == "__main__":
    if not PROGRAM.exists():
        build()
    sys.stdout.write(f"{PROGRAM}\n")
