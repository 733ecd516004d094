"""Which ports a container's processes listen on, read from its network namespace: nothing needs to be installed in the image.

Format: https://docs.kernel.org/networking/proc_net_tcp.html.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

_LISTEN = "0A"
_ENGINES_RESOLVER = "127.0.0.11"


class Listener(NamedTuple):
    """An address that something listens on."""

    address: str
    port: int

    @property
    def is_local(self) -> bool:
        """Whether nobody outside the container reaches it."""
        address = ip_address(self.address)
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return (mapped or address).is_loopback


def listeners(pid: int, proc: Path = Path("/proc")) -> tuple[Listener, ...]:
    """What listens in the network namespace of a process; nothing where it is gone or may not be looked at."""
    found: set[Listener] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / str(pid) / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        found |= {_listener(fields[1]) for line in lines if len(fields := line.split()) > 3 and fields[3] == _LISTEN}
    return tuple(sorted(listener for listener in found if listener.address != _ENGINES_RESOLVER))


def _listener(local: str) -> Listener:
    address, _, port = local.partition(":")
    words = [int(address[i : i + 8], 16).to_bytes(4, "little") for i in range(0, len(address), 8)]
    raw = b"".join(words)
    return Listener(str(IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw)), int(port, 16))


def port_problem(found: tuple[Listener, ...], wanted: int) -> str | None:
    """In words, why nobody is reached on the wanted port while others are listened on; None where that is not the reason."""
    if any(listener.port == wanted and not listener.is_local for listener in found):
        return None
    if any(listener.port == wanted for listener in found):
        return f"it listens on port {wanted} only for itself (on localhost): let it listen on 0.0.0.0"
    ports = sorted({listener.port for listener in found})
    if not ports:
        return None
    listed = ", ".join(str(port) for port in ports)
    return f"it listens on port {listed}, not on {wanted}: set `port: {ports[0]}` in slipway.yaml, or let it listen on $PORT"
