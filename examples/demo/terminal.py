"""How the demo looks: 80 columns, with colours on a terminal and without them elsewhere."""

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

WIDTH = 80


class Terminal:
    """Writes the story; whatever is written here is flushed before a program writes between."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._console.width = min(self._console.width, WIDTH)
        self._acts = 0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return time.monotonic() - self._began

    def title(self, text: str, below: str) -> None:
        """The first lines."""
        self._console.print()
        self._console.print(Text(text, style="bold"))
        self._console.print(Text(below, style="dim"), soft_wrap=True)

    def act(self, text: str) -> None:
        """A new part of the story."""
        self._acts += 1
        head = f"━━ {self._acts}  {text} "
        self._console.print()
        self._console.print(Text(head.ljust(WIDTH, "━"), style="bold cyan"))

    def say(self, text: str) -> None:
        """Plain words, wrapped."""
        self._console.print()
        self._console.print(Text(text))

    def command(self, *words: str) -> None:
        """What is typed; what it prints comes next."""
        self._console.print()
        self._console.print(Text(f"$ {shlex.join(words)}", style="bold yellow"), soft_wrap=True)

    def typed(self, line: str) -> None:
        """A line for the reader's own shell."""
        self._console.print(Text(f"  {line}", style="yellow"), soft_wrap=True)

    def fact(self, text: str) -> None:
        """Something that was seen to be so."""
        self._console.print(Text.assemble(("✓ ", "bold green"), text), soft_wrap=True)

    def quoted(self, text: str) -> None:
        """What somebody answered, line by line."""
        for line in text.rstrip().splitlines():
            self._console.print(Text(f"  {line}", style="dim"), soft_wrap=True)

    def table(self, rows: list[tuple[str, str]]) -> None:
        """Two columns."""
        wide = max(len(left) for left, _ in rows)
        for left, right in rows:
            self._console.print(Text.assemble("  ", (left.ljust(wide), "bold"), f"  {right}"), soft_wrap=True)

    def failed(self, text: str, remedy: str) -> None:
        """The end, where it came too soon."""
        self._console.print()
        self._console.print(Text.assemble(("✗ ", "bold red"), text))
        if remedy:
            self._console.print(Text(f"  → {remedy}"))

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Shows that something goes on: a spinner on a terminal, a line elsewhere where it takes longer than two seconds."""
        began = time.monotonic()
        with self._console.status(text) if self._console.is_terminal else _nothing():
            yield
        if not self._console.is_terminal and time.monotonic() - began > 2:
            self._console.print(Text(f"  … {text}: {time.monotonic() - began:.1f}s", style="dim"))


@contextmanager
def _nothing() -> Iterator[None]:
    yield
