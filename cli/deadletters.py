"""`slipway deadletters`: messages that a service gave up."""

from datetime import datetime
from typing import Annotated

import typer
from rich.text import Text

from cli.answers import Json
from cli.failures import Failed
from cli.session import command, listing, session

Letter = Annotated[int, typer.Argument(min=1, help="Its number: slipway deadletters")]
Letters = Annotated[list[int], typer.Argument(min=1, help="Their numbers: slipway deadletters")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Messages that a service gave up: look, send again, drop.")
    app.add_typer(group, name="deadletters")
    listing(group, list_letters)
    for name, function in (("show", show), ("retry", retry), ("drop", drop)):
        command(group, name)(function)


def list_letters(everything: Annotated[bool, typer.Option("--all", "-a", help="Also those retried and dropped.")] = False) -> None:
    """List those that wait for a person, the oldest first."""
    current = session()
    items = list(current.api.items("/deadletters", None if everything else {"state": "dead"}))
    rows = [_row(item) for item in items] if not current.as_json else items
    columns = {
        "No": "position",
        "State": "state",
        "Reader": "reader",
        "Message": "what",
        "Times": "times",
        "Last": "last",
        "Reason": "reason",
    }
    current.rows(rows, columns, "No dead letters." if everything else "No dead letters wait.")
    if items:
        current.note("Look at one: slipway deadletters show NO · mend the cause, then: retry NO, or drop NO")


def show(letter: Letter) -> None:
    """Show one with its message; what could be a secret in it is not shown."""
    current = session()
    found = current.api.get(f"/deadletters/{letter}")
    if current.as_json:
        current.show(found)
        return
    for title, value in _facts(found):
        current.out.print(Text.assemble((f"{title:<9}", "dim"), value))
    for name, value in found["headers"].items():
        current.out.print(Text(f"{name}: {value}", style="dim"))
    current.out.print(Text(f"\n{found['body']}"))


def retry(letters: Letters) -> None:
    """Send messages again, each to the reader that gave it up. Mend the cause first."""
    _each(letters, "retry", "Sent again")
    session().note("One that is given up again waits here again: slipway deadletters")


def drop(letters: Letters) -> None:
    """Give messages up for good. They stay in the list with --all."""
    _each(letters, "drop", "Dropped")


def _each(letters: list[int], verb: str, done: str) -> None:
    """One after the other; where one is refused the others are done all the same, and then it is told."""
    items: list[Json] = []
    refusals: list[Failed] = []
    for letter in letters:
        try:
            items.append(session().api.post(f"/deadletters/{letter}/{verb}"))
        except Failed as failed:
            refusals.append(failed)
    if items:
        session().show({"items": items}, f"{done}: {', '.join(str(item['position']) for item in items)}.")
    if refusals:
        first = refusals[0]
        raise Failed("\n".join(refusal.message for refusal in refusals), first.remedy, code=first.code)


def _row(item: Json) -> Json:
    return {**item, "reader": item["durable"] or item["service"], "what": _what(item), "last": _moment(item["last_at"])}


def _what(item: Json) -> str:
    """`ImageBuilt`, where it says so."""
    name = str(item["type"]).removeprefix("slipway.")
    return name or str(item["subject"])


def _facts(found: Json) -> list[tuple[str, str]]:
    decided = f" {_moment(found['decided_at'])}" if found["decided_at"] else ""
    times = f"{found['times']} times, the last {_moment(found['last_at'])}" if found["times"] > 1 else _moment(found["received_at"])
    told = [
        ("Letter", str(found["position"])),
        ("State", found["state"] + decided + (f", {found['retries']} retries" if found["retries"] > 1 else "")),
        ("Service", found["service"]),
        ("Reader", found["durable"]),
        ("Subject", found["subject"]),
        ("Given up", times),
        ("Reason", found["reason"]),
        ("Retry", f"not possible: {found['obstacle']}" if found["obstacle"] else ""),
    ]
    return [(title, value) for title, value in told if value]


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
