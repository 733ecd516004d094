"""`slipway status`: what runs of an instance, as it is now."""

import http.client
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import psutil

from embedded import engine, lock
from embedded.attention import Attention, attention
from embedded.container import name_of
from embedded.home import Home
from embedded.settings import EngineSettings, Settings

_PLATFORMS_OWN = {"load-balancer": "load balancer", "registry": "registry"}
"""Roles of the containers that the platform cannot be without, and what they are called."""


@dataclass(frozen=True)
class ProcessStatus:
    """One process of the control plane."""

    name: str
    pid: int | None
    state: str
    """`running`, or `waiting` for its next start."""
    ready: bool
    restarts: int
    memory_mb: float
    """Proportional set size, its children included."""
    last_end: str
    """How it ended the last time, if it did."""


@dataclass(frozen=True)
class ContainerStatus:
    """One container of the instance: the data plane's own (`registry`, `load-balancer`), a database, an application."""

    name: str
    role: str
    state: str
    """The engine's words: `running`, `exited`, …"""
    status: str
    image: str


@dataclass(frozen=True)
class Status:
    """The whole instance."""

    home: str
    instance: str
    url: str
    supervisor: int | None
    """Its process, or None where the control plane is down."""
    ready: bool
    """Whether every health check is true, and registry and load balancer run as far as the engine can be asked."""
    engine: str | None
    engine_trouble: Attention | None
    """What keeps it from being asked; a stopped control plane needs none."""
    processes: tuple[ProcessStatus, ...]
    containers: tuple[ContainerStatus, ...]
    attention: tuple[Attention, ...]
    """What a person should see to."""


def status(settings: Settings) -> Status:
    """Look at processes and containers; takes about a second, and ten where the engine hangs; changes nothing."""
    home = Home.at(settings.home)
    running = lock.running_supervisor(home)
    instance = home.instance if home.instance_file.exists() else ""
    processes = _processes(home, running) if running is not None else ()
    found, containers, trouble = _on_engine(settings.engine, home, instance, needed=running is not None)
    missing = tuple(lacking(home, containers)) if running is not None and found is not None else ()
    return Status(
        home=str(home.path),
        instance=instance,
        url=f"http://{settings.http}",
        supervisor=running,
        ready=bool(processes) and all(process.ready for process in processes) and not missing,
        engine=None if found is None else f"Docker {found.version} at {found.host}",
        engine_trouble=trouble,
        processes=processes,
        containers=containers,
        attention=() if running is None else (*missing, *attention(_health_ports(_known(home)))),
    )


def _on_engine(
    settings: EngineSettings, home: Home, instance: str, *, needed: bool
) -> tuple[engine.Engine | None, tuple[ContainerStatus, ...], Attention | None]:
    try:
        found = engine.find(settings)
        if found is None:
            where = f"No container engine answers at {settings.address}"
            return None, (), Attention(where, _how_it_starts(settings, home)) if needed else None
        return found, _containers(found.host, instance) if instance else (), None
    except engine.EngineError as error:
        return None, (), Attention(error.problem, error.remedy)


def _how_it_starts(settings: EngineSettings, home: Home) -> str:
    """One of our own is known by its folder, which a reboot removes."""
    if settings.is_somebody_elses:
        return "Start it"
    if settings.exec_root.exists():
        return f"It is started again within a minute while Slipway runs; if it is not, {home.logs}/supervisor.log says why"
    return "Start it: sudo systemctl start docker"


def lacking(home: Home, containers: Sequence[ContainerStatus]) -> Iterator[Attention]:
    """Of what the platform cannot be without. The supervisor makes again what was removed, and starts nothing that its owner stopped."""
    for role, called in _PLATFORMS_OWN.items():
        found = next((container for container in containers if container.role == role), None)
        if found is None:
            remedy = f"It is made again within a minute; if it is not, {home.logs}/supervisor.log says why"
            yield Attention(f"the {called}'s container was removed", remedy)
        elif found.state != "running":
            yield Attention(f"the {called} does not run: {found.name} is {found.state}", f"docker start {found.name}")


def _processes(home: Home, supervisor: int) -> tuple[ProcessStatus, ...]:
    known = _known(home)
    ready = _ready(_health_ports(known))
    own = ProcessStatus("supervisor", supervisor, "running", bool(known), 0, _memory_mb(supervisor, deep=False), "")
    children = [
        ProcessStatus(
            name=child["name"],
            pid=child["pid"],
            state="waiting" if child["pid"] is None else "running",
            ready=child["pid"] is not None and ready.get(child["name"], bool(child["ready"])),
            restarts=child["restarts"],
            memory_mb=_memory_mb(child["pid"], deep=True) if child["pid"] is not None else 0.0,
            last_end=child["last_end"],
        )
        for child in known
    ]
    return (own, *children)


def _known(home: Home) -> list[dict[str, Any]]:
    """What the supervisor has written of its children."""
    file = home.run / "processes.json"
    found: list[dict[str, Any]] = json.loads(file.read_text()) if file.exists() else []
    return found


def _health_ports(known: list[dict[str, Any]]) -> dict[str, int]:
    return {child["name"]: child["health_port"] for child in known if child["health_port"]}


def _ready(ports: dict[str, int]) -> dict[str, bool]:
    """By threads, not an event loop: the caller may have one."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        return dict(zip(ports, pool.map(_answers, ports.values()), strict=True))


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _memory_mb(pid: int, *, deep: bool) -> float:
    try:
        process = psutil.Process(pid)
        family = [process, *(process.children(recursive=True) if deep else ())]
        return sum(float(member.memory_full_info().pss) for member in family) / 1024**2
    except psutil.Error:
        return 0.0


def _containers(host: str, instance: str) -> tuple[ContainerStatus, ...]:
    filters = quote(json.dumps({"label": [f"slipway.instance={instance}"]}))
    found = engine.ask(host, f"/containers/json?all=true&filters={filters}")
    return tuple(
        ContainerStatus(
            name=name_of(container),
            role=container["Labels"].get("slipway.role", ""),
            state=container["State"],
            status=container["Status"],
            image=container["Image"],
        )
        for container in sorted(found, key=name_of)
    )
