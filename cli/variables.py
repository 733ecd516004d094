"""`slipway env`: variables of environments and services."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.failures import Failed
from cli.session import command, listing, session
from cli.where import Environment, Project, environment_path, place_of

Service = Annotated[str | None, typer.Option("--service", "-s", help="Of one service; without it, of the whole environment.")]
HOLDS = "It holds from the next deployment on: slipway deploy --again"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Variables of an environment and its services.")
    app.add_typer(group, name="env")
    listing(group, list_variables)
    for name, function in (("set", set_variables), ("unset", unset_variables), ("import", import_variables)):
        command(group, name)(function)


def list_variables(project: Project = None, environment: Environment = "production", service: Service = None) -> None:
    """List variables."""
    path = f"{environment_path(place_of(project), environment)}/variables"
    items = session().api.items(path, {"service": service})
    session().rows(items, {"Service": "service", "Name": "name", "Value": "value", "Version": "version"}, "No variables.")


def set_variables(
    assignments: Annotated[list[str], typer.Argument(help="NAME=VALUE …")],
    project: Project = None,
    environment: Environment = "production",
    service: Service = None,
) -> None:
    """Set variables; all or none."""
    values: dict[str, str | None] = {}
    for assignment in assignments:
        name, is_one, value = assignment.partition("=")
        if not is_one:
            raise typer.BadParameter(f"{assignment} is no NAME=VALUE")
        values[name] = value
    _change(values, project, environment, service)


def unset_variables(
    names: Annotated[list[str], typer.Argument(help="NAME …")],
    project: Project = None,
    environment: Environment = "production",
    service: Service = None,
) -> None:
    """Unset variables."""
    _change(dict.fromkeys(names), project, environment, service)


def import_variables(
    file: Annotated[str, typer.Argument(help="A file of NAME=VALUE lines; - reads standard input.")] = "-",
    project: Project = None,
    environment: Environment = "production",
    service: Service = None,
) -> None:
    """Set the variables that a file holds (comments, `export` and quotes are understood); all or none."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{file} cannot be read: {error}") from error
    _change(dict(parsed(text)), project, environment, service)


def parsed(text: str) -> dict[str, str]:
    """The variables of a file in the form that shells and dotenv files share. Nothing is expanded."""
    values = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip().removeprefix("export ").strip()
        if not line or line.startswith("#"):
            continue
        name, is_one, value = line.partition("=")
        if not is_one or not name.strip():
            raise Failed(f"Line {number} is no NAME=VALUE: {raw.strip()[:60]}")
        values[name.strip()] = _unquoted(value.strip())
    return values


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
    return value.partition(" #")[0].rstrip()


def _change(values: dict[str, str | None], project: str | None, environment: str, service: str | None) -> None:
    path = f"{environment_path(place_of(project), environment)}/variables"
    done = session().api.patch(path, {"values": values}, {"service": service})
    changed = ", ".join(done["changed"])
    session().show(done, f"Changed: {changed}" if changed else "Nothing changed: the values are as they were.")
    if changed:
        session().note(HOLDS)
