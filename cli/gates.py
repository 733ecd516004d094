"""`slipway gates`: outside tools that deployments have to ask before a stage."""

from enum import StrEnum
from typing import Annotated

import typer

from cli.answers import Json
from cli.moments import seconds_of, span_of
from cli.requesting import request, settled
from cli.session import command, listing, session
from cli.subscribers import remove_tool, show_added, show_server_entry, show_tool
from cli.where import Environment, Project, place_of
from shared.contracts.gates import Before

Name = Annotated[str, typer.Argument(help="Its name.")]


class Verdict(StrEnum):
    """What a gate says."""

    PASS = "pass"  # noqa: S105 -- a verdict
    FAIL = "fail"


BEFORE = typer.Option(help="What waits: the build, anything on the target (deploy), or the traffic (switch: the environment is held).")
DEADLINE = typer.Option(help="How long an answer is waited for: 30s, 10m, 4h; before the switch 1h at most.")
DEFAULT = typer.Option(help="What counts where nobody answers.")
Organization = Annotated[str | None, typer.Option("--organization", "-o", help="The organization.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Outside tools (a scanner, a ticket, a service level check) that deployments have to ask before a stage.")
    app.add_typer(group, name="gates")
    listing(group, list_gates)
    for name, function in (
        ("add", add),
        ("show", show),
        ("change", change),
        ("password", password),
        ("answer", answer),
        ("remove", remove),
    ):
        command(group, name)(function)


def _path(organization: str | None, name: str = "") -> str:
    return f"/gates/{organization or session().settings.organization}{f'/{name}' if name else ''}"


def list_gates(
    project: Annotated[str | None, typer.Option("--project", "-p", help="[ORGANIZATION/]PROJECT; without it, all you may see.")] = None,
    environment: Annotated[str | None, typer.Option("--environment", "-e", help="Only those of this environment.")] = None,
    organization: Organization = None,
) -> None:
    """List gates."""
    place = place_of(project) if project or environment else None
    query = {"project": place.project if place else None, "environment": environment}
    found = list(session().api.items(_path(place.organization if place else organization), query))
    rows = [one | {"waits": span_of(round(one["deadline_s"])), "where": f"{one['project']}/{one['environment']}"} for one in found]
    columns = {"Name": "name", "Environment": "where", "Before": "before", "Waits": "waits", "Else": "default"}
    session().rows(rows, columns, "No gates.")


def add(
    name: Name,
    before: Annotated[Before, BEFORE],
    environment: Environment,
    project: Project = None,
    deadline: Annotated[str, DEADLINE] = "10m",
    default: Annotated[Verdict, DEFAULT] = Verdict.FAIL,
) -> None:
    """Have an environment's deployments ask a tool. Its password, which is its token over HTTP too, is shown once."""
    place = place_of(project)
    body: Json = {
        "name": name,
        "project": place.project,
        "environment": environment,
        "before": before,
        "deadline_s": seconds_of(deadline),
        "default": default,
    }
    made = session().api.post(_path(place.organization), body)
    more = {"Answers on": made["answers_subject"], "or over HTTP": made["answers_url"]}
    show_added(made, more, _path(place.organization, name))
    session().note("docs/gates.md has a tool to begin with.")


def show(name: Name, organization: Organization = None) -> None:
    """Show a gate, and how far its tool has read."""
    found = session().api.get(_path(organization, name))
    lines = {
        "Environment": f"{found['project']}/{found['environment']}",
        "Before": found["before"],
        "Waits": _waits(found),
        "Answers on": found["answers_subject"],
        "or over HTTP": found["answers_url"],
    }
    show_tool(found, lines)


def _waits(gate: Json) -> str:
    return f"{span_of(round(gate['deadline_s']))}, then: {gate['default']}"


def change(
    name: Name,
    before: Annotated[Before | None, BEFORE] = None,
    deadline: Annotated[str | None, DEADLINE] = None,
    default: Annotated[Verdict | None, DEFAULT] = None,
    organization: Organization = None,
) -> None:
    """Change what waits for it, how long, or what counts without an answer. Deployments that are there already ask it as it was."""
    said = (("before", before), ("deadline_s", None if deadline is None else seconds_of(deadline)), ("default", default))
    body = {name: value for name, value in said if value is not None}
    if not body:
        raise typer.BadParameter("say what shall change: --before, --deadline or --default")
    changed = session().api.patch(_path(organization, name), body)
    session().show(changed, f"{name} is asked before the {changed['before']}; deployments wait {_waits(changed)}.")


def password(name: Name, organization: Organization = None) -> None:
    """Give its tool a new password, which is its token over HTTP too; shown once. The former one holds no more."""
    made = session().api.post(f"{_path(organization, name)}/password")
    session().show(made, f"Password: {made['password']}")
    session().note("Copy the password to the tool now: it is not shown again. The former one holds no more.")
    show_server_entry(made)


def answer(
    name: Name,
    deployment: Annotated[str, typer.Argument(help="The deployment that waits for it.")],
    result: Annotated[Verdict, typer.Argument(help="What it says.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    organization: Organization = None,
) -> None:
    """Answer in the tool's place."""
    body: Json = {"deployment": deployment, "result": result, "reason": reason}
    settled(request(f"{_path(organization, name)}/answers", body))
    session().show({"gate": name, "deployment": deployment, "result": result}, f"{deployment}: gate {name}: {result}.")


def remove(name: Name, organization: Organization = None) -> None:
    """Ask it no more, and cut its tool off. Deployments that wait for it go on by its default at its deadline."""
    remove_tool(_path(organization, name))
