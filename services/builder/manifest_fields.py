"""Readers of single fields of slipway.yaml: what a field may hold, and how a person writes it."""

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from yaml.nodes import Node, ScalarNode, SequenceNode

from services.builder import quantities
from services.builder.yaml_reading import Read, Reading, Wrong, is_null, is_scalar, joined, kind_of, shown

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_LONGEST_PATH = 500
_SHELL = re.compile(r"[|&;<>$`\n]")


def text(_: Reading, node: Node, __: str) -> str:
    """One line of text; numbers and booleans as they were written."""
    if not isinstance(node, ScalarNode) or is_null(node):
        raise Wrong(f"expected text, not {kind_of(node)}")
    if "\0" in node.value:
        raise Wrong("must not hold a NUL character")
    return str(node.value)


def name(reading: Reading, node: Node, path: str) -> str:
    """The slug of a service, database or job."""
    return as_slug(text(reading, node, path))


def as_slug(word: str) -> str:
    """Checks a slug; raises `Wrong`."""
    if not _SLUG.fullmatch(word):
        raise Wrong(f"`{shown(word)}` is no name: lower-case letters, digits and dashes, at most 40, no dash at either end")
    return word


def boolean(_: Reading, node: Node, __: str) -> bool:
    """True or false."""
    if not is_scalar(node, "bool"):
        raise Wrong(f"expected true or false, not {kind_of(node)}")
    return str(node.value).lower() in ("true", "yes", "on")


def whole(least: int, most: int) -> Read:
    """A whole number within bounds."""

    def read(reading: Reading, node: Node, path: str) -> int:
        word = text(reading, node, path)
        if not re.fullmatch(r"[0-9]{1,9}", word, re.ASCII) or not least <= int(word) <= most:
            raise Wrong(f"expected a whole number from {least} to {most}, not `{shown(word)}`")
        return int(word)

    return read


def quantity(parse: Callable[[str], float], least: float, most: float, bounds: str) -> Read:
    """A quantity in human form, within bounds that `bounds` says in words."""

    def read(reading: Reading, node: Node, path: str) -> float:
        word = text(reading, node, path)
        try:
            value = parse(word)
        except quantities.NotAQuantity as wrong:
            raise Wrong(f"{wrong}, not `{shown(word)}`") from None
        if not least <= value <= most:
            raise Wrong(f"must be {bounds}, not `{shown(word)}`")
        return value

    return read


def one_of(choices: Mapping[str, object]) -> Read:
    """One of the words; what it stands for."""

    def read(reading: Reading, node: Node, path: str) -> object:
        word = text(reading, node, path)
        if word not in choices:
            raise Wrong(f"`{shown(word)}` is none of {', '.join(f'`{choice}`' for choice in choices)}")
        return choices[word]

    return read


def list_of(item: Read) -> Read:
    """A list; each wrong item is a problem of its own. A single value is a list of one."""

    def read(reading: Reading, node: Node, path: str) -> tuple[object, ...]:
        if is_null(node):
            return ()
        nodes = node.value if isinstance(node, SequenceNode) else [node]
        missing = object()
        values = (reading.read(item, below, f"{path}.{index}", missing) for index, below in enumerate(nodes))
        return tuple(value for value in values if value is not missing)

    return read


def mapping_of(key: Callable[[str], str], value: Read) -> Read:
    """A mapping with keys of the user's choice."""

    def read(reading: Reading, node: Node, path: str) -> dict[str, object]:
        values: dict[str, object] = {}
        missing = object()
        for entry in reading.entries(node, path):
            below = joined(path, entry.key)
            try:
                key(entry.key)
            except Wrong as wrong:
                reading.wrong(entry.at, below, str(wrong))
                continue
            found = reading.read(value, entry.value, below, missing)
            if found is not missing:
                values[entry.key] = found
        return values

    return read


def command(reading: Reading, node: Node, path: str) -> tuple[str, ...]:
    """A program and its arguments: a list, or a line that is split as a shell would, without running one."""
    if isinstance(node, SequenceNode):
        words = tuple(str(word) for word in _texts(reading, node, path))
    else:
        line = text(reading, node, path)
        if _SHELL.search(line):
            raise Wrong("no shell runs this line; write it as [sh, -c, '…'] if the image has a shell")
        try:
            words = tuple(shlex.split(line))
        except ValueError as error:
            raise Wrong(f"cannot be split into words: {error}") from None
    if not words or not words[0]:
        raise Wrong("must name a program")
    return words


def inside(reading: Reading, node: Node, path: str) -> str:
    """A path within the repository, relative to its root."""
    word = text(reading, node, path)
    parts = PurePosixPath(word).parts
    if not word or word.startswith("/") or ".." in parts or "\\" in word or "\n" in word:
        raise Wrong(f"`{shown(word)}` must be a path inside the repository, relative to its root")
    if len(word) > _LONGEST_PATH:
        raise Wrong(f"`{shown(word)}` is longer than {_LONGEST_PATH} characters")
    return str(PurePosixPath(word))


def absolute(reading: Reading, node: Node, path: str) -> str:
    """An absolute path in the container."""
    word = text(reading, node, path)
    if not word.startswith("/") or ".." in PurePosixPath(word).parts or any(sign in word for sign in ":,\n"):
        raise Wrong(f"`{shown(word)}` must be an absolute path in the container")
    return word


def url_path(reading: Reading, node: Node, path: str) -> str:
    """The path of an HTTP request."""
    word = text(reading, node, path)
    if not word.startswith("/") or any(not "!" <= sign <= "~" for sign in word):
        raise Wrong(f"`{shown(word)}` must be a path such as `/healthz`")
    return word


def domain(reading: Reading, node: Node, path: str) -> str:
    """A host name; what is not ASCII is written as IDNA has it."""
    word = text(reading, node, path).lower().removesuffix(".")
    try:
        host = word.encode("idna").decode() if word.isascii() is False else word
    except UnicodeError:
        host = ""
    labels = host.split(".")
    if len(host) > 253 or len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise Wrong(f"`{shown(word)}` is no domain name such as `www.example.com` (no scheme, port, path or `*`)")
    return host


def matching(pattern: re.Pattern[str], what: str) -> Read:
    """Text of a form."""

    def read(reading: Reading, node: Node, path: str) -> str:
        word = text(reading, node, path)
        if not pattern.fullmatch(word):
            raise Wrong(f"`{shown(word)}` is no {what}")
        return word

    return read


def variable_name(word: str) -> str:
    """Checks the name of a variable; raises `Wrong`."""
    if not VARIABLE.fullmatch(word):
        raise Wrong(f"`{shown(word)}` is no name of a variable: letters, digits and underscores, no digit first")
    return word


def _texts(reading: Reading, node: Node, path: str) -> tuple[object, ...]:
    found = list_of(text)(reading, node, path)
    return found if isinstance(found, tuple) else ()


def duration(least: float, most: float, bounds: str) -> Read:
    """A duration in seconds, within bounds that `bounds` says in words."""
    return quantity(quantities.seconds, least, most, bounds)


def size(least_mib: int, bounds: str) -> Read:
    """A size in bytes, at least so many MiB."""
    return quantity(quantities.size_bytes, least_mib * 2**20, 2**50, bounds)
