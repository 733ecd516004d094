"""Narration as plain text, for where a line that was written cannot be written again: the git remote, a pipe, a file."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.narration import Line, LineKind

WIDTH = 56
"""Where the seconds stand, as columns from the left."""
LONGEST = 72
"""Columns of a line; git puts `remote: ` before it, and a terminal has 80. Logs and addresses stay whole."""
_TIMED = {
    LineKind.DONE: "✓",
    LineKind.FAILED: "✗",
    LineKind.UNDONE: "↩",
    LineKind.UNDO_FAILED: "✗",
}
_SIMPLE = {
    LineKind.RETRIED: "    ↻ ",
    LineKind.DETAIL: "      ",
    LineKind.NOTE: "    ! ",
    LineKind.WAITING: "    … ",
    LineKind.ADDRESS: "    ",
    LineKind.HINT: "    → ",
}


@dataclass
class PlainText:
    """Draws lines. A step's start is written only once it has something to show: a log line, or a wait."""

    _announced: set[str | None] = field(default_factory=set)
    _running: dict[str, tuple[str, float]] = field(default_factory=dict)
    _blank: bool = False
    _stage: str = ""
    _shown_stage: str = ""

    def draw(self, line: Line, now: float = 0.0) -> Iterator[str]:
        """The text of a line: none, one or several. `now` (seconds, any zero) is what `waiting` counts from."""
        yield from self._under_stage(list(self._draw(line, now)))

    def waiting(self, now: float, after: float = 10.0) -> Iterator[str]:
        """A sign of life for each step that has been silent for `after` seconds."""
        for step, (title, since) in list(self._running.items()):
            if now - since >= after:
                self._running[step] = (title, now)
                yield from self._under_stage([f"    … {title}: still at work"])

    def _under_stage(self, text: list[str]) -> Iterator[str]:
        """Steps of two stages may run at once: a stage is named when it has something to show."""
        if text and self._stage != self._shown_stage:
            self._shown_stage = self._stage
            text = [*self._gap(), f"  {self._stage}", *text]
        for part in text:
            self._blank = not part
            yield part

    def _draw(self, line: Line, now: float) -> Iterator[str]:
        match line.kind:
            case LineKind.HEADING:
                self._stage = self._shown_stage = ""
                yield from self._gap()
                yield f"──── {line.text} {'─' * max(4, WIDTH - 6 - len(line.text))}"
            case LineKind.STAGE:
                self._stage = line.text
            case LineKind.STARTED | LineKind.UNDOING:
                self._running[line.step or ""] = (line.text, now)
                self._announced.discard(line.step)
            case LineKind.DONE | LineKind.FAILED | LineKind.UNDONE | LineKind.UNDO_FAILED:
                self._running.pop(line.step or "", None)
                yield from _timed(f"    {_TIMED[line.kind]} ", line.text, line.seconds)
            case LineKind.LOG:
                yield from self._announce(line.step, now)
                yield f"      │ {line.text}"
            case LineKind.BACK:
                self._stage = self._shown_stage
                self._running.clear()
                yield from self._gap()
                yield from _wrapped("  ", line.text)
            case LineKind.SUCCEEDED | LineKind.ENDED:
                self._stage = self._shown_stage
                self._running.clear()
                yield from self._gap()
                mark = "✓" if line.kind is LineKind.SUCCEEDED else "✗"
                yield from _wrapped(f"  {mark} ", line.text + (f" in {duration(line.seconds)}" if line.seconds else ""))
            case LineKind.ADDRESS | LineKind.HINT:
                yield f"{_SIMPLE[line.kind]}{line.text}"
            case simple:
                yield from _wrapped(_SIMPLE[simple], line.text)

    def _announce(self, step: str | None, now: float) -> Iterator[str]:
        title, _ = self._running.get(step or "", ("", 0.0))
        if title:
            self._running[step or ""] = (title, now)
            if step not in self._announced:
                self._announced.add(step)
                yield f"    • {title}"

    def _gap(self) -> Iterator[str]:
        if not self._blank:
            yield ""


def _timed(start: str, text: str, seconds: float | None) -> Iterator[str]:
    """What is too long for one line has what stands in brackets below."""
    more = ""
    if seconds is not None and len(start + text) > LONGEST - 8 and text.endswith(")"):
        text, _, more = text.removesuffix(")").partition(" (")
    yield f"{start}{text}" if seconds is None else f"{(start + text).ljust(WIDTH - 8)} {duration(seconds):>7}"
    if more:
        yield from _wrapped("      ", more)


def _wrapped(start: str, text: str) -> Iterator[str]:
    """A word that is longer than a line, an address for one, stays whole."""
    lines = textwrap.wrap(text, LONGEST - len(start), break_long_words=False, break_on_hyphens=False)
    yield start + (lines[0] if lines else "")
    yield from (" " * len(start) + line for line in lines[1:])


def duration(seconds: float) -> str:
    """As people write it: `0.3s`, `12.0s`, `3m 05s`, `1h 02m`."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m"
