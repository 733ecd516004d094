"""Reads YAML by a schema of functions and collects every problem with its line, instead of stopping at the first."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_DEEPEST = 64
MOST_VALUES = 20_000
_LENGTH_OF_ONE = 100
"""A text counts as one value more for each so many characters: readers take the longer, the longer it is."""
MOST_PROBLEMS = 200
_NAMES_COMPARED = 100
_NAMES_SHOWN = 20
_TOO_MANY = f"more than {MOST_VALUES} keys and values, counting again what aliases (`*name`) and merge keys (`<<`) repeat, and long texts by their length"


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong. Lines and columns count from 1."""

    line: int
    column: int
    path: str
    text: str

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column}"
        return f"{where}: {self.path}: {self.text}" if self.path else f"{where}: {self.text}"


class Entry(NamedTuple):
    """One key of a mapping."""

    key: str
    at: Node
    value: Node


Read = Callable[["Reading", Node, str], object]
"""Reads a node at a path; raises `Wrong` where the node is not what it must be."""


class Wrong(ValueError):
    """The node is not what it must be; the message is for the user."""


class Enough(Exception):
    """The document is not read on: it has too many values, or too many problems. What is wrong was noted."""


@dataclass
class Reading:
    """One document being read: the problems found, and where each path stands.

    What the reading takes is bounded, whatever the document repeats: it raises `Enough` beyond `MOST_VALUES` and at
    `MOST_PROBLEMS`.
    """

    problems: list[Problem] = field(default_factory=list)
    places: dict[str, Node] = field(default_factory=dict)
    values: int = 0

    def wrong(self, node: Node, path: str, text: str) -> None:
        """Notes a problem at a node, once."""
        mark = node.start_mark
        problem = Problem(mark.line + 1, mark.column + 1, path, text)
        if problem not in self.problems:
            self.problems.append(problem)
        if len(self.problems) >= MOST_PROBLEMS:
            raise Enough

    def wrong_at(self, path: str, text: str) -> None:
        """Notes a problem at a path that was read, or at the nearest one above it that was."""
        known = path
        while known and known not in self.places:
            known = known.rpartition(".")[0]
        self.wrong(self.places[known], path, text)

    def line_of(self, path: str) -> int:
        """The line of a path that was read."""
        return self.places[path].start_mark.line + 1

    def compose(self, text: str) -> Node | None:
        """The document's tree; None for an empty document, or with a problem noted where it is no YAML."""
        try:
            if excess := _excess(text):
                self.problems.append(Problem(1, 1, "", excess))
                return None
            root = yaml.compose(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            reason = error.problem or "not valid YAML"
            self.problems.append(Problem(line, column, "", _explained(reason, text, line)))
            return None
        except (yaml.YAMLError, ValueError) as error:
            self.problems.append(Problem(1, 1, "", f"not valid YAML: {error}".splitlines()[0]))
            return None
        if root is not None:
            self.places[""] = root
        return root

    def read(self, read: Read, node: Node, path: str, default: object = None) -> object:
        """The value of a node; `default` with a problem noted where it is wrong."""
        self._count(node)
        self.places[path] = node
        try:
            return read(self, node, path)
        except Wrong as wrong:
            self.wrong(node, path, str(wrong))
            return default

    def entries(self, node: Node, path: str) -> Iterator[Entry]:
        """The keys of a mapping, merge keys (`<<`) resolved; duplicate keys and keys that are no text are problems."""
        if is_null(node):
            return
        if not isinstance(node, MappingNode):
            raise Wrong(f"expected a mapping (`key: value`), not {kind_of(node)}")
        seen: dict[str, Node] = {}
        for key, value in node.value:
            self._count(key)
            if key.tag == f"{_TAG}merge":
                continue
            if not isinstance(key, ScalarNode):
                self.wrong(key, path, f"a key must be text, not {kind_of(key)}")
            elif key.value in seen:
                first = seen[key.value].start_mark.line + 1
                self.wrong(key, joined(path, key.value), f"given twice (first on line {first})")
            else:
                seen[key.value] = key
                yield Entry(key.value, key, value)
        for key, value in self._merged(node):
            if key.value not in seen:
                seen[key.value] = key
                yield Entry(key.value, key, value)

    def section(self, node: Node, path: str, fields: Mapping[str, Read]) -> dict[str, object]:
        """The values of the fields that are there and right; an unknown key is a problem with a suggestion."""
        values: dict[str, object] = {}
        missing = object()
        for key, at, value in self.entries(node, path):
            below = joined(path, key)
            read = fields.get(key)
            if read is None:
                self.wrong(at, below, f"unknown key `{shown(key)}`; {suggestion(key, fields)}")
                continue
            found = self.read(read, value, below, missing)
            if found is not missing:
                values[key] = found
        return values

    def _merged(self, node: MappingNode) -> Iterator[tuple[ScalarNode, Node]]:
        """What merge keys bring, the first that is named first, and each mapping once."""
        visited, waiting = {id(node)}, _sources(node)
        while waiting:
            source = waiting.pop()
            self._count(source)
            if not isinstance(source, MappingNode) or id(source) in visited:
                continue
            visited.add(id(source))
            for key, value in source.value:
                self._count(key)
                if isinstance(key, ScalarNode) and key.tag != f"{_TAG}merge":
                    yield key, value
            waiting += _sources(source)

    def _count(self, node: Node) -> None:
        self.values += 1 + len(node.value) // _LENGTH_OF_ONE
        if self.values > MOST_VALUES:
            self.problems.append(Problem(1, 1, "", _TOO_MANY))
            raise Enough


def joined(path: str, key: str) -> str:
    """A path one level deeper."""
    return f"{path}.{shown(key)}" if path else shown(key)


def shown(text: str) -> str:
    """Text of the user's as it stands in a message: one line, not too long."""
    line = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[:61])
    return line if len(line) <= 60 else f"{line[:57]}…"


def suggestion(word: str, known: Collection[str]) -> str:
    """`did you mean …?`, or else what there is."""
    names = sorted(known)
    close = get_close_matches(word[:60].lower().replace("-", "_"), names[:_NAMES_COMPARED], n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    if not known:
        return "there is none"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"there are: {', '.join(f'`{name}`' for name in names[:_NAMES_SHOWN])}{more}"


def is_null(node: Node) -> bool:
    """Whether nothing was written for a value."""
    return isinstance(node, ScalarNode) and node.tag == f"{_TAG}null"


def is_scalar(node: Node, *kinds: str) -> bool:
    """Whether a node is a scalar of one of the kinds (`str`, `int`, `float`, `bool`); any kind where none is given."""
    return isinstance(node, ScalarNode) and (not kinds or node.tag.removeprefix(_TAG) in kinds)


def kind_of(node: Node) -> str:
    """What a node is, in words."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    kinds = {"null": "nothing", "int": "a number", "float": "a number", "bool": "true or false"}
    return kinds.get(node.tag.removeprefix(_TAG), "text")


def _sources(node: MappingNode) -> list[Node]:
    """What the mapping's merge keys name, the last one first."""
    merges = [value for key, value in node.value if key.tag == f"{_TAG}merge"]
    named = [source for value in merges for source in (value.value if isinstance(value, SequenceNode) else [value])]
    return named[::-1]


def _excess(text: str) -> str | None:
    """What the document has too much of: asked of the events, because composing recurses and keeps every value."""
    depth = deepest = values = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.NodeEvent):
            values += 1
            if values > MOST_VALUES:
                return _TOO_MANY
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            deepest = max(deepest, depth)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return f"nested deeper than {_DEEPEST} levels" if deepest > _DEEPEST else None


def _explained(reason: str, text: str, line: int) -> str:
    lines = text.splitlines()
    if line <= len(lines) and "\t" in lines[line - 1][: -len(lines[line - 1].lstrip()) or None]:
        return "indentation must be spaces, and here is a tab"
    return f"not valid YAML: {reason}"
