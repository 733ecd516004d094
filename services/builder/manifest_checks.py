"""What must hold between the parts of a manifest: references, order, names, domains."""

from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from services.builder.yaml_reading import Reading, suggestion
from shared.contracts.manifest import Manifest

_CIRCLES = 20
_CIRCLE_SHOWN = 10
Described = Mapping[str, Collection[str]]
"""Section → the names that are described in it."""


def check(reading: Reading, manifest: Manifest) -> None:
    """Notes every problem between parts; those within a part were noted when it was read."""
    for section, why in manifest.too_many().items():
        reading.wrong_at(section, why)
    _references(reading, manifest)
    _cycles(reading, "services", {name: service.depends_on for name, service in manifest.services.items()})
    _cycles(reading, "jobs", {name: job.depends_on for name, job in manifest.jobs.items()})
    _domains(reading, manifest)
    for name in manifest.databases.keys() & manifest.services.keys():
        reading.wrong_at(
            f"databases.{name}",
            f"a service has this name too (line {reading.line_of(f'services.{name}')}): both would be `{name}` on the network",
        )
    if not manifest.services and not reading.problems:
        reading.wrong_at("", "no service is described; write at least:\n  services:\n    web:\n      port: 8080")


def _references(reading: Reading, manifest: Manifest) -> None:
    described = _described(reading)
    for name, service in manifest.services.items():
        _known(reading, f"services.{name}.databases", service.databases, "database", described)
        _known(reading, f"services.{name}.depends_on", service.depends_on, "service", described)
    for name, job in manifest.jobs.items():
        path = f"jobs.{name}.service"
        _known(reading, f"jobs.{name}.depends_on", job.depends_on, "job", described)
        if path in reading.places and not any(problem.path == path for problem in reading.problems):
            _known_one(reading, path, job.service, "service", described)


def _known(reading: Reading, path: str, names: Iterable[str], kind: str, described: Described) -> None:
    for index, name in enumerate(names):
        _known_one(reading, f"{path}.{index}", name, kind, described)


def _known_one(reading: Reading, path: str, name: str, kind: str, described: Described) -> None:
    names = described.get(f"{kind}s", ())
    if name not in names:
        reading.wrong_at(path, f"no {kind} `{name}` is described; {suggestion(name, names)}")


def _described(reading: Reading) -> Described:
    """What is described wrongly is described all the same: its own problem was told."""
    described: dict[str, set[str]] = {}
    for section, _, name in (path.partition(".") for path in reading.places):
        if name and "." not in name:
            described.setdefault(section, set()).add(name)
    return described


def _cycles(reading: Reading, section: str, edges: Mapping[str, tuple[str, ...]]) -> None:
    """Each circle once, as many as anybody reads: its first edge is left out, and the rest is looked at again."""
    open_edges = {name: {other for other in others if other in edges} for name, others in edges.items()}
    for _ in range(_CIRCLES):
        try:
            TopologicalSorter(open_edges).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1]
            first, then = circle[1], circle[0]
            shown = circle[:0:-1] if len(circle) <= _CIRCLE_SHOWN else [*circle[:-_CIRCLE_SHOWN:-1], "…"]
            around = " → ".join([*shown, circle[0]]) if len(circle) > 2 else f"{first} → itself"
            reading.wrong_at(f"{section}.{first}.depends_on", f"goes round in a circle: {around}")
            open_edges[first].discard(then)
        else:
            return


def _domains(reading: Reading, manifest: Manifest) -> None:
    taken: dict[str, str] = {}
    for name, service in manifest.services.items():
        for index, domain in enumerate(service.domains):
            path = f"services.{name}.domains.{index}"
            if domain in taken:
                reading.wrong_at(path, f"`{domain}` is given to `{taken[domain]}` already: a domain belongs to one service")
            else:
                taken[domain] = name
