"""`slipway.yaml`: what a repository says about the services that it holds.

The builder reads and checks the file (line numbers, suggestions); these are the types that travel.
Durations are seconds, sizes are bytes.
"""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from shared.contracts.places import EnvironmentKind
from shared.messages import Frozen, Slug

MIB = 1024 * 1024


class HealthCheck(Frozen):
    """How to tell that a container is ready. One of `http`, `tcp`, `command`; a service with a port and none of them is checked by `tcp`."""

    http: str | None = Field(default=None, description="Path that answers 2xx or 3xx")
    tcp: bool = False
    command: tuple[str, ...] | None = Field(default=None, description="Run in the container; 0 is healthy")
    port: int | None = Field(default=None, description="Where it differs from the service's port")
    start_period_s: float = Field(default=30.0, description="Failures before this do not count")
    interval_s: float = 0.5
    timeout_s: float = 2.0
    retries: int = Field(
        default=3,
        description="Failures in a row after the start period that mean unhealthy",
    )


class Resources(Frozen):
    """Limits of one container."""

    memory_bytes: int = 512 * MIB
    cpu: float = 1.0


class Strategy(StrEnum):
    """How a new release replaces the former one."""

    ROLLING = "rolling"
    RECREATE = "recreate"


class BuildSpec(Frozen):
    """How a service's image is built. Paths are relative to the repository's root."""

    context: str = "."
    dockerfile: str = "Dockerfile"
    target: str | None = None
    args: dict[str, str] = {}
    secrets: tuple[str, ...] = Field(default=(), description="Names of secrets that RUN --mount=type=secret may read")


class ServiceManifest(Frozen):
    """One service as the repository describes it."""

    path: str | None = Field(default=None, description="Its own folder, where that is not the build's context")
    build: BuildSpec = BuildSpec()
    image: str | None = Field(default=None, description="A ready image instead of a build")
    watch: tuple[str, ...] = Field(default=(), description="Further paths whose change means a new build")
    port: int | None = Field(default=None, description="Where the container listens; none means a worker")
    command: tuple[str, ...] | None = None
    health: HealthCheck | None = None
    variables: dict[str, str] = {}
    databases: tuple[Slug, ...] = ()
    domains: tuple[str, ...] = ()
    resources: Resources = Resources()
    strategy: Strategy = Strategy.ROLLING
    stop_grace_s: float = 10.0
    user: str | None = Field(
        default=None,
        description="uid[:gid] or name, root only if it is said here; without it the image's own where that is not root, else 65532:65532",
    )
    read_only: bool = True
    writable: tuple[str, ...] = Field(default=("/tmp",), description="Paths that get a tmpfs")  # noqa: S108
    depends_on: tuple[Slug, ...] = ()


class DatabaseManifest(Frozen):
    """One database of an environment."""

    engine: Literal["postgresql"] = "postgresql"
    version: str = "18"
    storage_bytes: int = 1024 * MIB
    memory_bytes: int = 256 * MIB


class JobManifest(Frozen):
    """A command that runs once a deployment, in the image of a service, before its candidates start."""

    service: Slug
    command: tuple[str, ...]
    undo: tuple[str, ...] | None = None
    repeatable: bool = Field(default=False, description="May run again where the machine or the engine went down while it ran")
    timeout_s: float = 300.0
    depends_on: tuple[Slug, ...] = Field(default=(), description="Other jobs that must have succeeded")
    only: tuple[EnvironmentKind, ...] = Field(default=(), description="Kinds of environments that it runs in; in all where none is named")

    def runs_in(self, kind: EnvironmentKind) -> bool:
        """Whether it runs in environments of this kind."""
        return not self.only or kind in self.only


MOST = {"services": 50, "databases": 20, "jobs": 50}
"""Of one environment. Each move of a deployment looks at all of its steps: with hundreds of services a push would keep the coordinator busy
for minutes, and its plan would be larger than the bus takes."""


class Manifest(Frozen):
    """The whole file."""

    services: dict[Slug, ServiceManifest] = {}
    databases: dict[Slug, DatabaseManifest] = {}
    jobs: dict[Slug, JobManifest] = {}

    def too_many(self) -> dict[str, str]:
        """What there is more of than one environment may have, by the section, in words."""
        counts = {"services": len(self.services), "databases": len(self.databases), "jobs": len(self.jobs)}
        return {
            section: f"there are {counts[section]} {section}, and one environment has {most} at most"
            for section, most in MOST.items()
            if counts[section] > most
        }


def is_root(user: str) -> bool:
    """Whether a `user` (or `user:group`) is root: by name, by number however it is written, or because nobody is named."""
    name = user.partition(":")[0]
    return name in {"", "root"} or (name.lstrip("+-").isdecimal() and int(name) == 0)
