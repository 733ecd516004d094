"""Lists for people. A row that is too wide for the terminal goes on in lines below, indented: nothing is cut off."""

import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.cells import cell_len
from rich.text import Text

_GAP = "  "


def cell(key: str, value: object) -> str:
    """A value as a person reads it; what the key says to be a time in this machine's zone."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value))
        case str() if key == "time" or key.endswith("_at"):
            return datetime.fromisoformat(value).astimezone().strftime("%Y-%m-%d %H:%M")
        case _:
            return str(value)


def lines(titles: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[Text]:
    """The header and the rows; columns that are empty everywhere are left out."""
    used = [at for at in range(len(titles)) if any(row[at] for row in rows)] or [0]
    widths = {at: max(cell_len(text) for text in (titles[at], *(row[at] for row in rows))) for at in used}
    aligned = _fitting(used, widths, width)
    below = used[len(aligned) :]
    for row in (titles, *rows):
        style = "dim" if row is titles else ""
        yield Text(_GAP.join(_padded(row[at], widths[at]) for at in aligned).rstrip(), style=style)
        for line in _flowing([row[at] for at in below if row[at]], width - len(_GAP)):
            yield Text(f"{_GAP}{line}", style="dim")


def _fitting(columns: Sequence[int], widths: dict[int, int], width: int) -> list[int]:
    """As many from the left as fit into a line; at least one."""
    end = columns[:1]
    for at in columns[1:]:
        if sum(widths[each] + len(_GAP) for each in end) + widths[at] > width:
            break
        end = [*end, at]
    return list(end)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _flowing(words: Sequence[str], width: int) -> Iterator[str]:
    line = ""
    for word in (part for whole in words for part in textwrap.wrap(whole, width, break_on_hyphens=False)):
        if line and cell_len(line) + len(_GAP) + cell_len(word) > width:
            yield line
            line = ""
        line = f"{line}{_GAP}{word}" if line else word
    if line:
        yield line
