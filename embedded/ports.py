"""Local ports: chosen once and remembered, so that a restart keeps them."""

import json
import secrets
import socket
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import psutil

from embedded.home import write_private

_RANGE = range(20000, 32000)
"""Below the ephemeral ports, which outgoing connections take."""


def choose(file: Path, names: Iterable[str], held: Collection[str] = ()) -> Mapping[str, int]:
    """A port of 127.0.0.1 for each name: the remembered one if it is free or among those that we `held`, else a new one."""
    known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    chosen = dict(known)
    for name in names:
        if name not in chosen or not (name in held or is_free("127.0.0.1", chosen[name])):
            chosen[name] = _free_port(set(chosen.values()))
    if chosen != known:
        write_private(file, json.dumps(chosen, indent=1))
    return chosen


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now; connections that a former one left waiting do not count."""
    return obstacle(host, port) is None


def obstacle(host: str, port: int) -> OSError | None:
    """What would keep a server from listening there now: EADDRINUSE where somebody else does."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def holder(port: int) -> str | None:
    """Who listens on the port, as `name (process 123)`; None where that cannot be seen."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        if listens and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
            except psutil.NoSuchProcess:
                return None
    return None


def _free_port(taken: Collection[int]) -> int:
    while True:
        port = secrets.choice(_RANGE)
        if port not in taken and is_free("127.0.0.1", port):
            return port
