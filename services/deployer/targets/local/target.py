"""The local target: containers on a Docker engine, Traefik in front. Composition of its ports."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiodocker import Docker

from services.deployer.fence import Fence
from services.deployer.files import remove_unfinished
from services.deployer.settings import Settings
from services.deployer.targets.local.certificates import Certificates, LocalAuthority
from services.deployer.targets.local.checks import Checks, Front
from services.deployer.targets.local.database_images import DatabaseImages
from services.deployer.targets.local.databases import Databases
from services.deployer.targets.local.domains import Domains
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.examination import Examination
from services.deployer.targets.local.jobs import Jobs
from services.deployer.targets.local.load_balancer import LoadBalancer
from services.deployer.targets.local.networks import Networks
from services.deployer.targets.local.reconcile import Reconcile
from services.deployer.targets.local.records import Records
from services.deployer.targets.local.route_files import RouteFiles
from services.deployer.targets.local.route_folder import RouteFolder
from services.deployer.targets.local.routes import Routes
from services.deployer.targets.local.secrets import TargetKey
from services.deployer.targets.local.state import StateReader
from services.deployer.targets.local.sweep import Sweep
from services.deployer.targets.local.upkeep import Upkeep
from services.deployer.targets.local.workloads import Workloads
from shared.contracts.places import Place
from shared.contracts.releases import ContainerSpec, Sealed


@dataclass(frozen=True)
class LocalTarget:
    """Every port of this machine."""

    fence: Fence
    engine: Engine
    records: Records
    databases: Databases
    jobs: Jobs
    workloads: Workloads
    routes: Routes
    domains: Domains
    certificates: Certificates
    checks: Checks
    sweep: Sweep
    reconcile: Reconcile
    upkeep: Upkeep
    state: StateReader
    balancer: LoadBalancer
    key: TargetKey

    def secret_values(self, sealed: Sealed, place: Place, container: ContainerSpec) -> Mapping[str, str]:
        """What a container gets that nobody may read in a log: the sealed values, and its databases' passwords."""
        passwords = {link.variable: self.key.password(place, link.database) for link in container.databases}
        return self.key.open(sealed) | passwords


def assemble(settings: Settings, docker: Docker, balancer: LoadBalancer) -> LocalTarget:
    """Wires the ports. Nothing is asked or changed."""
    instance, folder = settings.instance, settings.target_folder
    engine, fence, records = Engine(docker), Fence(folder), Records(folder)
    key = TargetKey(settings.key_file)
    authority = LocalAuthority(settings.home / "ca")
    networks = Networks(engine, instance, settings.subnets)
    workloads = Workloads(engine, networks, records, key, instance)
    databases = Databases(engine, networks, records, key, DatabaseImages(engine, settings.postgres_images), instance)
    route_folder = RouteFolder(settings.dynamic_folder, RouteFiles(settings.certificate_folder, settings.https_port), key)
    certificates = Certificates(settings.certificate_folder, authority, records, route_folder)
    checks = Checks(engine, records, workloads, balancer, Front(settings.https_port, authority.certificate), key)
    sweep = Sweep(engine, networks, records, instance)
    examination = Examination(fence, engine, records, route_folder, certificates, balancer, instance)
    reconcile = Reconcile(fence, engine, records, workloads, databases, route_folder, certificates, sweep, examination)
    return LocalTarget(
        fence=fence,
        engine=engine,
        records=records,
        databases=databases,
        jobs=Jobs(engine, networks, records, key, instance),
        workloads=workloads,
        routes=Routes(records, route_folder, balancer, workloads, checks, certificates, settings.drain_s),
        domains=Domains(records),
        certificates=certificates,
        checks=checks,
        sweep=sweep,
        reconcile=reconcile,
        upkeep=Upkeep(examination, reconcile, records),
        state=StateReader(engine, records, instance, settings.dynamic_folder, settings.certificate_folder),
        balancer=balancer,
        key=key,
    )


@asynccontextmanager
async def local_target(settings: Settings) -> AsyncIterator[LocalTarget]:
    """The target with its connections, closed at the end. What a worker that died was writing is removed first."""
    for folder in (settings.target_folder, settings.certificate_folder):
        remove_unfinished(folder)
    docker, balancer = Docker(settings.docker_host), LoadBalancer.at(settings.traefik_api)
    try:
        yield assemble(settings, docker, balancer)
    finally:
        await balancer.close()
        await docker.close()
