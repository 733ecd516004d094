"""A start, shown live: one line a part, with its time."""

from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from embedded.progress import WHOLE, Progress

_MARKS = {"done": ("✓", "green"), "failed": ("✗", "bold red")}


class LiveProgress:
    """A report for `up`: `with LiveProgress(console) as report: up(settings, report=report)`.

    On a terminal the lines are redrawn; elsewhere each step is a line of its own.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._parts: dict[str, Progress] = {}
        self._live = Live(console=console, refresh_per_second=12, get_renderable=self._render, transient=False)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, progress: Progress) -> None:
        """One step more to show."""
        if progress.part == WHOLE:
            return
        self._parts[progress.part] = progress
        if not self._console.is_terminal and progress.state != "working":
            mark, style = _MARKS[progress.state]
            detail = progress.detail.partition("\n")[0]
            line = Text.assemble((mark, style), f" {progress.part:<12} {progress.seconds:6.2f} s  {detail}")
            self._console.print(line)

    def _render(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for progress in self._parts.values():
            mark: RenderableType = Spinner("dots")
            if progress.state in _MARKS:
                mark = Text(*_MARKS[progress.state])
            table.add_row(
                mark,
                progress.part,
                Text(f"{progress.seconds:.2f} s", justify="right"),
                Text(progress.detail, style="dim"),
            )
        return table
