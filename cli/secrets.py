"""`slipway secret`: values that are listed by name only."""

import sys
from typing import Annotated

import typer

from cli.failures import Failed
from cli.session import command, listing, session
from cli.where import Environment, Project, environment_path, place_of

Name = Annotated[str, typer.Argument(help="Its name, which is the variable's that a container gets.")]
Whole = Annotated[bool, typer.Option("--whole-project", help="For all environments that have none of their own.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Secrets of a project and its environments.")
    app.add_typer(group, name="secret")
    listing(group, list_secrets)
    for name, function in (("set", set_secret), ("reveal", reveal), ("unset", unset)):
        command(group, name)(function)


def _path(project: str | None, environment: str, *, whole: bool) -> str:
    place = place_of(project)
    base = f"/projects/{place.organization}/{place.project}" if whole else environment_path(place, environment)
    return f"{base}/secrets"


def set_secret(name: Name, project: Project = None, environment: Environment = "production", whole: Whole = False) -> None:
    """Set a secret to what standard input holds, or to what is asked for. It is never an argument."""
    value = typer.prompt("Value", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read().removesuffix("\n")
    if not value:
        raise Failed("The value is empty.", f"Give it on standard input: slipway secret set {name} < file")
    stored = session().api.put(f"{_path(project, environment, whole=whole)}/{name}", {"value": value})
    session().show(stored, f"{name} has version {stored['version']} now.")
    session().note("It holds from the next deployment on: slipway deploy --again")


def list_secrets(project: Project = None, environment: Environment = "production", whole: Whole = False) -> None:
    """List names and versions; the audit log has who set them."""
    items = session().api.items(_path(project, environment, whole=whole))
    session().rows(items, {"Name": "name", "Version": "version", "Since": "created_at"}, "No secrets.")


def reveal(
    name: Name,
    project: Project = None,
    environment: Environment = "production",
    whole: Whole = False,
    version: Annotated[int | None, typer.Option(help="A former version.")] = None,
) -> None:
    """Print a secret's value. The audit log tells that you did."""
    body = {"version": version}
    found = session().api.post(f"{_path(project, environment, whole=whole)}/{name}/reveal", body)
    if session().as_json:
        session().show(found)
    else:
        print(found["value"])


def unset(name: Name, project: Project = None, environment: Environment = "production", whole: Whole = False) -> None:
    """Give it to no new release. Former versions stay sealed for roll-backs."""
    session().api.delete(f"{_path(project, environment, whole=whole)}/{name}")
    session().show({"unset": name}, f"{name} is given to no new release.")
