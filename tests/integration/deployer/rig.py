"""A whole local target for tests: a home of its own, the real Docker engine, a real Traefik, and commands to drive it with."""

import asyncio
import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TypeVar

import httpx
import yaml
from aiodocker import Docker

from embedded import authority
from embedded.home import Home
from embedded.images.provision import load
from services.deployer.handlers import handlers, undos
from services.deployer.settings import Settings
from services.deployer.targets.local.checks import Front
from services.deployer.targets.local.target import LocalTarget, local_target
from shared.contracts import commands as c
from shared.contracts.facts import Fact
from shared.contracts.manifest import HealthCheck, Resources, Strategy
from shared.contracts.places import Place
from shared.contracts.releases import ContainerSpec, DatabaseLink, DatabaseSpec, JobSpec, Release, Sealed, SecretRef
from shared.messages import new_id
from shared.sealing import public_key_of, seal
from tests.stack import free_port

ENGINE = os.environ.get("SLIPWAY_DOCKER_HOST", "unix:///var/run/docker.sock")
MIB = 1024 * 1024
F = TypeVar("F", bound=Fact)
SERVE = 'mkdir /tmp/www; echo "{text}" > /tmp/www/index.html; exec httpd -f -p $PORT -h /tmp/www'


@dataclass(frozen=True)
class Machine:
    """A home with keys and authority, and a Traefik that reads its folder."""

    settings: Settings
    home: Home
    image: str
    """busybox."""

    @property
    def front(self) -> Front:
        """The load balancer's TLS port."""
        return Front(self.settings.https_port, self.home.ca / "ca.pem")


@contextmanager
def machine(engine: str = ENGINE, majors: tuple[str, ...] = ("18", "15")) -> Iterator[Machine]:
    """Made for a test run, removed at its end with all that carries its instance's name. `majors`: the versions of PostgreSQL that it has."""
    folder = Path(tempfile.mkdtemp(prefix="slipway-target-"))
    home = Home.at(folder)
    home.prepare()
    authority.prepare(home, ())
    for name in ("dynamic", "certificates"):
        (home.traefik / name).mkdir(parents=True)
    web, secure, api = free_port(), free_port(), free_port()
    settings = Settings(
        home=folder,
        instance=f"slt-{secrets.token_hex(3)}",
        docker_host=engine,
        traefik_api=f"http://127.0.0.1:{api}",
        https_port=secure,
        web_port=web,
        postgres_images={major: load(f"postgres:{major}", engine=engine) for major in majors},
        subnets="10.197.0.0/18",
        drain_s=0.2,
    )
    process = _traefik(home, web, secure, api)
    try:
        yield Machine(settings, home, load("shell", engine=engine))
    finally:
        process.terminate()
        process.wait()
        asyncio.run(_remove_instance(engine, settings.instance))
        shutil.rmtree(folder)


def _traefik(home: Home, web: int, secure: int, api: int) -> "subprocess.Popen[bytes]":
    static = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "WARN"},
        "api": {"insecure": True, "dashboard": False},
        "entryPoints": {
            "web": {"address": f"127.0.0.1:{web}"},
            "websecure": {"address": f"127.0.0.1:{secure}", "http": {"tls": {}}},
            "traefik": {"address": f"127.0.0.1:{api}"},
        },
        "providers": {"providersThrottleDuration": "50ms", "file": {"directory": str(home.traefik / "dynamic"), "watch": True}},
    }
    configuration = home.path / "traefik.yml"
    configuration.write_text(yaml.safe_dump(static))
    binary = Path(sys.executable).with_name("traefik")
    log = (home.path / "traefik.log").open("wb")
    process = subprocess.Popen([str(binary), f"--configFile={configuration}"], cwd=home.traefik, stdout=log, stderr=log)
    log.close()
    deadline = time.monotonic() + 20
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{api}/api/version", trust_env=False)
        except httpx.TransportError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise AssertionError((home.path / "traefik.log").read_text()) from None
            time.sleep(0.05)
        else:
            return process


async def remove_all(docker: Docker, labels: Mapping[str, str]) -> None:
    """Removes every container, network and volume with these labels."""
    filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
    containers = await docker.containers.list(all=True, filters=filters)
    await asyncio.gather(*(container.delete(force=True, v=True) for container in containers))
    for network in await docker.networks.list(filters=filters):
        await docker._query_json(f"networks/{network['Id']}", "DELETE")
    for volume in (await docker._query_json("volumes", params={"filters": json.dumps(filters)}))["Volumes"] or ():
        await docker._query_json(f"volumes/{volume['Name']}", "DELETE")


async def _remove_instance(engine: str, instance: str) -> None:
    async with Docker(engine) as docker:
        await remove_all(docker, {"slipway.instance": instance})


@dataclass
class Told:
    """A journal that remembers."""

    lines: list[str] = field(default_factory=list)
    secret: dict[str, str] = field(default_factory=dict)

    def log(self, line: str) -> None:
        """Kept."""
        self.lines.append(line)

    def redact(self, values: Mapping[str, str]) -> None:
        """Kept."""
        self.secret |= values


@dataclass
class Deployment:
    """Sends the commands of one deployment, as the coordinator does."""

    place: Place
    target: LocalTarget
    epoch: int
    id: str = field(default_factory=new_id)
    journal: Told = field(default_factory=Told)

    async def do(self, command: type[c.Command], step: str, expected: type[F], **fields: object) -> F:
        """Does a step; its fact."""
        return await self._send(c.Direction.DO, command, step, expected, self.epoch, **fields)

    async def undo(self, command: type[c.Command], step: str, expected: type[F], **fields: object) -> F:
        """Undoes a step, under the next epoch."""
        return await self._send(c.Direction.UNDO, command, step, expected, self.epoch + 1, **fields)

    async def _send(
        self, direction: c.Direction, command: type[c.Command], step: str, expected: type[F], epoch: int, **fields: object
    ) -> F:
        message = command.model_validate(
            {
                "place": self.place,
                "target": "local",
                "deployment": self.id,
                "step": step,
                "epoch": epoch,
                "timeout_s": 60,
                "direction": direction,
            }
            | fields
        )
        table = handlers(self.target) if direction is c.Direction.DO else undos(self.target)
        fact = await table[command](command.decode(message.encode()), self.journal)
        assert isinstance(fact, expected)
        return fact


@dataclass
class Site:
    """One environment on the machine, and what is deployed to it."""

    machine: Machine
    target: LocalTarget
    docker: Docker
    place: Place
    _epochs: Iterator[int] = field(default_factory=lambda: count(1, 2))
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def deployment(self) -> Deployment:
        """The next deployment of the environment."""
        return Deployment(self.place, self.target, next(self._epochs))

    def release(
        self,
        text: str,
        *,
        service: str = "web",
        port: int | None = 8000,
        command: tuple[str, ...] | None = None,
        health: HealthCheck | None = None,
        hosts: tuple[str, ...] | None = None,
        strategy: Strategy = Strategy.ROLLING,
        memory: int = 64 * MIB,
        variables: dict[str, str] | None = None,
        secret_names: tuple[str, ...] = (),
        databases: tuple[DatabaseLink, ...] = (),
        stop_grace_s: float = 5.0,
        image: str | None = None,
    ) -> Release:
        """A release of a small web server that answers with `text`."""
        number = next(self._numbers)
        return Release(
            id=new_id(),
            key=f"key-{text}",
            service=service,
            number=number,
            deployment="unset",
            container=ContainerSpec(
                image=image or self.machine.image,
                variables=variables or {},
                secrets=tuple(SecretRef(name=name, version=1) for name in secret_names),
                databases=databases,
                resources=Resources(memory_bytes=memory, cpu=1.0),
            ),
            command=command or ("sh", "-c", SERVE.format(text=text)),
            port=port,
            health=health or HealthCheck(http="/" if port else None, start_period_s=3.0, interval_s=0.2, retries=2),
            hosts=(self.place.host(service),) if hosts is None and port else hosts or (),
            strategy=strategy,
            stop_grace_s=stop_grace_s,
        )

    def job(self, script: str, *, undo: str | None = None, timeout_s: float = 20.0, databases: tuple[DatabaseLink, ...] = ()) -> JobSpec:
        """A job that runs a shell script."""
        return JobSpec(
            name="migrate",
            service="web",
            container=ContainerSpec(image=self.machine.image, databases=databases, resources=Resources(memory_bytes=64 * MIB)),
            command=("sh", "-c", script),
            undo=("sh", "-c", undo) if undo else None,
            timeout_s=timeout_s,
        )

    def database(self, version: str = "18", *, memory: int = 192 * MIB, storage: int = 1024 * MIB) -> DatabaseSpec:
        """A database."""
        return DatabaseSpec(name="main", engine="postgresql", version=version, storage_bytes=storage, memory_bytes=memory)

    def sealed(self, **values: str) -> Sealed:
        """Secrets, sealed to this target."""
        public = public_key_of((self.machine.home.keys / "target.key").read_bytes())
        return Sealed(values={name: seal(public, value.encode()) for name, value in values.items()})

    async def described(self) -> dict[str, object]:
        """The target's state of this environment, comparable."""
        return (await self.target.state.describe(self.place)).comparable()

    @asynccontextmanager
    async def asked(self, service: str = "web", path: str = "/", headers: dict[str, str] | None = None) -> AsyncIterator[httpx.Response]:
        """A request to the public address, TLS verified, whose answer has begun."""
        context = ssl.create_default_context(cafile=str(self.machine.home.ca / "ca.pem"))
        host, port = self.place.host(service), self.machine.settings.https_port
        async with (
            httpx.AsyncClient(verify=context, trust_env=False) as client,
            client.stream(
                "GET",
                f"https://127.0.0.1:{port}{path}",
                headers={"Host": host} | (headers or {}),
                extensions={"sni_hostname": host},
            ) as answer,
        ):
            yield answer

    async def get(self, service: str = "web", path: str = "/", headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Status and body of its answer."""
        async with self.asked(service, path, headers) as answer:
            await answer.aread()
            return answer.status_code, answer.text.strip()

    async def get_or_none(self, service: str = "web") -> tuple[int, str] | None:
        """As `get`; None where nothing of the service is there: no certificate, no route."""
        try:
            return await self.get(service)
        except httpx.ConnectError:
            return None


async def prepare(deployment: Deployment, release: Release, former: Release | None = None, secrets_: Sealed | None = None) -> None:
    """Everything up to the check of the candidate."""
    fields = {"release": release, "former": former, "secrets": secrets_ or Sealed()}
    from shared.contracts import facts as f

    service = release.service
    await deployment.do(c.DeployContainer, f"deploy-container-{service}", f.ContainerDeployed, **fields)
    await deployment.do(c.ConnectContainer, f"connect-container-{service}", f.ContainerConnected, **fields)
    await deployment.do(c.ExposeCandidate, f"expose-{service}", f.CandidateExposed, **fields)
    await deployment.do(c.AssignDomain, f"assign-domain-{service}", f.DomainAssigned, **fields)
    await deployment.do(c.IssueCertificate, f"issue-certificate-{service}", f.CertificateIssued, **fields)
    await deployment.do(c.CheckCandidate, f"check-container-{service}", f.CandidateHealthy, **fields)


async def switch(deployment: Deployment, release: Release, former: Release | None = None, secrets_: Sealed | None = None) -> float:
    """Switch and check of the public address; the switch's seconds."""
    from shared.contracts import facts as f

    fields = {"release": release, "former": former, "secrets": secrets_ or Sealed()}
    switched = await deployment.do(c.SwitchTraffic, f"switch-{release.service}", f.TrafficSwitched, **fields)
    await deployment.do(c.CheckEndpoint, f"check-endpoint-{release.service}", f.EndpointHealthy, **fields)
    return switched.seconds


async def retire(deployment: Deployment, release: Release, former: Release | None = None) -> None:
    """The pivot."""
    from shared.contracts import facts as f

    await deployment.do(c.RetireRelease, f"retire-{release.service}", f.ReleaseRetired, release=release, former=former)


async def deploy(deployment: Deployment, release: Release, former: Release | None = None, secrets_: Sealed | None = None) -> None:
    """A whole deployment of one service."""
    await prepare(deployment, release, former, secrets_)
    await switch(deployment, release, former, secrets_)
    await retire(deployment, release, former)


async def roll_back(deployment: Deployment, release: Release, former: Release | None = None, secrets_: Sealed | None = None) -> None:
    """Every undo of a service, in reverse order, whatever was done."""
    from shared.contracts import facts as f

    fields = {"release": release, "former": former, "former_secrets": secrets_ or Sealed()}
    service = release.service
    await deployment.undo(c.SwitchTraffic, f"switch-{service}", f.TrafficRestored, **fields)
    await deployment.undo(c.IssueCertificate, f"issue-certificate-{service}", f.CertificateRestored, **fields)
    await deployment.undo(c.AssignDomain, f"assign-domain-{service}", f.DomainRestored, **fields)
    await deployment.undo(c.ExposeCandidate, f"expose-{service}", f.RouteRemoved, **fields)
    await deployment.undo(c.ConnectContainer, f"connect-container-{service}", f.NetworkRestored, **fields)
    await deployment.undo(c.DeployContainer, f"deploy-container-{service}", f.ContainerRemoved, **fields)


@asynccontextmanager
async def site(on: Machine) -> AsyncIterator[Site]:
    """A new environment on the machine, removed at the end."""
    place = Place(organization="main", project=f"p{secrets.token_hex(3)}", environment="production")
    async with local_target(on.settings) as target, Docker(on.settings.docker_host) as docker:
        try:
            yield Site(on, target, docker, place)
        finally:
            await remove_all(docker, {"slipway.instance": on.settings.instance, "slipway.project": place.project})
            for kept in (on.settings.target_folder, on.settings.dynamic_folder, on.settings.certificate_folder):
                for path in [path for path in kept.rglob("*") if path.is_file() and place.project in path.name]:
                    path.unlink()
