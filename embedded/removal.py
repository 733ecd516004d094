"""Removes what an instance made on the engine: by its label, and nothing else."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from embedded import engine
from embedded.container import name_of

_STOP_SECONDS = 10
_REQUEST_LIMIT = 60.0


@dataclass(frozen=True)
class Removed:
    """The names of what was removed."""

    containers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()


def remove_instance(host: str, instance: str, *, volumes: bool) -> Removed:
    """Stop and remove all containers of the instance, then its networks and, if asked for, its volumes.

    What is gone already is what we want. Raises engine.EngineError where the engine refuses.
    """
    filters = quote(json.dumps({"label": [f"slipway.instance={instance}"]}))
    containers: list[dict[str, Any]] = engine.ask(host, f"/containers/json?all=true&filters={filters}")
    with ThreadPoolExecutor(max_workers=8) as pool:
        for _ in pool.map(lambda found: _remove_container(host, str(found["Id"])), containers):
            pass
    networks: list[dict[str, Any]] = engine.ask(host, f"/networks?filters={filters}")
    for found in networks:
        engine.order(host, "DELETE", f"/networks/{found['Id']}", _REQUEST_LIMIT)
    kept = engine.ask(host, f"/volumes?filters={filters}")["Volumes"] or [] if volumes else []
    for found in kept:
        engine.order(host, "DELETE", f"/volumes/{found['Name']}", _REQUEST_LIMIT)
    return Removed(
        tuple(sorted(map(name_of, containers))),
        tuple(sorted(str(found["Name"]) for found in networks)),
        tuple(sorted(str(found["Name"]) for found in kept)),
    )


def _remove_container(host: str, identity: str) -> None:
    """With its anonymous volumes; the named ones are data."""
    engine.order(host, "POST", f"/containers/{identity}/stop?t={_STOP_SECONDS}", _REQUEST_LIMIT)
    engine.order(host, "DELETE", f"/containers/{identity}?force=true&v=true", _REQUEST_LIMIT)
