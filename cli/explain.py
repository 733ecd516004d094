"""`slipway explain`: why a deployment went as it did."""

import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.answers import Json
from cli.session import command, session
from cli.where import Project, newest_deployment, place_of

if TYPE_CHECKING:
    from cli.causes import Row

_MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "undone": ("↩", "magenta"), "running": ("●", "cyan"), "plain": ("·", "dim")}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "explain")(explain)


def explain(
    deployment: Annotated[str | None, typer.Argument(help="Its id; without it, the newest of the checkout's project.")] = None,
    project: Project = None,
) -> None:
    """Print what caused what, with times: each event under its cause, failures with the log's end, and what was undone."""
    from cli.causes import rows
    from shared.contracts.events import Event

    current = session()
    found = deployment or newest_deployment(place_of(project), None)
    page: Json = current.api.get(f"/deployments/{found}")
    events = [Event.model_validate(item) for item in current.api.items(f"/deployments/{found}/events")]
    tree = rows(events)
    if current.as_json:
        current.show({"deployment": page["deployment"], "tree": [asdict(row) for row in tree]})
        return
    draw(current.out, page["deployment"], tree)


def draw(console: Console, deployment: Json, tree: "list[Row]") -> None:
    """The tree for a person: seconds since the start, mark, what, how long."""
    from shared.plain import duration
    from shared.printable import printable

    state = deployment["state"].replace("_", " ")
    took = f" in {duration(deployment['seconds'])}" if deployment["seconds"] is not None else ""
    console.print(Text(f"{deployment['project']}/{deployment['environment']}  {deployment['id']}: {state}{took}", style="bold"))
    for row in tree:
        mark, style = _MARKS[row.state]
        indent = "  " * row.depth
        line = Text.assemble((f"{row.at:8.2f}s  ", "dim"), indent, (mark, style), " ", printable(row.text))
        if row.took is not None:
            line.append(f"  {duration(row.took)}", style="dim")
        console.print(line)
        margin = " " * 11 + indent + "  "
        for detail in row.details:
            for part in textwrap.wrap(printable(detail), max(console.width - len(margin), 40), break_on_hyphens=False) or [""]:
                console.print(Text(margin + part, style="red" if row.state == "failed" else "dim"))
        for tail in row.log_tail:
            console.print(Text(f"{margin}│ {printable(tail)}", style="dim"))
