"""Where services call on behalf of users: public addresses, and what the installation's admin has named.

A user's address must not lead back into the installation's network (server-side request forgery, OWASP's cheat sheet),
whatever name it hides behind and wherever it redirects to: names are resolved here, and what was checked is what is called.
"""

import asyncio
import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

from shared.public_addresses import is_public

PRIVATE_FORGES = "Name it in SLIPWAY_PRIVATE_FORGES for the platform"
"""How an admin lets forges be called that are at private addresses; read by whoever calls forges."""
Network = IPv4Network | IPv6Network


class Refused(Exception):
    """The address may not be called; trying again does not help."""


class Unresolved(Exception):
    """The host has no address now; another time it may."""


def _listed(value: object) -> object:
    return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value


def _checked(hosts: tuple[str, ...]) -> tuple[str, ...]:
    for host in hosts:
        if _network(host) is None and ("/" in host or ":" in host or any(character.isspace() for character in host)):
            raise ValueError(f"{host!r} is neither a host name nor an address or network: write gitlab.lan, 10.1.2.3 or 10.1.0.0/16")
    return hosts


PrivateHosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed), AfterValidator(_checked)]
"""Of settings: names, addresses and networks, with commas between them (`gitlab.lan,10.1.0.0/16`)."""


def _network(host: str) -> Network | None:
    try:
        return ip_network(host.strip("[]"), strict=False)
    except ValueError:
        return None


@dataclass(frozen=True)
class Reach:
    """How far calls may go. `setting` is what an admin sets to let them go further; a refusal names it."""

    setting: str
    private: tuple[str, ...] = ()
    """Names whose addresses may be private, and private addresses and networks (as `PrivateHosts`)."""
    everywhere: bool = False
    _networks: tuple[Network, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        networks = tuple(network for host in self.private if (network := _network(host)) is not None)
        object.__setattr__(self, "_networks", networks)

    async def addresses_of(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses of the host that may be called, at least one. Raises `Refused` or `Unresolved`."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unresolved(f"{host} has no address: {error}") from error
        addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
        allowed = tuple(address for address in addresses if self._may_call(host, address))
        if not allowed:
            raise Refused(f"{host} is at {', '.join(addresses)}, which is no public address. {self.setting} if it may be called.")
        return allowed

    def _may_call(self, host: str, address: str) -> bool:
        named = {name.lower().rstrip(".") for name in self.private}
        return self.everywhere or is_public(address) or host.lower().rstrip(".") in named or self._in_a_network(address)

    def _in_a_network(self, address: str) -> bool:
        parsed = ip_address(address.partition("%")[0])
        return any(parsed in network for network in self._networks)
