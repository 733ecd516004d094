"""The docker client: which one can build with BuildKit, and a build as a subprocess of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from services.builder.programs import run, started
from services.builder.settings import Settings

_CANDIDATES = ("/usr/bin/docker", "/usr/local/bin/docker", "/opt/homebrew/bin/docker")
_OWN_BUILDKIT = (18, 23)
"""From 18.09 a client builds with BuildKit by itself; from 23 on it needs the buildx plugin."""
_PROXIES = ("http_proxy", "https_proxy")
_LONGEST_LINE = 2**16


class NoClient(Exception):
    """No client can build; the message says what to install."""


@dataclass(frozen=True)
class BuildOrder:
    """What the client is asked to build."""

    context: Path
    dockerfile: Path
    name: str
    labels: dict[str, str]
    target: str | None
    arguments: dict[str, str]
    secrets: dict[str, Path]
    caches: str
    """Who shares cache mounts: builds that say the same. No build can tell what another says."""
    fresh: bool = False
    """Without cache, and with base images as their registries have them now."""


@dataclass(frozen=True)
class DockerCli:
    """A client that can build."""

    program: Path
    host: str
    config: Path | None

    async def build(self, order: BuildOrder, scratch: Path) -> AsyncIterator[str]:
        """Builds; yields the client's lines, then ends, or raises `Broken`. Closing the iterator ends the build."""
        arguments = [str(self.program), "build", *_arguments(order), str(order.context)]
        env = {
            "DOCKER_BUILDKIT": "1",
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
            "DOCKER_HOST": self.host,
            "DOCKER_CONFIG": str(self.config or scratch),
            "HOME": str(scratch),
            **_proxies(order),
            "NO_PROXY": "*",  # for the client itself, which calls the engine
        }
        async with started(*arguments, env=env, cwd=scratch) as process:
            if process.stdout is None or process.stderr is None:
                raise RuntimeError("the client was started without pipes")
            quiet = asyncio.create_task(process.stdout.read())
            try:
                async for line in _lines(process.stderr):
                    yield line
                await quiet
            finally:
                quiet.cancel()
            if await process.wait() != 0:
                raise Broken


class Broken(Exception):
    """The client said why, and ended with an error."""


async def find_client(settings: Settings) -> DockerCli:
    """The first client that works; raises `NoClient`."""
    looked: list[str] = []
    for candidate in [settings.docker_cli] if settings.docker_cli else [Path(path) for path in _CANDIDATES]:
        if not candidate.exists():
            looked.append(f"{candidate}: not there")
            continue
        if problem := await _why_not(candidate):
            looked.append(f"{candidate}: {problem}")
            continue
        return DockerCli(candidate, settings.docker_host, settings.docker_config)
    raise NoClient(
        f"No docker client can build here ({'; '.join(looked)}). Install one: apt-get install docker.io, or docker-buildx-plugin"
    )


async def _why_not(program: Path) -> str | None:
    asked = await run(str(program), "--version", env={"HOME": "/nonexistent"})
    words = asked.out.decode(errors="replace").replace(",", " ").split()
    version = next((word for word in words if word[:1].isdigit()), "")
    major = int(version.partition(".")[0]) if version else 0
    if _OWN_BUILDKIT[0] <= major < _OWN_BUILDKIT[1]:
        return None
    buildx = await run(str(program), "buildx", "version", env={"HOME": "/nonexistent"})
    return None if buildx.status == 0 else f"version {version or 'unknown'} without buildx"


def _arguments(order: BuildOrder) -> list[str]:
    arguments = ["--progress=plain", f"--file={order.dockerfile}", f"--tag={order.name}"]
    arguments += [f"--label={name}={value}" for name, value in order.labels.items()]
    arguments += [f"--target={order.target}"] if order.target else []
    arguments += ["--no-cache", "--pull"] if order.fresh else []
    for name, value in order.arguments.items():
        arguments += ["--build-arg", name if name in _proxies(order) else f"{name}={value}"]
    arguments += ["--build-arg", f"BUILDKIT_CACHE_MOUNT_NS={order.caches}"]  # after the manifest's: the last one counts
    for name, path in order.secrets.items():
        arguments += ["--secret", f"id={name},src={path}"]
    return arguments


def _proxies(order: BuildOrder) -> dict[str, str]:
    """Arguments that the client takes from its environment, which no list of processes shows to others: a proxy may hold a password."""
    return {name: value for name, value in order.arguments.items() if name.lower() in _PROXIES}


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines however long; what goes on past 64 KiB is told in pieces."""
    rest = b""
    while chunk := await stream.read(_LONGEST_LINE):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
        if len(rest) > _LONGEST_LINE:
            yield rest.decode(errors="replace")
            rest = b""
    if rest:
        yield rest.decode(errors="replace")
