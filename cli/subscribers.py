"""`slipway subscribers`: outside tools that read events from the bus."""

import time
from typing import Annotated

import typer

from cli.answers import Json
from cli.moments import moment
from cli.patience import patience
from cli.session import command, listing, session

Name = Annotated[str, typer.Argument(help="Its name.")]
Organization = Annotated[str | None, typer.Option("--organization", "-o", help="The organization.")]

_READY_S = 15.0


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Outside tools that read events from the bus: each as a user of its own that may read one filtered consumer.")
    app.add_typer(group, name="subscribers")
    listing(group, list_subscribers)
    for name, function in (("add", add), ("show", show), ("remove", remove)):
        command(group, name)(function)


def _path(organization: str | None, name: str = "") -> str:
    return f"/subscribers/{organization or session().settings.organization}{f'/{name}' if name else ''}"


def list_subscribers(organization: Organization = None) -> None:
    """List subscribers."""
    columns = {"Name": "name", "Stream": "stream", "Filters": "filters", "Since": "starts_at"}
    session().rows(session().api.items(_path(organization)), columns, "No subscribers.")


def add(
    name: Name,
    filters: Annotated[
        list[str], typer.Option("--filter", help="slipway.evt.<org>.> or cdevents.<org>.>, or narrower. Again for further ones.")
    ],
    since: Annotated[
        str | None, typer.Option(help="Read from then on: 24h, 7d, or 2026-11-01T00:00Z. From now on where it is missing.")
    ] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="Read all that is kept: 30 days.")] = False,
    organization: Organization = None,
) -> None:
    """Let a tool read events. Its password is shown once."""
    body: Json = {"name": name, "filters": filters, "since": moment(since) if since else None, "from_start": from_start}
    made = session().api.post(_path(organization), body)
    show_added(made, {}, _path(organization, name))
    session().note("docs/events.md has clients to begin with.")


def show_added(made: Json, more: dict[str, str], path: str) -> None:
    """What a new tool is given, with its password, which is shown this once; returns when it can read. `path`: where the API has it."""
    connection = made["connection"]
    lines = {
        "Server": connection["url"],
        "User": connection["user"],
        "Password": made["password"],
        "Stream": connection["stream"],
        "Consumer": connection["consumer"],
        "Inbox prefix": connection["inbox_prefix"],
    }
    session().show(made, "\n".join(f"{title + ':':<14}{value}" for title, value in (lines | more).items()))
    session().note("Copy the password to the tool now: it is not shown again.")
    if made["server_entry"]:
        show_server_entry(made)
    elif not _becomes_ready(path):
        kind = path.split("/")[1]
        session().note(f"It cannot read yet: `slipway {kind} show {made['name']}` says when it can, `slipway status` what is not well.")


def show_server_entry(tool: Json) -> None:
    """What the operator of a bus has to do that is not Slipway's own; nothing where it is."""
    if tool["server_entry"]:
        session().note(
            "This bus is not Slipway's own: its operator adds this to authorization.users in place of a former entry of this user, and "
            "reloads it (nats-server --signal reload)."
        )
        session().note(tool["server_entry"])


def _becomes_ready(path: str) -> bool:
    with patience("until it can read"):
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            if session().api.get_on(path, "It is added, and its password holds.")["ready"]:
                return True
            time.sleep(0.1)
    return False


def show(name: Name, organization: Organization = None) -> None:
    """Show a subscriber, and how far it has read."""
    found = session().api.get(_path(organization, name))
    lines = {
        "Filters": ", ".join(found["filters"]),
        "Since": found["starts_at"] or "the start of the stream",
    }
    show_tool(found, lines)


def show_tool(found: Json, lines: dict[str, str]) -> None:
    """A tool on the bus: what there is to say of it, whom it is there, and how far it has read."""
    connection = found["connection"]
    lines = lines | {
        "Server": connection["url"],
        "User": connection["user"],
        "Consumer": f"{connection['consumer']} on {connection['stream']}",
        "Inbox prefix": connection["inbox_prefix"],
        "Can read": "yes" if found["ready"] else "no: the bus has no consumer for it, or does not say",
    }
    if found["ready"]:
        lines |= {"Waiting": str(found["waiting"]), "Not acknowledged": str(found["unacknowledged"])}
    session().show(found, "\n".join(f"{title + ':':<18}{value}" for title, value in lines.items()))


def remove(name: Name, organization: Organization = None) -> None:
    """Cut a tool off: its connections are closed, and what it has not read is not kept for it."""
    remove_tool(_path(organization, name))


def remove_tool(path: str) -> None:
    """Takes a tool off the bus."""
    found = session().api.get(path)
    session().api.delete(path)
    session().show({"removed": found["name"]}, f"{found['name']} is removed.")
    if found["server_entry"]:
        session().note(
            f"It can read nothing any more. The bus is not Slipway's own: its operator takes the user {found['connection']['user']} out."
        )
