"""What a Dockerfile says, as far as the builder needs it before and after BuildKit reads it: instructions and their lines.

Source: https://docs.docker.com/reference/dockerfile/
"""

import re
from dataclasses import dataclass

from services.builder.frontends import asked_for
from shared.work import StepFailure

LARGEST_BYTES = 2**20
_ESCAPE = re.compile(r"#\s*escape\s*=\s*([\\`])", re.IGNORECASE)
_DIRECTIVE = re.compile(r"#\s*[A-Za-z]+\s*=")
_HEREDOC = re.compile(r"<<-?\s*([\"']?)([A-Za-z0-9_]+)\1")
_VERTICES = ("FROM", "RUN", "COPY", "ADD", "WORKDIR")
"""What BuildKit counts in `[2/5]`."""


@dataclass(frozen=True)
class Instruction:
    """One instruction; `line` is where it begins, from 1."""

    line: int
    keyword: str
    arguments: str
    stage: int

    @property
    def text(self) -> str:
        """The instruction on one line."""
        return f"{self.keyword} {self.arguments}"


@dataclass(frozen=True)
class Dockerfile:
    """Its instructions, and the frontend that a `# syntax=` line asks for."""

    instructions: tuple[Instruction, ...]
    syntax: str | None = None

    @property
    def arguments(self) -> frozenset[str]:
        """Names of the build arguments that it declares."""
        return frozenset(
            name.partition("=")[0]
            for instruction in self.instructions
            if instruction.keyword == "ARG"
            for name in re.findall(r"(?:^|\s)([A-Za-z_][A-Za-z0-9_]*(?:=|(?=\s|$)))", instruction.arguments)
        )

    @property
    def exposed(self) -> tuple[int, ...]:
        """TCP ports of EXPOSE, in the last stage that has any."""
        exposing = [i for i in self.instructions if i.keyword == "EXPOSE"]
        return tuple(
            int(port)
            for instruction in exposing
            if instruction.stage == exposing[-1].stage
            for word in instruction.arguments.split()
            for port, _, protocol in (word.partition("/"),)
            if port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536 and protocol.lower() in ("", "tcp")
        )

    def find(self, step: str) -> Instruction | None:
        """The instruction of a step as BuildKit names it: `[build 2/5] RUN npm ci`."""
        named = re.match(r"\[(?:.*?(\d+)/\d+|[^\]]*)\]\s*(.*)", step, re.DOTALL)
        if named is None:
            return None
        wanted = _plain(named[2])
        same = [i for i in self.instructions if _plain(i.text) == wanted]
        if same or named[1] is None:
            return same[0] if same else None
        place = int(named[1]) - 1
        stages = {i.stage for i in self.instructions if i.stage >= 0}
        found = [vertices[place] for stage in stages if len(vertices := self._vertices(stage)) > place]
        alike = [i for i in found if i.keyword == wanted.split(" ", 1)[0].upper()]
        return alike[-1] if alike else None

    def _vertices(self, stage: int) -> list[Instruction]:
        return [i for i in self.instructions if i.stage == stage and i.keyword in _VERTICES]


def too_large(path: str) -> StepFailure:
    """Of a Dockerfile beyond `LARGEST_BYTES`."""
    return StepFailure("dockerfile_invalid", f"{path} is larger than {LARGEST_BYTES // 1024} KiB")


def parse(content: str) -> Dockerfile:
    """Reads a Dockerfile; never fails: what is wrong with it is BuildKit's to say."""
    lines = content.splitlines()
    escape = _escape(lines)
    instructions: list[Instruction] = []
    stage, index = -1, 0
    while index < len(lines):
        start = index
        words, index = _logical_line(lines, index, escape)
        if not words:
            continue
        keyword, _, arguments = words.partition(" ")
        keyword = keyword.upper()
        if keyword == "FROM":
            stage += 1
        if keyword in ("RUN", "COPY", "ADD"):
            index = _past_heredocs(lines, index, arguments)
        instructions.append(Instruction(start + 1, keyword, arguments.strip(), stage))
    return Dockerfile(tuple(instructions), next((frontend.reference for frontend in asked_for(content)), None))


def _escape(lines: list[str]) -> str:
    escape = "\\"
    for line in lines:
        if not _DIRECTIVE.match(line.strip()):
            break
        if found := _ESCAPE.match(line.strip()):
            escape = found[1]
    return escape


def _logical_line(lines: list[str], index: int, escape: str) -> tuple[str, int]:
    """One instruction with its continuation lines joined, comments and empty lines among them left out."""
    parts: list[str] = []
    while index < len(lines):
        line = lines[index].strip()
        index += 1
        if not line or line.startswith("#"):
            if parts:
                continue
            return "", index
        if not line.endswith(escape):
            parts.append(line)
            break
        parts.append(line.removesuffix(escape).rstrip())
    return " ".join(parts).replace("\t", " "), index


def _past_heredocs(lines: list[str], index: int, arguments: str) -> int:
    for _, end in _HEREDOC.findall(arguments):
        while index < len(lines) and lines[index].strip() != end:
            index += 1
        index += 1
    return index


def _plain(text: str) -> str:
    return " ".join(text.split())
