"""One network an environment, with a small subnet of its own and fixed addresses: a restarted container keeps its own.

The caller holds the environment's lease.
"""

from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from services.deployer.targets.local.container_state import Container
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.naming import network_name, place_labels, short
from shared.contracts.places import Place
from shared.work import StepFailure

PREFIX = 26
"""61 addresses an environment, besides the host's own."""


class Networks:
    """The networks of one instance, out of one range."""

    def __init__(self, engine: Engine, instance: str, pool: IPv4Network) -> None:
        self._engine = engine
        self._instance = instance
        self._pool = pool

    def name(self, place: Place) -> str:
        """What the environment's network is called."""
        return network_name(self._instance, place)

    async def ensure(self, place: Place) -> IPv4Network:
        """The environment's network, made where there is none; its subnet."""
        found = await self._subnet(place)
        if found is not None:
            return found
        taken = [subnet async for subnet in self._taken()]
        for subnet in self._candidates(place):
            if any(subnet.overlaps(other) for other in taken):
                continue
            if await self._engine.networks.create(self._configuration(place, subnet)):
                return await self._subnet(place) or subnet
        raise StepFailure(
            "no_subnet_left",
            f"no free /{PREFIX} network is left in {self._pool} for {place}: give a wider range in SLIPWAY_SUBNETS, or remove environments",
        )

    async def free_address(self, place: Place, subnet: IPv4Network, distinct: str) -> str:
        """An address that no container of the environment has, running or not. It differs with `distinct`, so that none is used again at once."""
        taken = await self._addresses(place) | {str(subnet.network_address + 1)}
        hosts = [str(address) for address in subnet.hosts()]
        offset = int(short(distinct), 16) % len(hosts)
        for address in hosts[offset:] + hosts[:offset]:
            if address not in taken:
                return address
        raise StepFailure(
            "no_address_left", f"all {len(hosts)} addresses of {place} are taken: remove services, or use another environment"
        )

    async def put_back(self, place: Place, found: Container, alias: str) -> None:
        """Puts a container on the environment's network anew, under that name and the address that others know it by, where the network
        has that. What it had of a network that is gone is forgotten.
        """
        subnet, attached = await self.ensure(place), found.networks.get(self.name(place))
        address = "" if attached is None else attached.address
        if not address or IPv4Address(address) not in subnet:
            address = await self.free_address(place, subnet, found.name)
        await self._engine.networks.disconnect(self.name(place), found.name)
        await self._engine.networks.connect(self.name(place), found.name, address, (alias,))

    async def address(self, place: Place, container: str) -> str:
        """A container's fixed address; empty where it has none."""
        found = await self._engine.inspect(container)
        attached = None if found is None else found.networks.get(self.name(place))
        return "" if attached is None else attached.address

    async def remove_unused(self, place: Place) -> bool:
        """Removes the environment's network where no container of the environment is left, nor somebody else's; whether it did."""
        if await self._engine.networks.find(self.name(place)) is None or await self._engine.summaries(place_labels(self._instance, place)):
            return False
        return await self._engine.networks.remove(self.name(place))

    async def _subnet(self, place: Place) -> IPv4Network | None:
        found = await self._engine.networks.find(self.name(place))
        return None if found is None else IPv4Network(found["IPAM"]["Config"][0]["Subnet"])

    async def _addresses(self, place: Place) -> set[str]:
        network = self.name(place)
        attachments = [
            (summary.get("NetworkSettings") or {}).get("Networks", {}).get(network) or {}
            for summary in await self._engine.summaries(place_labels(self._instance, place))
        ]
        fixed = {str((part.get("IPAMConfig") or {}).get("IPv4Address") or "") for part in attachments}
        return fixed | {str(part.get("IPAddress") or "") for part in attachments}

    async def _taken(self) -> AsyncIterator[IPv4Network]:
        for network in await self._engine.networks.all():
            for part in (network.get("IPAM") or {}).get("Config") or ():
                if ":" not in str(part.get("Subnet", ":")):
                    yield IPv4Network(part["Subnet"], strict=False)
        for route in host_routes():
            yield route

    def _candidates(self, place: Place) -> Iterator[IPv4Network]:
        """Every subnet of the range, from one that depends on the environment, so that it tends to get the same again."""
        size = 2 ** (PREFIX - self._pool.prefixlen)
        first = int(short(f"{self._instance}/{place}"), 16) % size
        for number in range(size):
            yield IPv4Network((int(self._pool.network_address) + ((first + number) % size) * 2 ** (32 - PREFIX), PREFIX))

    def _configuration(self, place: Place, subnet: IPv4Network) -> dict[str, object]:
        return {
            "Name": self.name(place),
            "Driver": "bridge",
            "Labels": place_labels(self._instance, place),
            "IPAM": {"Config": [{"Subnet": str(subnet), "Gateway": str(subnet.network_address + 1)}]},
        }


def host_routes(table: Path = Path("/proc/net/route")) -> Iterator[IPv4Network]:
    """The networks that this machine has routes to, the default route apart."""
    for line in table.read_text().splitlines()[1:]:
        fields = line.split()
        mask = int.from_bytes(bytes.fromhex(fields[7]), "little")
        if mask:
            address = IPv4Address(int.from_bytes(bytes.fromhex(fields[1]), "little"))
            yield IPv4Network(f"{address}/{IPv4Address(mask)}", strict=False)
