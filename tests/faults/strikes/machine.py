"""The platform on a machine of its own, and all that a strike needs of it: its processes, its disks, its network."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil

from cli.client import Api
from cli.settings import Settings as ClientSettings
from embedded import engine, lock
from embedded.engine import EngineError
from embedded.home import Home
from embedded.images.provision import ensure
from embedded.preflight import PreflightFailed
from embedded.services import SERVICES
from embedded.settings import Settings
from embedded.supervisor import StartFailed, down, up
from services.deployer.settings import Settings as TargetSettings
from shared.postgres import UNAVAILABLE
from tests.apps.bases import Bases
from tests.faults.strikes.background import Background
from tests.faults.strikes.proxy import Proxy
from tests.faults.strikes.replicas import Replicas, is_ready
from tests.faults.strikes.stack import ADDRESSES
from tests.polling import until

SERVICE_NAMES = tuple(service.name for service in SERVICES)
STACK = (sys.executable, "-m", "tests.faults.strikes.stack")
READY_LIMIT_S = 90.0
DISKS = {"nats": "1g", "postgres": "1500m", "builder": "3g", "logs": "512m"}
"""The disks of NATS, PostgreSQL, the builder and the logs: small, and memory; but not full by what a whole sitting's deployments leave."""


@dataclass
class Machine:
    """One platform. `outside` are processes that no reboot ends: they play other machines."""

    folder: Path = Path("/tmp/machine")
    settings: Settings = field(init=False)
    background: Background = field(default_factory=Background)
    proxies: dict[str, Proxy] = field(default_factory=dict)
    outside: set[int] = field(default_factory=set)
    rig: Mapping[str, str] = field(default_factory=dict)
    """What the environment of the platform's processes has besides."""
    replicas: Replicas = field(init=False)
    elsewhere: threading.Lock = field(default_factory=threading.Lock)
    """Held by what programs of ours do on another machine, so to speak: no reboot comes meanwhile."""

    def __post_init__(self) -> None:
        self.settings = Settings(home=self.folder / "home")
        self.replicas = Replicas(self.settings.home)
        self.home.path.mkdir(parents=True)
        self.folder.chmod(0o755)
        self.home.path.chmod(0o711)
        for name, size in DISKS.items():
            disk = self.disk(name)
            disk.mkdir()
            subprocess.run(("mount", "-t", "tmpfs", "-o", f"mode=755,size={size}", "tmpfs", str(disk)), check=True)
        (self.home.path / "postgres").symlink_to(self.disk("postgres") / "data")
        for name in SERVICE_NAMES:
            self.proxies[name] = Proxy(self.settings.nats_port)
            self.background.call(self.proxies[name].start())

    @property
    def home(self) -> Home:
        """Its state."""
        return Home.at(self.settings.home)

    def disk(self, name: str) -> Path:
        """Where a small disk is mounted. PostgreSQL's is elsewhere: its cluster is renamed into place."""
        return self.folder / "postgres-disk" if name == "postgres" else self.home.path / name

    @property
    def ports(self) -> dict[str, int]:
        """What was chosen at the start."""
        chosen: dict[str, int] = json.loads((self.home.run / "ports.json").read_text())
        return chosen

    @property
    def url(self) -> str:
        """The front door."""
        return f"http://{self.settings.http}"

    @property
    def token(self) -> str:
        """The first administrator's."""
        return self.home.token.read_text().strip()

    @property
    def dsn(self) -> str:
        """The platform's database, as its administrator."""
        passwords = json.loads((self.home.keys / "postgres.json").read_text())
        return f"postgresql://postgres:{passwords['postgres']}@127.0.0.1:{self.ports['postgres']}/slipway"

    @property
    def bus(self) -> tuple[str, str, str]:
        """The real address of the bus, and its administrator."""
        passwords = json.loads((self.home.nats / "credentials.json").read_text())
        return f"nats://127.0.0.1:{self.settings.nats_port}", "admin", str(passwords["admin"])

    @property
    def target(self) -> TargetSettings:
        """How the deployer sees its target."""
        return TargetSettings(home=self.home.path, instance=self.home.instance, traefik_api=f"http://127.0.0.1:{self.ports['traefik-api']}")

    def api(self) -> Api:
        """The public API, as the first administrator. To be closed."""
        return Api(ClientSettings(url=self.url, home=self.home.path))

    def know_forge_account(self, login: str) -> None:
        """Pushes by this account of the forge on this machine are the first administrator's. A connection has to lead to it."""
        with closing(self.api()) as api:
            person = api.get("/me")["id"]
            api.put(f"/people/{person}/identities", {"forge": "github:127.0.0.1", "login": login, "account_id": ""})

    def bases(self) -> Bases:
        """Base images of applications, in the platform's registry."""
        registry = f"127.0.0.1:{self.ports['registry']}"
        made = ensure(("shell", "postgres:18"), registry)
        return Bases(registry, made["shell"].reference, made["postgres:18"].reference)

    def up(self) -> None:
        """Starts the platform as its operator would, who tries again where it says no."""
        addresses = {name: f"nats://127.0.0.1:{proxy.port}" for name, proxy in self.proxies.items()}
        os.environ.update({ADDRESSES: json.dumps(addresses), **self.rig})

        def started() -> bool:
            try:
                up(self.settings, detach=True, command=STACK)
            except (PreflightFailed, StartFailed, EngineError) as no:
                print(f"  up: {no}", flush=True)
                return False
            return True

        until(started, within=READY_LIMIT_S, every=0.5, what="slipway up")

    def down(self) -> None:
        """Ends the platform; applications go on."""
        down(self.settings)

    def become(self, rig: Mapping[str, str], *, replicas: bool) -> None:
        """Runs with other settings, or with a second process of each service, from now on."""
        if dict(rig) != dict(self.rig):
            self.down()
            for name in self.rig:
                os.environ.pop(name, None)
            self.rig = rig
            self.up()
        if replicas:
            self.replicas.start_all(SERVICE_NAMES)
        else:
            self.replicas.end_all()

    @property
    def supervisor(self) -> int | None:
        """Its process."""
        return lock.running_supervisor(self.home)

    def pid(self, name: str) -> int | None:
        """The process of a service or server now; None where it does not run."""
        if name == "supervisor":
            return self.supervisor
        with suppress(OSError, ValueError):
            for process in json.loads((self.home.run / "processes.json").read_text()):
                if process["name"] == name and process["pid"] and psutil.pid_exists(process["pid"]):
                    return int(process["pid"])
        return None

    def signal(self, name: str, number: signal.Signals) -> int:
        """Sends a signal to a process that runs, or runs again in a moment; its id."""
        pid = until(lambda: self.pid(name), within=READY_LIMIT_S, what=f"{name} runs")
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    def container(self, part: str) -> str:
        """The container of the registry or of Traefik."""
        return f"{self.home.instance}-{part}"

    def docker(self, *arguments: str) -> str:
        """What the engine says; raises where it refuses."""
        return subprocess.run(("docker", *arguments), check=True, capture_output=True, text=True).stdout.strip()

    def door(self) -> tuple[int, int]:
        """The processes that a push goes through: Traefik's and webhooks'. 0 for one that is not there."""
        with suppress(subprocess.CalledProcessError):
            traefik = self.docker("inspect", "--format", "{{.State.Pid}}", self.container("traefik"))
            return int(traefik), self.pid("webhooks") or 0
        return 0, self.pid("webhooks") or 0

    def is_ready(self, name: str) -> bool:
        """Whether a service says that it is ready."""
        return is_ready(self.ports[f"{name}-health"])

    def whole(self) -> bool:
        """Whether everything runs and says so."""
        if self.supervisor is None or not self._engine_answers():
            return False
        return all(map(self.is_ready, SERVICE_NAMES)) and all(_listens(self.ports[port]) for port in ("registry", "traefik-api"))

    def _engine_answers(self) -> bool:
        with suppress(EngineError):
            return engine.find(self.settings.engine) is not None
        return False

    def is_back(self, name: str) -> bool:
        """Whether a process that was killed does its work again."""
        if name in SERVICE_NAMES:
            return self.is_ready(name) and self.replicas.is_ready(name)
        match name:
            case "nats":
                return _listens(self.settings.nats_port)
            case "postgres":
                return self.background.call(_lets_in(self.dsn))
            case "supervisor":
                return self.supervisor is not None
            case "engine":
                return self._engine_answers()
            case _:
                return _listens(self.ports[{"traefik": "traefik-api"}.get(name, name)])

    def heal(self, killed: str = "") -> float:
        """Whatever a strike left behind is set right, as an operator would. Returns when all is ready again.

        Its answer is the time (monotonic) when that was so; where something is `killed`, when that was back.
        """
        if self.supervisor is None or not engine.listens(self.settings.engine):
            if self.supervisor is None:
                self.up()
            else:
                engine.ensure(self.settings.engine)
        if killed:
            until(lambda: self.is_back(killed), within=READY_LIMIT_S, every=0.05, what=f"{killed} is back")
        back_at = time.monotonic()
        until(self.whole, within=READY_LIMIT_S, every=0.1, what="the platform is ready again")
        self.replicas.tend()
        return back_at if killed else time.monotonic()

    def kill_everything(self) -> None:
        """Every process of the machine at once, but the first one, ourselves, and those outside."""
        with self.elsewhere:
            self._kill_everything()

    def forget_everything(self) -> None:
        """What only a kernel knows goes with it: links, what holds network namespaces, what is mounted for containers, and /run."""
        mounted = [mount.mountpoint for mount in psutil.disk_partitions(all=True)]
        folders = (os.path.realpath(self.settings.engine.data_root), os.path.realpath("/run"))
        for point in sorted(mounted, reverse=True):
            if point not in folders and point.startswith(tuple(f"{folder}/" for folder in folders)):
                # With one, others may go that were mounted within.
                subprocess.run(("umount", "--lazy", point), check=False, capture_output=True)
        links = json.loads(subprocess.run(("ip", "-json", "link"), check=True, capture_output=True).stdout)
        for link in links:
            # Some are there in every network namespace.
            subprocess.run(("ip", "link", "delete", link["ifname"]), check=False, capture_output=True)
        for path in Path("/run").iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def _kill_everything(self) -> None:
        below = {child.pid for pid in self.outside for child in psutil.Process(pid).children(recursive=True)}
        spared = {1, os.getpid(), *self.outside, *below}
        for _ in range(3):
            for pid in [pid for pid in psutil.pids() if pid not in spared]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


async def _lets_in(dsn: str) -> bool:
    with suppress(*UNAVAILABLE):
        connection = await asyncpg.connect(dsn, timeout=5)
        await connection.close(timeout=5)
        return True
    return False
