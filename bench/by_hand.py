"""The bare tools by hand: docker build, push, run of the migration and of the new version, wait, Traefik's file.

The containers have the same limits and rights as Slipway's: half a processor, 256 MB, read-only, no capabilities.
"""

import asyncio
import http.client
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from bench.front import Front
from bench.instance import run
from embedded.images.provision import load
from tests.stack import free_port

HOST = "web.by-hand.localhost"
_LIMIT_S = 120.0
_DOCKER = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"
"""The distribution's client can build; a newer one, which may stand before it in the path, needs a plugin for that."""
_PASSWORD = "by-hand"  # noqa: S105 -- of a database that lives for minutes on a network of its own
_LIMITS = (
    "--cpus=0.5", "--memory=256m", "--memory-swap=256m", "--pids-limit=512", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)  # fmt: skip


@dataclass
class ByHand:
    """A network, a database, a load balancer and one application, made with docker's command line."""

    folder: Path
    name: str
    registry: str
    base_image: str
    https_port: int
    subnet: str = ""
    count: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def docker(self, *arguments: str) -> str:
        """One command of docker."""
        return run([_DOCKER, *arguments], self.folder, os.environ | {"DOCKER_BUILDKIT": "1"}, _LIMIT_S).strip()

    def prepare(self, postgres: str) -> None:
        """Network, database, load balancer: none of this is measured."""
        self._network()
        environment = ("POSTGRES_USER=db", "POSTGRES_DB=db", f"POSTGRES_PASSWORD={_PASSWORD}")
        variables = [f"--env={value}" for value in environment]
        self.docker("run", "--detach", *self._labelled("db"), f"--ip={self._address(2)}", *variables, postgres)
        self._load_balancer()
        deadline = time.monotonic() + _LIMIT_S
        while not self._database_answers():
            if time.monotonic() > deadline:
                raise TimeoutError("the database by hand does not answer")
            time.sleep(0.1)

    def deploy(self, checkout: Path, version: str) -> dict[str, float]:
        """Seconds of each step for the version that stands in the checkout."""
        self.count += 1
        image = f"{self.registry}/by-hand/web:{version}"
        address = self._address(10 + self.count % 40)
        name = f"{self.name}-web-{version}"
        url = f"DATABASE_URL=postgres://db:{_PASSWORD}@{self._address(2)}:5432/db"
        steps: dict[str, Callable[[], object]] = {
            "build": lambda: self.docker("build", "--quiet", f"--build-arg=NODE_IMAGE={self.base_image}", f"--tag={image}", str(checkout)),
            "push": lambda: self.docker("push", "--quiet", image),
            "migrate": lambda: self.docker("run", "--rm", *self._labelled(f"migrate-{version}"), f"--env={url}", *_LIMITS, image, "node", "migrate.js"),
            "run": lambda: self.docker("run", "--detach", *self._labelled(f"web-{version}"), f"--ip={address}", f"--env={url}", *_LIMITS, image),
            "wait": lambda: _until_healthy(address),
            "switch": lambda: self._switch(address, version),
        }  # fmt: skip
        taken = {}
        for step, do in steps.items():
            since = time.perf_counter()
            do()
            taken[step] = time.perf_counter() - since
        for other in self.docker("ps", "--quiet", "--no-trunc", f"--filter=label={self.name}=web", "--format={{.Names}}").split():
            if other != name:
                self.docker("rm", "--force", other)
        return taken

    def remove(self) -> None:
        """All that was made."""
        found = self.docker("ps", "--all", "--quiet", f"--filter=label={self.name}").split()
        if found:
            self.docker("rm", "--force", "--volumes", *found)
        if self.subnet:
            self.docker("network", "rm", self.name)

    def _network(self) -> None:
        """Docker's own pools end at about 31 networks: a small subnet is looked for."""
        for _ in range(50):
            subnet = f"10.214.{secrets.randbelow(256)}"
            try:
                self.docker("network", "create", f"--label={self.name}", f"--subnet={subnet}.0/24", self.name)
            except RuntimeError:
                continue
            self.subnet = subnet
            return
        raise RuntimeError("no free subnet was found")

    def _labelled(self, what: str) -> list[str]:
        return [f"--name={self.name}-{what}", f"--label={self.name}={what.partition('-')[0]}", f"--network={self.name}"]

    def _address(self, number: int) -> str:
        return f"{self.subnet}.{number}"

    def _load_balancer(self) -> None:
        dynamic = self.folder / "dynamic"
        dynamic.mkdir()
        static = {
            "entryPoints": {"websecure": {"address": f"127.0.0.1:{self.https_port}", "http": {"tls": {}}}},
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "providers": {"providersThrottleDuration": "50ms", "file": {"directory": str(dynamic), "watch": True}},
        }
        (self.folder / "traefik.yml").write_text(json.dumps(static))
        self.docker(
            "run", "--detach", f"--name={self.name}-traefik", f"--label={self.name}=traefik", "--network=host", f"--volume={self.folder}:{self.folder}:ro",
            load("traefik"), f"--configFile={self.folder / 'traefik.yml'}",
        )  # fmt: skip

    def _switch(self, address: str, version: str) -> None:
        file = self.folder / "dynamic" / "web.yml"
        content = {
            "http": {
                "routers": {"web": {"rule": f"Host(`{HOST}`)", "service": "web", "entryPoints": ["websecure"]}},
                "services": {"web": {"loadBalancer": {"servers": [{"url": f"http://{address}:3000"}]}}},
            }
        }
        beside = file.with_name("web.yml.tmp")
        beside.write_text(json.dumps(content))
        beside.replace(file)
        front = Front(HOST, self.https_port, None)
        try:
            front.until(version, _LIMIT_S)
        finally:
            front.close()

    def _database_answers(self) -> bool:
        async def ask() -> bool:
            try:
                connection = await asyncpg.connect(f"postgresql://db:{_PASSWORD}@{self._address(2)}:5432/db", timeout=2)
            except (OSError, TimeoutError, asyncpg.PostgresError):
                return False
            await connection.close()
            return True

        return asyncio.run(ask())


def _until_healthy(address: str) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while True:
        connection = http.client.HTTPConnection(address, 3000, timeout=2)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == http.client.OK:
                return
        except (OSError, http.client.HTTPException):
            if time.monotonic() > deadline:
                raise
        finally:
            connection.close()
        time.sleep(0.01)


@contextmanager
def by_hand(registry: str, base_image: str, postgres: str) -> Iterator[ByHand]:
    """Everything that stands before a version is released by hand; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="slipway-by-hand-"))
    folder.chmod(0o755)
    made = ByHand(folder, f"byhand-{secrets.token_hex(3)}", registry, base_image, free_port())
    try:
        made.prepare(postgres)
        yield made
    finally:
        try:
            made.remove()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
