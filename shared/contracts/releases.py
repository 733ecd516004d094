"""Releases: all that is needed to run, and to return to, one version of one service. Immutable."""

from enum import StrEnum

from pydantic import Field

from shared.contracts.manifest import HealthCheck, Resources, Strategy
from shared.messages import Frozen, Slug


class SecretRef(Frozen):
    """One pinned version of a secret; the value is never copied into a release."""

    name: str
    version: int


class DatabaseLink(Frozen):
    """A database whose address a container gets in a variable."""

    database: Slug
    variable: str = Field(description="DATABASE_URL for the first, <NAME>_DATABASE_URL for further ones")


class ContainerSpec(Frozen):
    """What a container of a service or job is started with, besides its command."""

    image: str = Field(description="By digest: <repository>@sha256:…")
    variables: dict[str, str] = {}
    secrets: tuple[SecretRef, ...] = ()
    databases: tuple[DatabaseLink, ...] = ()
    resources: Resources = Resources()
    user: str | None = None
    read_only: bool = True
    writable: tuple[str, ...] = ("/tmp",)  # noqa: S108


class Release(Frozen):
    """One version of one service."""

    id: str
    key: str = Field(description="Hash of all inputs: same key, nothing to do")
    service: Slug
    number: int = Field(description="Counts up within the service of the environment")
    deployment: str = Field(description="The deployment that made it")
    commit: str | None = None
    generation: str = Field(default="", description="The deployment that last had its image built anew, though nothing had changed")
    container: ContainerSpec
    command: tuple[str, ...] | None = None
    port: int | None = None
    health: HealthCheck | None = None
    hosts: tuple[str, ...] = Field(default=(), description="Every name that it answers to; empty for a worker")
    strategy: Strategy = Strategy.ROLLING
    stop_grace_s: float = 10.0
    depends_on: tuple[Slug, ...] = Field(default=(), description="Services whose new releases must be healthy before this one starts")

    @property
    def runs_alone(self) -> bool:
        """Whether it never runs beside another release of its service: a worker, or one whose manifest says so."""
        return self.port is None or self.strategy is Strategy.RECREATE


class DatabaseSpec(Frozen):
    """One database as it shall be."""

    name: Slug
    engine: str
    version: str
    storage_bytes: int
    memory_bytes: int


class JobSpec(Frozen):
    """One job as it shall run."""

    name: Slug
    service: Slug
    container: ContainerSpec
    command: tuple[str, ...]
    undo: tuple[str, ...] | None = None
    repeatable: bool = Field(default=False, description="May run again where the machine or the engine went down while it ran")
    timeout_s: float = 300.0
    depends_on: tuple[Slug, ...] = Field(default=(), description="Jobs that must have succeeded before")


class Sealed(Frozen):
    """Secret values sealed (X25519 sealed box, base64) to the public key of the target that shall open them."""

    values: dict[str, str] = Field(default={}, description="Variable name → sealed value")


class ReleaseKind(StrEnum):
    """Why a deployment runs."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    REMOVE = "remove"
