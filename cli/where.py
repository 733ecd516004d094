"""Which project and environment a command is about: options, else the checkout that it runs in."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from cli.answers import Json
from cli.failures import Failed
from cli.session import session
from shared.printable import printable

Project = Annotated[str | None, typer.Option("--project", "-p", help="[ORGANIZATION/]PROJECT; without it, that of the checkout.")]
Environment = Annotated[str, typer.Option("--environment", "-e", help="The environment.")]
REMOTE = "slipway"
ENGLISH = {"LANGUAGE": "en"}
"""What git says is read, too."""


@dataclass(frozen=True)
class Place:
    """One project, by its slugs."""

    organization: str
    project: str

    def __str__(self) -> str:
        return f"{self.organization}/{self.project}"


def git(*arguments: str, folder: Path | None = None) -> str | None:
    """What git says; None where it says no. Raises where it says nothing of a checkout because that is somebody else's."""
    words, english = ["git", *arguments], {**os.environ, **ENGLISH}
    try:
        done = subprocess.run(words, cwd=folder, env=english, capture_output=True, text=True, errors="surrogateescape", check=False)
    except FileNotFoundError as error:
        raise Failed("git is not installed.", "Install it: apt-get install git") from error
    if "detected dubious ownership" in done.stderr:
        what = "This checkout is somebody else's, so git does not look into it."
        raise Failed(what, f"Are you sure of it: {done.stderr.splitlines()[-1].strip()}", code="not-trusted")
    return done.stdout.strip() if done.returncode == 0 else None


def checkout() -> Path:
    """The root of the checkout that the command runs in."""
    root = git("rev-parse", "--show-toplevel")
    if root is None:
        raise Failed("This is in no git checkout.", "Change into one, or make one: git init")
    return Path(root)


def slug_of(name: str) -> str:
    """A name as a slug: `My Shop_2` → `my-shop-2`."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    if not slug:
        raise Failed(f"No project name can be made of {name!r}.", "Name it: --project NAME")
    return slug


def place_of(project: str | None) -> Place:
    """The project that is named, else the one that the checkout's remote `slipway` names, else the checkout's folder."""
    if project:
        organization, named, slug = project.rpartition("/")
        if not slug or "/" in organization or bool(named) is not bool(organization):
            raise typer.BadParameter(f"{project} is no [ORGANIZATION/]PROJECT")
        return Place(organization or session().settings.organization, slug)
    url = git("config", "--get", f"remote.{REMOTE}.url")
    if url:
        parts = urlsplit(url).path.removesuffix(".git").split("/")
        if len(parts) >= 2 and all(parts[-2:]):
            return Place(parts[-2], parts[-1])
    root = git("rev-parse", "--show-toplevel")
    if root is None:
        raise Failed("This is in no git checkout, and no project is named.", "Name it: --project NAME")
    return Place(session().settings.organization, slug_of(Path(root).name))


def environment_path(place: Place, environment: str) -> str:
    """Its path in the API."""
    return f"/environments/{place.organization}/{place.project}/{environment}"


def newest_deployment(place: Place, environment: str | None) -> str:
    """The id of the newest deployment there."""
    query = {"organization": place.organization, "project": place.project, "environment": environment}
    for found in session().api.items("/deployments", query, most=1):
        return str(found["id"])
    where = f"{place}/{environment}" if environment else str(place)
    raise Failed(f"Nothing was deployed to {where} yet.", "Deploy: slipway push")


def only_deployment(place: Place, environment: str | None, states: Sequence[str], what: str) -> Json:
    """The one deployment there that is in one of these states; `what` says what it is wanted for. Raises where there is none, or several."""
    query = {"organization": place.organization, "project": place.project, "environment": environment}
    found = {item["id"]: item for state in states for item in session().api.items("/deployments", {**query, "state": state})}
    if len(found) == 1:
        return found.popitem()[1]
    where = f"{place}/{environment}" if environment else str(place)
    if not found:
        raise Failed(f"There is nothing to {what} in {where}.", "See what there is: slipway deployments", code="none")
    lines = "".join(f"\n  {_line(item)}" for item in found.values())
    raise Failed(f"There are several to {what} in {where}:{lines}", f"Name one: slipway {what} ID", code="several")


def _line(item: Json) -> str:
    reason = f" for {printable(item['waiting_for'])}" if item["waiting_for"] else ""
    return f"{item['id']}  {item['environment']}: {item['state']}{reason}, {(item['commit'] or '')[:8]} {printable(item['title'])[:60]}"
