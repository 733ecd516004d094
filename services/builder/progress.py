"""Follows BuildKit's plain progress (`--progress=plain`), which is the only account of a build that every client gives."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.printable import printable

_LINE = re.compile(r"#(\d+) (.*)")
_OUTPUT = re.compile(r"\d+\.\d+ ?(.*)")
_NOISE = re.compile(r"sha256:[0-9a-f]{64}( |$)|transferring |extracting |resolve |exporting |writing |naming |pushing |unpacking ")
_STUCK_TOGETHER = re.compile(r"#\d+ (DONE \d+\.\d+s|CACHED|CANCELED|ERROR: .*)$")
_PINNED = re.compile(r"(?<=\S)@sha256:[0-9a-f]{64}\b")
TAIL = 40
"""Lines of a step that are remembered."""


@dataclass
class Step:
    """One vertex of the build."""

    title: str
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    error: str | None = None
    ended: bool = False

    @property
    def is_internal(self) -> bool:
        """Whether it is BuildKit's own business and no instruction."""
        return not self.title.startswith("[") or self.title.startswith("[internal]")


@dataclass
class Progress:
    """What a build has said so far."""

    steps: dict[str, Step] = field(default_factory=dict)
    last_line: str = ""
    closing: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    """What came after the steps: the client's account of a failure."""
    _shown: set[str] = field(default_factory=set)

    def feed(self, raw: str) -> Iterator[str]:
        """Takes a line; yields what a person should see of it."""
        line = printable(raw)
        found = _LINE.fullmatch(line)
        if found is None:
            if line.strip():
                self.last_line = line
                self.closing.append(line)
            return
        yield from self._step_line(found[1], found[2])

    @property
    def failed(self) -> Step | None:
        """The step that broke the build; others are only cancelled."""
        broken = [step for step in self.steps.values() if step.error is not None and step.error != "context canceled"]
        return broken[0] if broken else None

    @property
    def running(self) -> Step | None:
        """A step that is at work."""
        return next((step for step in reversed(self.steps.values()) if not step.ended and not step.is_internal), None)

    def _step_line(self, number: str, text: str) -> Iterator[str]:
        step = self.steps.get(number)
        if step is None:
            step = self.steps[number] = Step(text)
            if not step.is_internal:
                yield _PINNED.sub("", text)
            return
        if text == step.title or _NOISE.match(text):
            return
        if found := _OUTPUT.fullmatch(text):
            yield from self._output(number, step, found[1])
        elif text.startswith("ERROR: "):
            step.error, step.ended = text.removeprefix("ERROR: "), True
        elif text.startswith(("DONE ", "CACHED", "CANCELED")):
            step.ended = True
            if text == "CACHED" and not step.is_internal:
                yield f"{step.title.partition(']')[0]}] cached"

    def _output(self, number: str, step: Step, text: str) -> Iterator[str]:
        """Output without a last newline has the step's end stuck to it."""
        stuck = _STUCK_TOGETHER.search(text)
        shown = text[: stuck.start()] if stuck else text
        step.tail.append(shown)
        yield shown
        if stuck:
            yield from self._step_line(number, stuck[1])
