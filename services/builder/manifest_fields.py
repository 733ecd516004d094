"""The fields of slipway.yaml: what each may hold, and how a person writes it."""

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from yaml.nodes import Node, ScalarNode, SequenceNode

from services.builder import quantities
from services.builder.yaml_reading import Read, Reading, Wrong, is_null, is_scalar, joined, kind_of, shown
from shared.contracts.manifest import BuildSpec, DatabaseManifest, HealthCheck, JobManifest, Resources, ServiceManifest, Strategy

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_SHELL = re.compile(r"[|&;<>$`\n]")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/@-]{0,254}", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?", re.ASCII)


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
    if not _VARIABLE.fullmatch(word):
        raise Wrong(f"`{shown(word)}` is no name of a variable: letters, digits and underscores, no digit first")
    return word


def build(reading: Reading, node: Node, path: str) -> BuildSpec:
    """How an image is built; a single path is the context."""
    if is_scalar(node) and not is_null(node):
        return _with_dockerfile({"context": inside(reading, node, path)})
    return _with_dockerfile(reading.section(node, path, BUILD))


def _with_dockerfile(values: dict[str, object]) -> BuildSpec:
    """In the context lies the Dockerfile, where nothing else is said."""
    context = str(values.get("context", "."))
    return BuildSpec.model_validate({"dockerfile": str(PurePosixPath(context) / "Dockerfile"), **values})


def health(reading: Reading, node: Node, path: str) -> HealthCheck:
    """How readiness is told; a single path is asked by HTTP, the word `tcp` tries to connect."""
    if is_scalar(node) and not is_null(node):
        word = text(reading, node, path)
        return HealthCheck(tcp=True) if word == "tcp" else HealthCheck(http=url_path(reading, node, path))
    values = reading.section(node, path, HEALTH)
    ways = [way for way in ("http", "tcp", "command") if values.get(way)]
    if len(ways) > 1:
        reading.wrong(node, path, f"one of `http`, `tcp` and `command`, not {' and '.join(f'`{way}`' for way in ways)}")
    return HealthCheck.model_validate(_renamed(values, start_period="start_period_s", interval="interval_s", timeout="timeout_s"))


def resources(reading: Reading, node: Node, path: str) -> Resources:
    """Limits of a container."""
    return Resources.model_validate(_renamed(reading.section(node, path, RESOURCES), memory="memory_bytes"))


def service(reading: Reading, node: Node, path: str) -> ServiceManifest:
    """One service."""
    values = reading.section(node, path, SERVICE)
    if "image" in values and "build" in values:
        reading.wrong_at(f"{path}.image", "`image` and `build` exclude each other: is the image ready, or built here?")
    check = values.get("health")
    if isinstance(check, HealthCheck) and (check.http or check.tcp) and not check.port and f"{path}.port" not in reading.places:
        reading.wrong_at(f"{path}.health", "needs to know where the container listens: give the service a `port`")
    if values.get("domains") and f"{path}.port" not in reading.places:
        reading.wrong_at(f"{path}.domains", "a service with domains needs a `port`")
    return ServiceManifest.model_validate(_renamed(values, stop_grace="stop_grace_s"))


def database(reading: Reading, node: Node, path: str) -> DatabaseManifest:
    """One database; a single word is its engine."""
    if is_scalar(node) and not is_null(node):
        return DatabaseManifest.model_validate({"engine": DATABASE["engine"](reading, node, path)})
    values = reading.section(node, path, DATABASE)
    return DatabaseManifest.model_validate(_renamed(values, storage="storage_bytes", memory="memory_bytes"))


def job(reading: Reading, node: Node, path: str) -> JobManifest:
    """One job."""
    found = len(reading.problems)
    values = reading.section(node, path, JOB)
    missing = [key for key in ("service", "command") if key not in values]
    if missing and found == len(reading.problems):
        reading.wrong(node, path, f"`{missing[0]}` is missing")
    return JobManifest.model_validate({"service": "unread", "command": (), **_renamed(values, timeout="timeout_s")})


def _texts(reading: Reading, node: Node, path: str) -> tuple[object, ...]:
    found = list_of(text)(reading, node, path)
    return found if isinstance(found, tuple) else ()


def _renamed(values: dict[str, object], **names: str) -> dict[str, object]:
    return {names.get(key, key): value for key, value in values.items()}


def _duration(least: float, most: float, bounds: str) -> Read:
    return quantity(quantities.seconds, least, most, bounds)


def _size(least_mib: int, bounds: str) -> Read:
    return quantity(quantities.size_bytes, least_mib * 2**20, 2**50, bounds)


PORT = whole(1, 65535)
BUILD: dict[str, Read] = {
    "context": inside,
    "dockerfile": inside,
    "target": matching(re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII), "name of a build stage"),
    "args": mapping_of(variable_name, text),
    "secrets": list_of(matching(_VARIABLE, "name of a secret")),
}
HEALTH: dict[str, Read] = {
    "http": url_path,
    "tcp": boolean,
    "command": command,
    "port": PORT,
    "start_period": _duration(0, 3600, "at most an hour"),
    "interval": _duration(0.05, 300, "from 50ms to 5m"),
    "timeout": _duration(0.05, 300, "from 50ms to 5m"),
    "retries": whole(1, 1000),
}
RESOURCES: dict[str, Read] = {
    "memory": _size(6, "at least 6Mi"),
    "cpu": quantity(quantities.processors, 0.01, 1024, "at least 10m"),
}
SERVICE: dict[str, Read] = {
    "build": build,
    "image": matching(_IMAGE, "name of an image"),
    "watch": list_of(inside),
    "port": PORT,
    "command": command,
    "health": health,
    "variables": mapping_of(variable_name, text),
    "databases": list_of(name),
    "domains": list_of(domain),
    "resources": resources,
    "strategy": one_of({strategy.value: strategy for strategy in Strategy}),
    "stop_grace": _duration(0, 3600, "at most an hour"),
    "user": matching(_USER, "user such as `1000`, `1000:1000` or `node`"),
    "read_only": boolean,
    "writable": list_of(absolute),
    "depends_on": list_of(name),
}
DATABASE: dict[str, Read] = {
    "engine": one_of({"postgresql": "postgresql", "postgres": "postgresql"}),
    "version": matching(re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?", re.ASCII), "version such as `18`"),
    "storage": _size(64, "at least 64Mi"),
    "memory": _size(32, "at least 32Mi"),
}
JOB: dict[str, Read] = {
    "service": name,
    "command": command,
    "undo": command,
    "timeout": _duration(1, 86400, "from 1s to a day"),
    "depends_on": list_of(name),
}
MANIFEST: dict[str, Read] = {
    "services": mapping_of(as_slug, service),
    "databases": mapping_of(as_slug, database),
    "jobs": mapping_of(as_slug, job),
}
