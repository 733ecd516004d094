"""What the builder reads from its environment (prefix `SLIPWAY_`)."""

from pathlib import Path

from pydantic import Field, field_validator

from shared.outbound import PrivateHosts
from shared.settings import ServiceSettings

GIB = 2**30


class Settings(ServiceSettings):
    """Where images are built and kept, and the limits of a build."""

    docker_host: str = "unix:///var/run/docker.sock"
    docker_cli: Path | None = None
    """Without it the first client that can use BuildKit is taken, the distribution's before others."""
    docker_config: Path | None = None
    """A folder with Docker's config.json, for registries that ask who one is. RUN steps never see it."""
    registry: str = "127.0.0.1:5000"
    """Where images are exported: host:port, and a path below it where the registry is shared."""
    build_args: dict[str, str] = Field(default_factory=dict)
    """Build arguments (JSON) for Dockerfiles that declare them, such as a base image; the manifest's own win."""
    git_protocols: tuple[str, ...] = ("http", "https", "ssh", "git")
    private_forges: PrivateHosts = ()
    """Forges at private addresses that may be cloned from: names, addresses, networks. The own git remote needs no leave."""
    proxy: dict[str, str] = Field(default_factory=dict)
    """`http_proxy`, `https_proxy`, `no_proxy` for git and for builds (JSON). Where one is set, it decides how far redirects lead."""
    source_limit_bytes: int = Field(default=2 * GIB, gt=0)
    """Of one fetch, and of one checkout."""
    source_timeout_s: float = 240.0
    build_timeout_s: float = 1740.0
    """Less than the step's own time, so that the failure says what the build was at."""
    build_memory_bytes: int | None = None
    """Of all builds together; without it three quarters of the machine's memory."""
    build_cgroup: str | None = None
    """The control group of BuildKit's steps, below the hierarchy's root, where it is not found by itself."""
    free_disk_bytes: int = 2 * GIB
    """What must be free on the engine's and on our own disk before a build begins."""
    free_memory_bytes: int = GIB // 4
    admission_wait_s: float = 120.0
    keep_images: int = Field(default=10, ge=1)
    """Newest images of each service that are always kept."""
    prune_build_cache: bool = False
    """BuildKit's cache belongs to everybody who uses the engine: only where the engine is ours."""
    build_cache_bytes: int = 10 * GIB

    @field_validator("registry")
    @classmethod
    def _no_scheme(cls, value: str) -> str:
        return value.removeprefix("http://").removeprefix("https://").rstrip("/")

    @property
    def state(self) -> Path:
        """The builder's own folder: mirrors, work in progress, when images were last used."""
        return self.home / "builder"
