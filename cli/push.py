"""`slipway push`: the checkout's branch to Slipway's own git remote, with the pipeline live; and git's credential helper."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from cli.answers import Json
from cli.failures import Failed
from cli.session import command, session
from cli.where import ENGLISH, REMOTE, Place, Project, checkout, git, place_of

if TYPE_CHECKING:
    from cli.client import Api

_NOBODY_FOLLOWS = "No environment follows"
"""What the remote says where nothing will be deployed."""
_LATER = "Look later: slipway deployments"
_PAGES_WITHIN_S = 3.0
_UP_TO_DATE = "Everything up-to-date"
_REFUSED = "returned error: 403"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    command(app, "push")(push)
    command(app, "credential", hidden=True, json_option=False)(credential)


def push(
    project: Project = None,
    environment: Annotated[str | None, typer.Option("--environment", "-e", help="Made if it is missing; it follows the branch.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Let the branch there go where it is here.")] = False,
) -> None:
    """Push the current branch and watch the pipeline. Project, environment and git remote are made where they are missing."""
    from cli.live import follow

    current = session()
    root = checkout()
    branch = git("symbolic-ref", "--short", "HEAD", folder=root)
    commit = git("rev-parse", "--verify", "HEAD", folder=root)
    if branch is None:
        raise Failed("HEAD is on no branch.", "Make one: git switch -c main")
    if commit is None:
        raise Failed(f"{branch} has no commit yet.", "Make one: git add . && git commit")
    place = place_of(project)
    prepare(current.api, place, environment, branch)
    add_remote(root, place, current.settings.base_url)
    before = {found["id"] for found in of_commit(current.api, place, commit)}
    sent = _push(root, branch, force=force)
    started = _started(current.api, place, commit, before, settled=_settled(sent, branch))
    pages = [_ended(current.api, found["id"]) or follow(found["id"], logs=False) for found in started]
    _finish(place, branch, commit, sent, pages)


def _settled(sent: str, branch: str) -> bool:
    """Whether the remote has said that nothing will be deployed: as it is there already, nobody follows, or it is left out."""
    told = [line.removeprefix("remote:").strip() for line in sent.splitlines()]
    return _UP_TO_DATE in sent or any(line.startswith((_NOBODY_FOLLOWS, f"{branch}: ")) for line in told)


def _started(api: "Api", place: Place, commit: str, before: set[str], *, settled: bool) -> list[Json]:
    """The deployments that came of the push. Their pages may come a moment after git has told of them."""
    deadline = time.monotonic() + _PAGES_WITHIN_S
    while True:
        started = [found for found in of_commit(api, place, commit) if found["id"] not in before]
        if started or settled or time.monotonic() > deadline:
            return started
        time.sleep(0.1)


def _ended(api: "Api", deployment: str) -> Json | None:
    """Its page where it has ended, which git has told of a moment ago; None where it goes on without git."""
    deadline = time.monotonic() + _PAGES_WITHIN_S
    while time.monotonic() < deadline:
        page = api.get_on(f"/deployments/{deployment}", _LATER)
        if page["deployment"]["ended_at"] is not None:
            return page
        time.sleep(0.1)
    return None


def _finish(place: Place, branch: str, commit: str, sent: str, pages: list[Json]) -> None:
    current = session()
    deployments = [page["deployment"] for page in pages]
    if current.as_json:
        current.show({"project": str(place), "branch": branch, "commit": commit, "deployments": deployments})
    elif not pages and _UP_TO_DATE in sent:
        current.note(f"{branch} is there already. Deploy it once more: slipway deploy --again")
    elif _NOBODY_FOLLOWS in sent:
        current.note(f"No environment follows {branch}. Make one: slipway environment create NAME --ref {branch}")
    if not pages and not _settled(sent, branch):
        raise Failed("The push is kept, but no deployment has begun yet.", _LATER, code="not-taken")
    bad = [page for page in deployments if page["state"] != "succeeded"]
    if bad:
        states = ", ".join(f"{page['environment']}: {page['state'].replace('_', ' ')}" for page in bad)
        raise Failed(states, f"Why: slipway explain {bad[0]['id']}")


def prepare(api: "Api", place: Place, environment: str | None, branch: str) -> None:
    """Makes the project, and an environment where there is none (or not the named one), which follows the branch."""
    said = session().note
    if api.find(f"/projects/{place.organization}/{place.project}") is None:
        api.post(f"/projects/{place.organization}", {"slug": place.project})
        said(f"Made the project {place}.")
    path = f"/environments/{place.organization}/{place.project}"
    there = {item["slug"] for item in api.items(path)}
    wanted = environment or ("production" if not there else None)
    if wanted is not None and wanted not in there:
        kind = wanted if wanted in ("development", "staging", "production", "preview") else "development"
        made = api.post(path, {"slug": wanted, "kind": kind, "ref": f"refs/heads/{branch}"})
        said(f"Made the environment {wanted}, which follows {made['ref']}.")


def add_remote(root: Path, place: Place, base_url: str) -> None:
    """Adds the git remote, and has git ask `slipway credential` for its token: neither addresses nor arguments hold it."""
    url = f"{base_url}/git/{place}.git"
    known = git("config", "--get", f"remote.{REMOTE}.url", folder=root)
    if known is None:
        git("remote", "add", REMOTE, url, folder=root)
    elif known != url:
        git("remote", "set-url", REMOTE, url, folder=root)
    key = f"credential.{base_url}.helper"
    git("config", "--local", "--unset-all", key, folder=root)
    git("config", "--local", "--add", key, "", folder=root)  # forgets helpers that would store the token
    git("config", "--local", "--add", key, f"!{helper()}", folder=root)


def helper() -> str:
    """How git calls this program."""
    program = shutil.which(sys.argv[0]) if Path(sys.argv[0]).name == "slipway" else None
    words = [str(Path(program).absolute())] if program else [sys.executable, "-m", "cli.main"]
    return shlex.join([*words, "credential"])


def of_commit(api: "Api", place: Place, commit: str) -> list[Json]:
    """The newest deployments of a commit."""
    found = api.get_on("/deployments", _LATER, {"organization": place.organization, "project": place.project, "limit": 50})
    return [item for item in found["items"] if item["commit"] == commit]


def _push(root: Path, branch: str, *, force: bool) -> str:
    """Pushes; git's own output, with the pipeline in it, goes to standard error as it comes. Answers what it said."""
    words = [
        "git",
        "push",
        *(["--progress"] if sys.stderr.isatty() else []),
        *(["--force-with-lease"] if force else []),
        REMOTE,
        f"HEAD:refs/heads/{branch}",
    ]
    environment = {**os.environ, **ENGLISH, "GIT_TERMINAL_PROMPT": "0"}
    said: list[str] = []
    with subprocess.Popen(words, cwd=root, env=environment, stdout=sys.stderr, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while part := os.read(process.stderr.fileno(), 4096):
            text = part.decode("utf-8", "replace")
            said.append(text)
            if not session().as_json:
                sys.stderr.write(text)
                sys.stderr.flush()
    if process.returncode != 0:
        whole = "".join(said)
        reason = next((line.strip() for line in reversed(whole.splitlines()) if "fatal" in line or "rejected" in line), "see above")
        remedy = (
            "Take in what is there (git pull --rebase slipway), or push with --force."
            if "[rejected]" in whole
            else "See what is wrong: slipway status"
        )
        refused = [line for line in whole.splitlines() if line.startswith("remote: ")] if _REFUSED in whole else []
        if refused:
            reason, remedy = refused[-1].removeprefix("remote: ").strip(), "Ask an admin for a role: slipway people grant"
        raise Failed(f"git push failed: {reason}", remedy)
    return "".join(said)


def credential(operation: Annotated[str, typer.Argument()]) -> None:
    """Speak git's credential protocol (gitcredentials(7)): answer with the token for the platform's address, and for no other."""
    from cli.client import address_of, token_of

    asked = dict(line.strip().partition("=")[::2] for line in sys.stdin if "=" in line)
    own = urlsplit(address_of(session().settings))
    if operation != "get" or (asked.get("protocol"), asked.get("host")) != (own.scheme, own.netloc):
        return
    print(f"username=slipway\npassword={token_of(session().settings)}")
