"""Which BuildKit frontend a build asks for, and whether it may have it. Pure.

A frontend turns the Dockerfile into what BuildKit does. It reaches more than a step: it may name the cache mounts of other builds, for one.
So repositories, forks among them, bring none of their own. Found is whatever any version of BuildKit takes for a directive (`DetectSyntax` in
moby/buildkit, frontend/dockerfile/parser/directives.go: a comment of a Dockerfile or of C, or a field of JSON), and a little more.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shared.printable import printable
from shared.work import StepFailure

_DIRECTIVE = re.compile(r"\s*(?:#|//)\s*([A-Za-z][A-Za-z0-9]*)\s*=(.*)")
_DOCKERS = re.compile(
    r"(?:(?:index\.)?docker\.io/)?docker/dockerfile(?:-upstream)?(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@sha256:[0-9a-f]{64})?"
)
_TOO_OLD = re.compile(r"0(?:\..*)?|1\.0(?:[.-].*)?|1\.1\.[01](?:-.*)?")
"""Before 1.1.2 it knew no BUILDKIT_CACHE_MOUNT_NS, which keeps cache mounts apart."""
_ARGUMENT = "BUILDKIT_SYNTAX"


@dataclass(frozen=True)
class Frontend:
    """What a directive asks for: an image; `line` is where, from 1."""

    line: int
    reference: str


def asked_for(content: str) -> tuple[Frontend, ...]:
    """The frontends that a Dockerfile's directives name: BuildKit takes the first or, until 2019, the last."""
    found: list[Frontend] = []
    for number, line in enumerate(_lines(content), 1):
        if number == 1 and line.startswith("#!"):
            continue
        directive = _DIRECTIVE.match(line)
        if directive is None:
            break
        if directive[1].lower() == "syntax":
            found.append(Frontend(number, _image(directive[2])))
    return tuple(found)


def check(service: str, path: str, content: str, arguments: Mapping[str, str]) -> None:
    """Raises `StepFailure` where the Dockerfile at this path, or an argument of the manifest, asks for a frontend that may not build."""
    lines = _lines(content)
    text = "\n".join(lines[1:] if lines[0].startswith("#!") else lines).lstrip()
    if text.startswith("{"):
        raise StepFailure("frontend_refused", f"{path} is JSON, which needs a frontend of its own. {_ADVICE}")
    asked = [(f"{path}, line {frontend.line}: it", frontend.reference) for frontend in asked_for(content)]
    if _ARGUMENT in arguments:
        asked.append((f"services.{service}.build.args: {_ARGUMENT}", _image(arguments[_ARGUMENT])))
    for where, reference in asked:
        if not _may_build(reference):
            raise StepFailure("frontend_refused", f"{where} asks for the frontend {printable(reference)}. {_ADVICE}")


_ADVICE = (
    "Only docker/dockerfile may build here, from 1.1.2 on: a frontend reaches more than the steps of a build. "
    "Write a Dockerfile for `# syntax=docker/dockerfile:1`, or leave the line out"
)


def _lines(content: str) -> list[str]:
    """BuildKit's: what else Unicode takes for the end of a line is none."""
    return content.removeprefix("\ufeff").split("\n")


def _image(directive: str) -> str:
    """Without what the frontend is told besides."""
    return directive.strip().split(" ", 1)[0]


def _may_build(reference: str) -> bool:
    named = _DOCKERS.fullmatch(reference)
    return named is not None and not _TOO_OLD.fullmatch(named["tag"] or "")
