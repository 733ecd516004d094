"""Record against target, object by object: what differs, and what mending would do. Changes nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.deployer.fence import Fence
from services.deployer.targets.local.certificates import Certificates
from services.deployer.targets.local.container_state import Container
from services.deployer.targets.local.containers import Limits
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.engine_errors import Json
from services.deployer.targets.local.load_balancer import LoadBalancer
from services.deployer.targets.local.naming import Role, epoch_of, is_scratch, network_name, place_labels, place_of, route_name
from services.deployer.targets.local.records import DatabaseRecord, Placed, Records, ServiceRecord
from services.deployer.targets.local.route_files import PREFIX, url_of
from services.deployer.targets.local.route_folder import RouteFolder
from shared.contracts.examination import Difference, Kind
from shared.contracts.places import Place
from shared.traefik import file_path
from shared.work import StepFailure

log = structlog.get_logger()

_LOOKS, _BETWEEN_S = 20, 0.1


@dataclass(frozen=True)
class _Found:
    """What the engine has of an environment."""

    containers: Mapping[str, Container]
    network: Json | None
    volumes: frozenset[str]


@dataclass(frozen=True)
class Examination:
    """Looks at one instance."""

    fence: Fence
    engine: Engine
    records: Records
    routes: RouteFolder
    certificates: Certificates
    balancer: LoadBalancer
    instance: str

    async def places(self) -> list[Place]:
        """Every environment that is recorded, or that anything on the engine says it belongs to."""
        labels = {"slipway.instance": self.instance}
        found = [(summary["Id"][:12], summary["Labels"]) for summary in await self.engine.summaries(labels)]
        found += [(volume["Name"], volume["Labels"] or {}) for volume in await self.engine.volumes.all(labels)]
        found += [(network["Name"], network.get("Labels") or {}) for network in await self.engine.networks.all()]
        places = self.records.places()
        for name, carried in found:
            if carried.get("slipway.instance") != self.instance:
                continue
            if (place := place_of(carried)) is not None:
                places.add(place)
            elif "slipway.organization" in carried:
                log.warning("left alone: its labels name no environment", name=name)
        return sorted(places, key=str)

    async def of(self, place: Place) -> list[Difference]:
        """What differs in an environment. It is looked at under its lease: no effect is half done meanwhile."""
        async with self.fence.lease(place):
            services, databases = list(self.records.services(place)), list(self.records.databases(place))
            found = await self._found(place)
            differences = [
                *(each for record in services for each in self._service(record, found)),
                *(each for record in databases for each in self._database(record, found)),
                *self._network(place, found, recorded=bool(services or databases)),
                *self._strangers(place, services, databases, found),
                *self._names(place, services),
                *(each for record in services for each in self._files(record)),
            ]
        if not differences:  # otherwise the load balancer can but do something else
            differences = [each for record in services async for each in self._routed(record)]
        return differences

    def strays(self) -> list[Difference]:
        """Files of services that no record speaks of."""
        return [
            *(_stray(Kind.ROUTE, path.name, "is in no record", "removed") for path in self.stray_routes()),
            *(_stray(Kind.CERTIFICATE, path.name, "is in no record", "removed, with its key") for path in self.certificates.strays()),
        ]

    def stray_routes(self) -> list[Path]:
        """Route files that no record speaks of. A record is written before its file, so the files are looked at first."""
        written = sorted(self.routes.folder.glob(f"{PREFIX}*.yml"))
        known = {f"{PREFIX}{route_name(record.place, record.service)}" for record in self.records.services()}
        return [path for path in written if path.stem not in known]

    async def _found(self, place: Place) -> _Found:
        labels = place_labels(self.instance, place)
        volumes = [volume for volume in await self.engine.volumes.all(labels) if not is_scratch(volume["Labels"])]
        return _Found(
            containers={container.name: container for container in await self.engine.find(labels)},
            network=await self.engine.networks.find(network_name(self.instance, place)),
            volumes=frozenset(str(volume["Name"]) for volume in volumes),
        )

    def _service(self, record: ServiceRecord, found: _Found) -> Iterator[Difference]:
        if record.live is None or record.giving_way:
            return
        limits = Limits(record.live.release.container.resources.memory_bytes, record.live.release.container.resources.cpu)
        about = f"of the service {record.service}"
        yield from self._container(record.place, record.live.container, about, limits, found)
        there = found.containers.get(record.live.container)
        if there is not None and there.label("key") != record.live.release.key:
            yield _container(
                record.place, record.live.container, f"{about} holds another release than recorded", "removed and made anew from the record"
            )

    def _database(self, record: DatabaseRecord, found: _Found) -> Iterator[Difference]:
        about = f"of the database {record.spec.name}"
        if record.volume not in found.volumes:
            yield Difference(
                place=record.place,
                kind=Kind.VOLUME,
                name=record.volume,
                what=f"{about} is gone, and its rows with it",
                remedy="made anew, empty: restore a backup into it then",
            )
        yield from self._container(record.place, record.container, about, Limits(record.spec.memory_bytes), found)

    def _container(self, place: Place, name: str, about: str, limits: Limits, found: _Found) -> Iterator[Difference]:
        there, network = found.containers.get(name), network_name(self.instance, place)
        if there is None:
            yield _container(place, name, f"{about} is gone", "made anew from the record and started")
            return
        if not there.running:
            yield _container(place, name, f"{about} does not run ({there.status}, exit code {there.exit_code})", "started")
        elif there.status == "paused":
            yield _container(place, name, f"{about} is paused", f"by hand: docker unpause {name}", mendable=False)
        if not there.is_on(found.network):
            yield _container(place, name, f"{about} is not on the environment's network", f"put on {network}")
        if there.restart_policy != "unless-stopped":
            yield _container(place, name, f"{about} would not start with the engine", "its restart policy set")
        if not limits.hold_of(there):
            yield _container(place, name, f"{about} has other limits than recorded", "its limits set")

    def _network(self, place: Place, found: _Found, *, recorded: bool) -> Iterator[Difference]:
        name = network_name(self.instance, place)
        if recorded and found.network is None:
            yield Difference(place=place, kind=Kind.NETWORK, name=name, what="is gone", remedy="made anew, and containers put on it")
        elif not recorded and found.network is not None and not found.containers:
            yield Difference(place=place, kind=Kind.NETWORK, name=name, what="is used by nothing", remedy="removed")

    def _strangers(
        self, place: Place, services: list[ServiceRecord], databases: list[DatabaseRecord], found: _Found
    ) -> Iterator[Difference]:
        """What the engine has and no record speaks of."""
        kept = {name for record in services for name in record.containers()} | {record.container for record in databases}
        undone, highest = self.records.undone(place), self.fence.highest(place)
        for name, container in found.containers.items():
            if name in kept:
                continue
            epoch = epoch_of(container.labels)
            stale = container.label("role") == Role.APPLICATION and epoch is not None and epoch < highest
            if stale or container.label("step") in undone:
                yield _container(place, name, "is a leftover of a deployment that has ended", "removed")
            else:
                yield _container(
                    place,
                    name,
                    "is in no record, and nobody has undone it",
                    f"by hand, if it is nothing: docker rm -f {name}",
                    mendable=False,
                )
        known = {record.volume for record in databases} | {volume.volume for volume in self.records.detached(place)}
        for volume in sorted(found.volumes - known):
            remedy = f"by hand, if its rows are not needed: docker volume rm {volume}"
            what = "is in no record"
            yield Difference(place=place, kind=Kind.VOLUME, name=volume, what=what, remedy=remedy, mendable=False)

    def _names(self, place: Place, services: list[ServiceRecord]) -> Iterator[Difference]:
        """Names that the environment's services answer to, and those that are held for them."""
        held = {(claim.host, claim.service) for claim in self.records.claims(place)}
        placed = [(record.service, each) for record in services for each in (record.live, record.former, record.candidate) if each]
        answered = {(host, service) for service, each in placed for host in each.release.hosts}
        for host, service in sorted(answered - held):
            yield _domain(place, host, f"is not held for the service {service}, which answers to it")
        for host, service in sorted(held - answered):
            yield _domain(place, host, f"is held for the service {service}, which does not answer to it")

    def _files(self, record: ServiceRecord) -> Iterator[Difference]:
        """Route file and certificate."""
        name = PREFIX + route_name(record.place, record.service)
        path = file_path(self.routes.folder, name)
        wanted = self.routes.files.render(record, self.routes.token(record))
        if wanted is not None and not path.exists():
            yield _file(record.place, Kind.ROUTE, path.name, f"of the service {record.service} is gone", "written again")
        elif wanted is not None and path.read_text(encoding="utf-8") != wanted.render():
            yield _file(record.place, Kind.ROUTE, path.name, f"of the service {record.service} is not as recorded", "written again")
        elif wanted is None and path.exists():
            yield _file(record.place, Kind.ROUTE, path.name, f"of the service {record.service} leads nowhere", "removed")
        if (lacks := self.certificates.lacks(record)) is not None:
            yield _file(record.place, Kind.CERTIFICATE, str(record.certificate), lacks, "issued anew")

    async def _routed(self, record: ServiceRecord) -> AsyncIterator[Difference]:
        """Whether the load balancer does what the file says; asked last, as it follows the file within moments."""
        name, live = route_name(record.place, record.service), record.live
        wanted = url_of(live) if live is not None and _has_route(live) else None
        try:
            good = await self._soon(name, wanted)
        except StepFailure as error:
            yield _file(record.place, Kind.ROUTE, name, str(error), "by hand: see the load balancer's log", mendable=False)
            return
        if not good:
            leads = f"does not lead to {wanted}" if wanted else "still leads somewhere"
            yield _file(
                record.place,
                Kind.ROUTE,
                name,
                f"of the service {record.service} {leads} in the load balancer",
                "by hand: see the load balancer's log, or start it again",
                mendable=False,
            )

    async def _soon(self, name: str, wanted: str | None) -> bool:
        """The load balancer follows a file within moments."""
        for _ in range(_LOOKS):
            if await self.balancer.routes_to(name, wanted):
                return True
            await asyncio.sleep(_BETWEEN_S)
        return False


def _has_route(placed: Placed) -> bool:
    return bool(placed.release.hosts) and placed.release.port is not None


def _container(place: Place, name: str, what: str, remedy: str, *, mendable: bool = True) -> Difference:
    return Difference(place=place, kind=Kind.CONTAINER, name=name, what=what, remedy=remedy, mendable=mendable)


def _file(place: Place, kind: Kind, name: str, what: str, remedy: str, *, mendable: bool = True) -> Difference:
    return Difference(place=place, kind=kind, name=name, what=what, remedy=remedy, mendable=mendable)


def _domain(place: Place, name: str, what: str) -> Difference:
    return Difference(place=place, kind=Kind.DOMAIN, name=name, what=what, remedy="by hand: slipway deploy --again", mendable=False)


def _stray(kind: Kind, name: str, what: str, remedy: str) -> Difference:
    return Difference(kind=kind, name=name, what=what, remedy=remedy)
