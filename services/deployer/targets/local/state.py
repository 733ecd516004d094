"""The target's state of one environment, object by object, so that two of them can be compared: before and after a roll-back."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from services.deployer.targets.local.container_state import Container
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.naming import is_scratch, network_name, place_labels, route_name
from services.deployer.targets.local.records import Placed, Records, ServiceRecord
from services.deployer.targets.local.route_files import PREFIX
from shared.contracts.places import Place
from shared.traefik import file_path

Described = Mapping[str, object]


@dataclass(frozen=True)
class TargetState:
    """Each kind of object by name. Equal states are equal in all that a user could notice; volumes marked as detached stand apart."""

    containers: Mapping[str, Described]
    services: Mapping[str, Described]
    routes: Mapping[str, str]
    networks: Mapping[str, Described]
    databases: Mapping[str, Described]
    volumes: tuple[str, ...]
    domains: Mapping[str, str]
    certificates: Mapping[str, str]
    detached: tuple[str, ...]

    def comparable(self) -> dict[str, object]:
        """All but the detached volumes."""
        return {name: part for name, part in asdict(self).items() if name != "detached"}


@dataclass(frozen=True)
class StateReader:
    """Reads the state of one instance's environments."""

    engine: Engine
    records: Records
    instance: str
    dynamic: Path
    certificates: Path

    async def describe(self, place: Place) -> TargetState:
        """What stands on the target for an environment. Changes nothing."""
        services = list(self.records.services(place))
        detached = tuple(sorted(volume.volume for volume in self.records.detached(place)))
        volumes = [
            volume for volume in await self.engine.volumes.all(place_labels(self.instance, place)) if not is_scratch(volume["Labels"])
        ]
        containers = await self.engine.find(place_labels(self.instance, place))
        network = await self.engine.networks.find(network_name(self.instance, place))
        return TargetState(
            containers={container.name: _container(container) for container in sorted(containers, key=lambda found: found.name)},
            services={record.service: _service(record) for record in services},
            routes=self._routes(place),
            networks={}
            if network is None
            else {str(network["Name"]): {"subnet": network["IPAM"]["Config"][0]["Subnet"], "id": network["Id"]}},
            databases={record.spec.name: record.model_dump(mode="json", exclude={"place"}) for record in self.records.databases(place)},
            volumes=tuple(sorted({volume["Name"] for volume in volumes} - set(detached))),
            domains={claim.host: claim.service for claim in self.records.claims(place)},
            certificates=self._certificates(place),
            detached=detached,
        )

    def _routes(self, place: Place) -> dict[str, str]:
        pattern = file_path(self.dynamic, f"{PREFIX}{route_name(place, 'x')}").name.replace(".x.yml", ".*.yml")
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(self.dynamic.glob(pattern))}

    def _certificates(self, place: Place) -> dict[str, str]:
        return {path.name: _hash(path.read_bytes()) for path in sorted(self.certificates.glob(f"{place.subject}.*"))}


def _container(found: Container) -> dict[str, object]:
    return {
        "id": found.id,
        "image": found.image,
        "running": found.running,
        "user": found.user,
        "command": found.command,
        "variables": _hash("\n".join(sorted(found.environment)).encode()),
        "memory_bytes": found.memory_bytes,
        "nano_cpus": found.nano_cpus,
        "restart_policy": found.restart_policy,
        "read_only": found.read_only,
        "networks": {name: asdict(part) for name, part in found.networks.items()},
        "volumes": found.volumes,
        "release": found.label("release"),
    }


def _service(record: ServiceRecord) -> dict[str, object]:
    return {
        "live": _placed(record.live),
        "former": _placed(record.former),
        "candidate": _placed(record.candidate),
        "certificates": record.certificates(),
    }


def _placed(placed: Placed | None) -> dict[str, object] | None:
    return None if placed is None else {"release": placed.release.id, "container": placed.container, "address": placed.address}


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
