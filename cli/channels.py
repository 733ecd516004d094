"""`slipway channels`: whom to tell what."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from cli.answers import Json
from cli.failures import Failed
from cli.moments import moment
from cli.session import command, listing, session

Name = Annotated[str, typer.Argument(help="Its name.")]
Organization = Annotated[str | None, typer.Option("--organization", "-o", help="The organization.")]


class Format(StrEnum):
    """What a webhook is told in."""

    EVENTS = "events"
    CDEVENTS = "cdevents"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Whom to tell what: webhooks, chat and mail, statuses on a forge.")
    app.add_typer(group, name="channels")
    listing(group, list_channels)
    for name, function in (
        ("add", add),
        ("token", token),
        ("rotate", rotate),
        ("finish-rotation", finish),
        ("attempts", attempts),
        ("again", again),
        ("remove", remove),
    ):
        command(group, name)(function)


def _organization(name: str | None) -> str:
    return name or session().settings.organization


def list_channels(organization: Organization = None) -> None:
    """List channels."""
    items = session().api.items(f"/channels/{_organization(organization)}")
    columns = {"Name": "name", "Kind": "kind", "Address": "url", "Project": "project", "Events": "events"}
    session().rows(items, columns, "No channels.")


def add(
    name: Name,
    kind: Annotated[str, typer.Argument(help="webhook, chat or forge")],
    url: Annotated[str, typer.Option(help="A webhook's address. A chat's (an apprise URL) holds a credential: use standard input.")] = "",
    project: Annotated[str | None, typer.Option("--project", "-p", help="Of one project only.")] = None,
    event: Annotated[list[str] | None, typer.Option(help="deployment.succeeded, deployment.*; the end of each where none.")] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="webhook: what it is told in. Of cdevents --event is pipelinerun.finished, build.*")
    ] = Format.EVENTS,
    forge: Annotated[str, typer.Option(help="forge: github, gitlab, bitbucket, bitbucket-data-center, gitea")] = "",
    repository: Annotated[str, typer.Option(help="forge: github.com/acme/todo")] = "",
    api_url: Annotated[str, typer.Option(help="forge: where its API is, if not at the usual place.")] = "",
    organization: Organization = None,
) -> None:
    """Add a channel. A chat's address and a forge's token are read from standard input."""
    body: Json = {"name": name, "kind": kind, "url": url, "project": project, "events": event or []}
    if format_ is not Format.EVENTS:
        body["format"] = format_
    if kind == "chat" and not url:
        body["url"] = _read("Address")
    if kind == "forge":
        body |= {"forge": forge, "repository": repository, "api_url": api_url, "secret": _read("Token")}
    made = session().api.post(f"/channels/{_organization(organization)}", body)
    if made["secret"]:
        _show_secret(made)
    else:
        session().show(made, f"{name} is added.")


def _show_secret(made: Json) -> None:
    session().show(made, f"Signing secret: {made['secret']}")
    session().note("Copy the secret to the receiver now: it is not shown again.")


def _read(what: str) -> str:
    found = str(typer.prompt(what, hide_input=True, err=True)) if sys.stdin.isatty() else sys.stdin.read().strip()
    if not found:
        raise Failed(f"The {what.lower()} is empty.", "Give it on standard input.", code="empty")
    return found


def token(name: Name, organization: Organization = None) -> None:
    """Give a forge's channel another token, from standard input. What waits for it is told at once."""
    session().api.patch(f"/channels/{_organization(organization)}/{name}", {"secret": _read("Token")})
    session().show({"changed": name}, f"{name} has another token.")


def rotate(
    name: Name,
    secret: Annotated[bool, typer.Option("--secret", help="Read the new secret (whsec_…) from standard input; else one is made.")] = False,
    organization: Organization = None,
) -> None:
    """Make a new signing secret for a webhook; until `finish-rotation` the former one signs, too."""
    body: Json | None = {"secret": _read("Secret")} if secret else None
    _show_secret(session().api.post(f"/channels/{_organization(organization)}/{name}/rotate", body))
    session().note(f"When the receiver takes it: slipway channels finish-rotation {name}")


def finish(name: Name, organization: Organization = None) -> None:
    """Sign with the newest secret only."""
    finished = session().api.post(f"/channels/{_organization(organization)}/{name}/finish-rotation")
    session().show(finished, f"{name} signs with the newest secret only.")


def attempts(
    channel: Annotated[str | None, typer.Argument(help="Of one channel only.")] = None,
    organization: Organization = None,
) -> None:
    """List every attempt to tell somebody, and whether it arrived."""
    items = session().api.items(f"/events/attempts/{_organization(organization)}", {"channel": channel})
    shown = [{"time": item["event"]["time"], **item["event"]["data"]} for item in items]
    columns = {"Time": "time", "Channel": "channel", "About": "about", "Attempt": "attempt", "Delivered": "delivered", "Error": "error"}
    session().rows(shown, columns, "No attempts.")


def again(
    name: Name,
    event: Annotated[str | None, typer.Option(help="The id of one event: slipway channels attempts.")] = None,
    since: Annotated[str | None, typer.Option(help="All from then on: 24h, 7d, or 2026-11-01T00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="And before then; before now where it is missing.")] = None,
    organization: Organization = None,
) -> None:
    """Have a webhook told again: of one event, or of all in a range of time."""
    body: Json = {"event": event, "since": moment(since) if since else None, "until": moment(until) if until else None}
    session().api.post(f"/channels/{_organization(organization)}/{name}/again", body)
    session().show({"again": name}, f"{name} is told again: slipway channels attempts {name}")


def remove(name: Name, organization: Organization = None) -> None:
    """Tell nobody through it any more."""
    session().api.delete(f"/channels/{_organization(organization)}/{name}")
    session().show({"removed": name}, f"{name} is removed.")
