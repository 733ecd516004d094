"""What is read of a Dockerfile."""

from hypothesis import given
from hypothesis import strategies as st

from services.builder.dockerfile import Dockerfile, parse

CONTENT = """# syntax=docker/dockerfile:1
# escape=\\

ARG BASE=node:22 OTHER
FROM ${BASE} AS build
WORKDIR /app
RUN npm ci && \\
    # a comment in between
    npm run build
COPY <<EOF /etc/motd
RUN not an instruction
EOF
FROM ${BASE}
copy --from=build /app /app
RUN npm run build
EXPOSE 3000 9000/udp
"""


def test_instructions_with_their_lines() -> None:
    """Continuation lines, comments among them and here-documents are part of one instruction."""
    read = parse(CONTENT)
    assert [(i.line, i.keyword, i.stage) for i in read.instructions] == [
        (4, "ARG", -1), (5, "FROM", 0), (6, "WORKDIR", 0), (7, "RUN", 0), (10, "COPY", 0),
        (13, "FROM", 1), (14, "COPY", 1), (15, "RUN", 1), (16, "EXPOSE", 1),
    ]  # fmt: skip
    assert read.instructions[3].text == "RUN npm ci && npm run build"
    assert read.syntax == "docker/dockerfile:1"
    assert read.arguments == {"BASE", "OTHER"}
    assert read.exposed == (3000,)


def line_of(read: Dockerfile, step: str) -> int | None:
    """The line that a step is found at."""
    found = read.find(step)
    return found.line if found else None


def test_steps_are_found_by_text_and_by_place() -> None:
    """BuildKit names a step as it was written, or with variables put in; then its place tells."""
    read = parse(CONTENT)
    assert line_of(read, "[build 3/4] RUN npm ci &&     npm run build") == 7
    assert line_of(read, "[stage-1 3/3] RUN npm run build") == 15
    assert line_of(read, "[build 2/4] WORKDIR /somewhere/else") == 6
    assert line_of(read, "[internal] load build context") is None
    assert line_of(read, "exporting to image") is None


def test_odd_exposed_ports() -> None:
    """What is no port is passed over."""
    assert parse("FROM a\nEXPOSE $PORT 0 99999999999999999999 80-90 65535/TCP ²\n").exposed == (65535,)


@given(st.text(max_size=200))
def test_nothing_crashes_it(content: str) -> None:
    """Any text is a Dockerfile for the reader; whether it can be built is BuildKit's to say."""
    read = parse(content)
    assert all(0 < port < 65536 for port in read.exposed)
    assert isinstance(read.arguments, frozenset)
    read.find(f"[1/2] {content}")


@given(st.lists(st.sampled_from(["FROM a", "RUN x", "\\", "RUN \\", "RUN <<EOF", "#c", "", "ARG A=1", "EXPOSE 1"]), max_size=12))
def test_lines_are_within_the_file(lines: list[str]) -> None:
    """Every instruction begins on a line that there is."""
    assert all(1 <= i.line <= len(lines) for i in parse("\n".join(lines)).instructions)
