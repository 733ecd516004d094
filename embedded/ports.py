"""Local ports: chosen once, remembered, so that a restart has them again, and kept, so that nobody else gets them meanwhile."""

import json
import secrets
import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from embedded.home import write_private

_OWN = "127.0.0.1"
_RANGE = range(20000, 32000)
"""Below the ephemeral ports, which outgoing connections take."""
_PATIENCE_S = 0.1


@dataclass(frozen=True)
class Reservation:
    """Ports of 127.0.0.1 by name, and the sockets that keep them for whoever shall listen there.

    The sockets are bound and never listen. Linux lets a server in beside them that sets SO_REUSEADDR, as servers do
    (https://man7.org/linux/man-pages/man7/socket.7.html), and `reserve` nobody.
    """

    ports: Mapping[str, int]
    sockets: tuple[socket.socket, ...]

    def close(self) -> None:
        """Others may have them."""
        for kept in self.sockets:
            kept.close()


def reserve(file: Path, names: Iterable[str], held: Collection[str] = ()) -> Reservation:
    """A port for each name: the remembered one where it is free or among those that we `held`, else a new one."""
    known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    chosen, kept = dict(known), []
    for name in names:
        if name in chosen and name in held:
            continue
        found = (_remembered(chosen[name]) if name in chosen else None) or _new()
        chosen[name] = found.getsockname()[1]
        kept.append(found)
    if chosen != known:
        write_private(file, json.dumps(chosen, indent=1))
    return Reservation(chosen, tuple(kept))


def obstacle(host: str, port: int) -> OSError | None:
    """What would keep a server from listening there now: EADDRINUSE where somebody else does.

    Connections that a former server left waiting do not count.
    """
    with socket.socket() as probe:
        return _bind(probe, host, port)


def somebody_listens(port: int) -> bool:
    """Whether somebody does on 127.0.0.1. One that is too busy to accept within 0.1 s counts."""
    with socket.socket() as probe:
        probe.settimeout(_PATIENCE_S)
        try:
            probe.connect((_OWN, port))
        except ConnectionRefusedError:
            return False
        except OSError:
            pass
    return True


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


def _bind(to_keep: socket.socket, host: str, port: int) -> OSError | None:
    to_keep.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        to_keep.bind((host, port))
    except OSError as error:
        return error
    return None


def _remembered(port: int) -> socket.socket | None:
    """A socket bound to the port that we had before; None where somebody listens there."""
    kept = socket.socket()
    if _bind(kept, _OWN, port) is None:
        return kept
    kept.close()
    return None


def _new() -> socket.socket:
    """A socket bound to a port that nobody has, keeps, or had just now."""
    while True:
        kept = socket.socket()
        try:
            kept.bind((_OWN, secrets.choice(_RANGE)))
        except OSError:
            kept.close()
            continue
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return kept
