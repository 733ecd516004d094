"""A deployment as it goes on, on the terminal."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import httpx
from rich.console import Console
from rich.text import Text

from cli.answers import Json
from cli.client import RETURNS, Api, check, pause
from cli.failures import Away, Failed
from cli.session import session
from shared.contracts.events import Event
from shared.narration import Line, LineKind, Narrator
from shared.plain import PlainText

_STYLES = {
    LineKind.HEADING: "bold",
    LineKind.STAGE: "bold cyan",
    LineKind.DONE: "green",
    LineKind.RETRIED: "yellow",
    LineKind.FAILED: "red",
    LineKind.LOG: "dim",
    LineKind.DETAIL: "",
    LineKind.NOTE: "yellow",
    LineKind.WAITING: "yellow",
    LineKind.BACK: "bold magenta",
    LineKind.UNDONE: "magenta",
    LineKind.UNDO_FAILED: "bold red",
    LineKind.SUCCEEDED: "bold green",
    LineKind.ADDRESS: "bold underline",
    LineKind.ENDED: "bold red",
    LineKind.HINT: "cyan",
}
_GOES_ON = "The deployment goes on without you. Look again later: slipway deployments"


@dataclass(frozen=True)
class Sent:
    """One server-sent event."""

    event: str
    data: str


def sent(api: Api, path: str) -> Iterator[Sent]:
    """The events of a deployment's stream, to `end`; where it breaks off before, it goes on behind the last one."""
    last, failures = "", 0
    while True:
        why = "it ended too early"
        try:
            with api.stream(path, last) as response:
                check(response)
                for item_id, item in _parsed(response.iter_lines()):
                    last, failures = item_id or last, 0
                    yield item
                    if item.event == "end":
                        return
        except (httpx.TransportError, Away) as error:
            why = str(error)
        failures += 1
        if failures > RETURNS:
            raise Failed(f"The stream from {api.url} broke off: {why}", _GOES_ON)
        pause(failures)


def _parsed(lines: Iterator[str]) -> Iterator[tuple[str, Sent]]:
    """WHATWG HTML, 9.2.6."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
            continue
        if "data" in fields:
            yield fields.get("id", ""), Sent(fields.get("event", "message"), fields["data"])
        fields = {}


def follow(deployment: str, *, logs: bool = True) -> Json:
    """Shows a deployment until it ends, and answers its page. Leaving with Ctrl-C stops nothing."""
    current = session()
    drawing = _Drawing(current.out, deployment, quiet=current.as_json, logs=logs)
    try:
        with drawing:
            for item in sent(current.api, f"/deployments/{deployment}/stream"):
                drawing.take(item)
                if drawing.narrator.ended and _page(current.api, deployment)["deployment"]["state"] == drawing.narrator.outcome:
                    break  # else it was stuck once, and went on
    except KeyboardInterrupt:
        current.err.print(f"\nThe deployment goes on. Follow it again: slipway logs -f {deployment}")
        raise
    return _page(current.api, deployment)


def _page(api: Api, deployment: str) -> Json:
    """It is made in the same transaction that stores the event: it is there when the event is."""
    return api.get_on(f"/deployments/{deployment}", f"See how it went: slipway deployments show {deployment}")


class _Drawing:
    def __init__(self, console: Console, deployment: str, *, quiet: bool, logs: bool) -> None:
        self.narrator = Narrator(deployment)
        self._console = console
        self._plain = PlainText()
        self._quiet = quiet
        self._logs = logs
        self._running: dict[str, str] = {}
        self._status = console.status("") if console.is_terminal and not quiet else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def take(self, item: Sent) -> None:
        """Draws what an event or a log line tells."""
        if item.event == "event":
            lines = self.narrator.event(Event.decode(item.data))
        elif item.event == "log" and self._logs:
            line = json.loads(item.data)
            lines = (self.narrator.log(line["step"], line["text"]),)
        else:
            lines = ()
        for drawn in lines:
            self._draw(drawn)
        self._spin()

    def _draw(self, line: Line) -> None:
        if line.kind in (LineKind.STARTED, LineKind.UNDOING):
            self._running[line.step or ""] = line.text
        elif line.kind in (LineKind.DONE, LineKind.FAILED, LineKind.UNDONE, LineKind.UNDO_FAILED):
            self._running.pop(line.step or "", None)
        elif line.kind in (LineKind.SUCCEEDED, LineKind.ENDED, LineKind.BACK):
            self._running.clear()
        if self._quiet:
            return
        for text in self._plain.draw(line, time.monotonic()):
            self._console.print(Text(text, style=_STYLES.get(line.kind, "")))

    def _spin(self) -> None:
        if self._status is None:
            return
        if self._running:
            self._status.update(Text(" · ".join(self._running.values())))
            self._status.start()
        else:
            self._status.stop()
