"""The supervisor's process: `python -m embedded.daemon`. Started by `embedded.supervisor.up`, ended by SIGTERM.

It starts NATS and PostgreSQL, prepares (in a child of its own), forks the services from itself after it has
imported their libraries once, and tends them all. It has one thread and, whenever it forks, no event loop.
"""

import argparse
import asyncio
import gc
import importlib
import os
import pkgutil
import signal
import time
from dataclasses import dataclass
from types import ModuleType

import shared
from embedded import authority, engine, health, lock, ports, processes, registry, restoration, servers, traefik
from embedded.alarm import Alarm
from embedded.children import Child
from embedded.data_plane import DataPlane
from embedded.home import Home
from embedded.preparation import Preparation
from embedded.progress import WHOLE, Teller
from embedded.renewal import Renewal
from embedded.restoration import Restoration
from embedded.services import PRELOADED, SERVICES, Service, Wiring
from embedded.settings import Settings
from embedded.subscribers import LOOK_S
from embedded.supervision import Supervision

_PROBE_AT_START = 0.05
_PROBE_LATER = 5.0


@dataclass(frozen=True)
class Stack:
    """What a supervisor runs; tests run smaller ones."""

    services: tuple[Service, ...] = SERVICES
    preloaded: tuple[str, ...] = PRELOADED
    bootstrap: str | None = "services.auth.bootstrap"
    data_plane: bool = True


class StartFailed(Exception):
    """The start was given up; everything that it started is ended again."""


class Daemon:
    """One run of the supervisor on one home."""

    def __init__(self, settings: Settings, stack: Stack, teller: Teller) -> None:
        self._settings = settings
        self._stack = stack
        self._teller = teller
        self._home = Home.at(settings.home)
        self._alarm = Alarm()
        self._reservation = ports.Reservation({}, ())
        self._supervision = Supervision(self._home, teller)
        self._restorations: list[Restoration] = []

    def run(self) -> None:
        """Until SIGTERM. Raises what made the start fail, after everything that was started has ended."""
        try:
            self._home.prepare()
            held = lock.take(self._home)
        except (OSError, lock.AlreadyRunning) as refused:
            self._teller.say(WHOLE, "failed", str(refused))
            raise
        with held:
            try:
                self._start()
                self._tend()
            except Exception as failure:
                self._teller.say(WHOLE, "failed", sentence(failure))
                raise
            finally:
                self._end()

    def _start(self) -> None:
        if lost := self._home.lost_keys:
            raise StartFailed(f"{lost[0]} is missing, and the database needs it. Put it back from the backup.")
        self._teller.say("engine", "working")
        found = engine.find(self._settings.engine)
        if found is None:
            found = engine.ensure(self._settings.engine)
            self._home.engine.write_text(str(found.pid))
        self._teller.say("engine", "done", f"Docker {found.version}")
        authority.prepare(self._home, tuple(service.name for service in self._stack.services))
        wiring, preparation = self._wire(found)
        self._supervision.tend()
        preparing = self._fork_preparation(preparation)
        for module in (*self._stack.preloaded, *_modules_of(shared)):
            importlib.import_module(module)
        importlib.import_module("shared.authorities").trusted()
        self._teller.say("libraries", "done")
        self._wait_for(preparing)
        gc.collect()
        gc.freeze()
        self._supervision.services = [self._service(service, wiring) for service in self._stack.services]

    def _wire(self, found: engine.Engine) -> tuple[Wiring, Preparation]:
        """Choose ports, make servers, users and passwords; what services and preparation need is put together."""
        self._reservation = self._reserve_ports(found.host)
        chosen = self._reservation.ports
        stateful = [service.name for service in self._stack.services if service.stateful]
        bus = servers.bus(self._settings, self._home, chosen["nats-monitor"])
        database = servers.database(self._settings, self._home, stateful, chosen["postgres"])
        self._supervision.servers = [child for child in (bus.child, database.child) if child is not None]
        self._admission = bus.admission
        data_plane = DataPlane(
            self._settings,
            self._home,
            found.host,
            registry_port=chosen["registry"],
            traefik_api_port=chosen["traefik-api"],
            webhooks=f"127.0.0.1:{chosen['webhooks-http']}",
            api=f"127.0.0.1:{chosen['api-http']}",
        )
        preparation = Preparation(
            home=self._home,
            target=self._settings.target,
            organization=self._settings.organization,
            services=self._stack.services,
            bus=bus,
            database=database,
            data_plane=data_plane if self._stack.data_plane else None,
            bootstrap=self._stack.bootstrap,
        )
        if self._stack.data_plane:
            self._restorations = [restoration.of_container(data_plane, part, self._home, self._teller) for part in data_plane.ports]
        if found.ours:
            self._restorations.append(restoration.of_engine(found, self._settings.engine, self._home, self._teller))
        wiring = Wiring(self._settings, self._home, chosen, found.host, bus.url, bus.passwords, database.dsns, found.ours)
        return wiring, preparation

    def _reserve_ports(self, docker_host: str) -> ports.Reservation:
        running = engine.running_names(docker_host, self._home.instance)
        of_containers = {
            "registry": registry.name(self._home.instance),
            "traefik-api": traefik.name(self._home.instance),
        }
        of_services = [name for service in self._stack.services for name in service.port_names]
        names = dict.fromkeys([*of_services, *of_containers, "postgres", "nats-monitor", "webhooks-http", "api-http"])
        held = {port for port, container in of_containers.items() if container in running}
        return ports.reserve(self._home.run / "ports.json", names, held)

    def _fork_preparation(self, preparation: Preparation) -> int:
        teller = self._teller

        def prepare() -> None:
            try:
                asyncio.run(preparation.run(teller))
            except Exception as failure:
                teller.say("preparation", "failed", sentence(failure))
                raise

        return processes.fork(prepare, self._home.logs / "preparation.log", keep=teller.descriptors)

    def _wait_for(self, preparing: int) -> None:
        outcome = None
        while outcome is None and not self._alarm.stopping:
            self._supervision.tend()
            outcome = processes.reap(preparing)
            if outcome is None:
                self._alarm.sleep(0.05)
        if outcome is None:
            processes.end([preparing], signal.SIGTERM, 2.0)
            raise StartFailed("The start was interrupted.")
        if outcome.code != 0:
            log = self._home.logs / "preparation.log"
            raise StartFailed(f"The preparation failed ({outcome}); {log} has all of it.")

    def _service(self, service: Service, wiring: Wiring) -> Child:
        environment = wiring.environment(service)
        health_port = wiring.ports[f"{service.name}-health"]

        def run() -> None:
            os.environ.clear()
            os.environ.update(environment)
            processes.name_process(f"slw-{service.name}")
            module = importlib.import_module(service.module)
            importlib.import_module("shared.process").run(module.main)

        log = self._home.logs / f"{service.name}.log"
        return Child(
            service.name, run, log, lambda: health.is_ready(health_port), lambda: health.lives(health_port), health_port=health_port
        )

    def _tend(self) -> None:
        """Tend all children until SIGTERM; says once that everything is ready."""
        importlib.import_module("shared.logs").configure("supervisor", "INFO")
        renewal = Renewal(self._home, self._supervision.services)
        was_ready = told = False
        probe_at = 0.0
        while not self._alarm.stopping:
            changed = self._supervision.tend()
            now = time.monotonic()
            if changed:
                probe_at = min(probe_at, now + _PROBE_AT_START)
            if now >= probe_at:
                is_ready = self._supervision.probe()
                was_ready = was_ready or is_ready
                told = told or (is_ready and self._teller.say(WHOLE, "ready"))
                now = time.monotonic()
                probe_at = now + (_PROBE_LATER if is_ready else _PROBE_AT_START)
            if was_ready and self._admission.due(now):
                asyncio.run(self._admission.settle())
            for looked_after in self._restorations:
                looked_after.tend(now)
            renewal.tend(now)
            self._alarm.sleep(min([probe_at - now, LOOK_S, *self._supervision.due_in(now)]))

    def _end(self) -> None:
        for looked_after in self._restorations:
            looked_after.end()
        self._supervision.end()


def _modules_of(package: ModuleType) -> list[str]:
    return [found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.") if not found.ispkg]


def sentence(failure: BaseException) -> str:
    """What to tell of a failure, in the words of the first cause of a group."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return str(failure) or type(failure).__name__


def main(arguments: list[str] | None = None, stack: Stack | None = None) -> None:
    """Run until SIGTERM; a failure ends the process with code 1 and its traceback in supervisor.log."""
    parser = argparse.ArgumentParser(prog="python -m embedded.daemon", description=__doc__)
    parser.add_argument("--progress", type=int, metavar="DESCRIPTOR", help="a pipe that is told what goes on")
    options = parser.parse_args(arguments)
    Daemon(Settings(), stack or Stack(), Teller(options.progress)).run()


if __name__ == "__main__":
    main()
