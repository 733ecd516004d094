"""The sections of slipway.yaml: which keys each has, and what they become."""

import re
from pathlib import PurePosixPath

from yaml.nodes import Node

from services.builder import quantities
from services.builder.manifest_fields import (
    VARIABLE,
    absolute,
    as_slug,
    boolean,
    command,
    domain,
    duration,
    inside,
    list_of,
    mapping_of,
    matching,
    name,
    one_of,
    quantity,
    size,
    text,
    url_path,
    variable_name,
    whole,
)
from services.builder.yaml_reading import Read, Reading, is_null, is_scalar
from shared.contracts.manifest import BuildSpec, DatabaseManifest, HealthCheck, JobManifest, Resources, ServiceManifest, Strategy
from shared.contracts.places import EnvironmentKind

IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/@-]{0,254}", re.ASCII)
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?", re.ASCII)


def build(reading: Reading, node: Node, path: str) -> BuildSpec:
    """How an image is built; a single path is the context."""
    if is_scalar(node) and not is_null(node):
        return _with_dockerfile({"context": inside(reading, node, path)})
    return _with_dockerfile(reading.section(node, path, BUILD))


def _with_dockerfile(values: dict[str, object]) -> BuildSpec:
    """In the context lies the Dockerfile, where nothing else is said."""
    context = str(values.get("context", "."))
    return BuildSpec.model_validate({"dockerfile": str(PurePosixPath(context) / "Dockerfile"), **values})


def _built_in(folder: str, reading: Reading, spec: object, path: str) -> BuildSpec:
    """In the service's own folder lie the context and the Dockerfile, where `build` says nothing else."""
    said = {"context": folder, "dockerfile": str(PurePosixPath(folder) / "Dockerfile")}
    if not isinstance(spec, BuildSpec):
        return BuildSpec.model_validate(said)
    node = reading.places[path]
    if f"{path}.context" in reading.places or (is_scalar(node) and not is_null(node)):
        del said["context"]
    if f"{path}.dockerfile" in reading.places:
        del said["dockerfile"]
    return spec.model_copy(update=said)


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
    for key in ("build", "path"):
        if "image" in values and key in values:
            reading.wrong_at(f"{path}.image", f"`image` and `{key}` exclude each other: is the image ready, or built here?")
    if isinstance(values.get("path"), str):
        values["build"] = _built_in(str(values["path"]), reading, values.get("build"), f"{path}.build")
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


def _renamed(values: dict[str, object], **names: str) -> dict[str, object]:
    return {names.get(key, key): value for key, value in values.items()}


PORT = whole(1, 65535)
BUILD: dict[str, Read] = {
    "context": inside,
    "dockerfile": inside,
    "target": matching(re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII), "name of a build stage"),
    "args": mapping_of(variable_name, text),
    "secrets": list_of(matching(VARIABLE, "name of a secret")),
}
HEALTH: dict[str, Read] = {
    "http": url_path,
    "tcp": boolean,
    "command": command,
    "port": PORT,
    "start_period": duration(0, 3600, "at most an hour"),
    "interval": duration(0.05, 300, "from 50ms to 5m"),
    "timeout": duration(0.05, 300, "from 50ms to 5m"),
    "retries": whole(1, 1000),
}
RESOURCES: dict[str, Read] = {
    "memory": size(6, "at least 6Mi"),
    "cpu": quantity(quantities.processors, 0.01, 1024, "at least 10m"),
}
SERVICE: dict[str, Read] = {
    "path": inside,
    "build": build,
    "image": matching(IMAGE, "name of an image"),
    "watch": list_of(inside),
    "port": PORT,
    "command": command,
    "health": health,
    "variables": mapping_of(variable_name, text),
    "databases": list_of(name),
    "domains": list_of(domain),
    "resources": resources,
    "strategy": one_of({strategy.value: strategy for strategy in Strategy}),
    "stop_grace": duration(0, 3600, "at most an hour"),
    "user": matching(USER, "user such as `1000`, `1000:1000` or `node`"),
    "read_only": boolean,
    "writable": list_of(absolute),
    "depends_on": list_of(name),
}
DATABASE: dict[str, Read] = {
    "engine": one_of({"postgresql": "postgresql", "postgres": "postgresql"}),
    "version": matching(re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?", re.ASCII), "version such as `18`"),
    "storage": size(64, "at least 64Mi"),
    "memory": size(32, "at least 32Mi"),
}
JOB: dict[str, Read] = {
    "service": name,
    "command": command,
    "undo": command,
    "repeatable": boolean,
    "timeout": duration(1, 86400, "from 1s to a day"),
    "depends_on": list_of(name),
    "only": list_of(one_of({kind.value: kind for kind in EnvironmentKind})),
}
MANIFEST: dict[str, Read] = {
    "services": mapping_of(as_slug, service),
    "databases": mapping_of(as_slug, database),
    "jobs": mapping_of(as_slug, job),
}
