"""`slipway deliveries`: webhook requests of forges, and what was made of them."""

from datetime import datetime
from typing import Annotated

import typer
from rich.text import Text

from cli.answers import Json
from cli.session import command, listing, session

Organization = Annotated[str | None, typer.Option("--organization", "-o", help="The organization.")]
Delivery = Annotated[str, typer.Argument(help="Its id: slipway deliveries")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Webhook requests of forges: what came, what was made of it and why.")
    app.add_typer(group, name="deliveries")
    listing(group, list_deliveries)
    for name, function in (("show", show), ("redeliver", redeliver)):
        command(group, name)(function)


def _path(organization: str | None, delivery: str = "") -> str:
    base = f"/deliveries/{organization or session().settings.organization}"
    return f"{base}/{delivery}" if delivery else base


def list_deliveries(
    connection: Annotated[str | None, typer.Option("--connection", "-c", help="Of this connection only.")] = None,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="How many, the newest first.")] = 30,
    organization: Organization = None,
) -> None:
    """List deliveries, the newest first."""
    current = session()
    items = list(current.api.items(_path(organization), {"connection": connection} if connection else None, number))
    columns = {"Received": "received", "Connection": "connection", "Event": "event", "Id": "id", "Outcome": "outcome"}
    current.rows(items if current.as_json else [_row(item) for item in items], columns, "No deliveries.")


def show(delivery: Delivery, organization: Organization = None) -> None:
    """Show what came, what was made of it and why."""
    current = session()
    found = current.api.get(_path(organization, delivery))
    if current.as_json:
        current.show(found)
        return
    for title, value in _facts(found):
        current.out.print(Text.assemble((f"{title:<11}", "dim"), value))
    for change in found["changes"]:
        current.out.print(Text.assemble((f"{'Change':<11}", "dim"), _made_of(change)))
    current.out.print()
    for name, value in found["headers"].items():
        current.out.print(Text(f"{name}: {value}", style="dim"))
    current.out.print(Text(f"\n{found['body']}"))


def redeliver(delivery: Delivery, organization: Organization = None) -> None:
    """Have a delivery read again: what it says is deployed again, with your rights."""
    found = session().api.post(f"{_path(organization, delivery)}/redeliver")
    count = len(found["changes"])
    text = f"Read again: {count} new change{'s' if count != 1 else ''}." if count else "Read again: nothing to deploy."
    session().show(found, text)
    if found["reason"]:
        session().note(found["reason"])
    elif count:
        session().note(f"What became of it: slipway deliveries show {delivery}")


def _row(item: Json) -> Json:
    return {**item, "received": _moment(item["received_at"]), "outcome": _outcome(item)}


def _outcome(item: Json) -> str:
    """In one line: how many deployments, what is on its way, or why not."""
    deployments = sum(len(change["deployments"]) for change in item["changes"])
    waiting = sum(change["state"] == "pending" for change in item["changes"])
    said = [f"{deployments} deployment{'s' if deployments != 1 else ''}"] if deployments else []
    said += [f"{waiting} on the way"] if waiting else []
    reasons = [item["reason"], *(change["reason"] for change in item["changes"])]
    said += dict.fromkeys(reason for reason in reasons if reason)
    return "; ".join(said)


def _facts(found: Json) -> list[tuple[str, str]]:
    told = [
        ("Delivery", found["id"]),
        ("Received", _moment(found["received_at"])),
        ("Connection", f"{found['connection']} ({found['forge']}, project {found['project']})"),
        ("Event", found["event"]),
        ("Forge's id", found["key"]),
        ("Hook", found["hook"]),
        ("Size", "the body is forgotten" if found["size"] is None else f"{found['size']} bytes"),
        ("Reason", found["reason"] or ""),
    ]
    return [(title, value) for title, value in told if value]


def _made_of(change: Json) -> str:
    """A change and what became of it."""
    by = " (read again)" if change["found_by"] == "redelivery" else ""
    end = {"pending": "on its way", "ignored": f"ignored: {change['reason']}"}.get(change["state"], "")
    deployments = f"deployments {', '.join(change['deployments'])}" if change["deployments"] else "taken"
    return f"{change['ref']} at {change['commit'][:12]}{by}: {end or deployments}"


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
