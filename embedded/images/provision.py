"""Makes images available: in a registry, or in a container engine."""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from embedded.images.archive import write_archive
from embedded.images.cache import Cache
from embedded.images.catalogue import RECIPES, find
from embedded.images.registry import NAMESPACE, push, reference


@dataclass(frozen=True)
class Provided:
    """An image that is there now: its reference, its manifest's digest, and whether it had to be sent."""

    reference: str
    digest: str
    sent: bool


class EngineRefusedError(Exception):
    """The container engine did not load an image; the message has its words."""


def ensure(
    names: Iterable[str],
    registry: str,
    cache: Cache | None = None,
    *,
    fresh: bool = False,
) -> dict[str, Provided]:
    """Make `names` (`node`, `postgres:18`, …) present in the registry at `registry` (host:port).

    What is in the cache is not made again, and what is in the registry not sent again. Takes about 10 ms an
    image when all is there, up to a minute when packages have to be fetched. Raises UnknownImageError before
    anything is made, PackageUnavailableError and RegistryRefusedError.
    """
    store = cache or Cache()
    choices = {name: find(name) for name in names}
    provided = {}
    for name, choice in choices.items():
        image = store.get(choice, fresh=fresh)
        sent = push(image, registry)
        provided[name] = Provided(reference(image, registry), image.digest, sent)
    return provided


def postgres_images(registry: str, cache: Cache | None = None) -> dict[str, str]:
    """Every major version of PostgreSQL that can be had, and its image's reference in the registry."""
    majors = RECIPES["postgres"].versions
    made = ensure([f"postgres:{major}" for major in majors], registry, cache)
    return {major: made[f"postgres:{major}"].reference for major in majors}


def load(name: str, cache: Cache | None = None, *, engine: str | None = None) -> str:
    """Load an image into the engine (`engine`: its address, else docker's own default) and return its name.

    For what must run before there is a registry: the registry itself and the load balancer. An
    image that the engine has already is not loaded again.
    """
    image = (cache or Cache()).get(find(name))
    tagged = f"{NAMESPACE}/{image.name}:{image.tag}"
    docker = ["docker", *(["--host", engine] if engine else [])]
    if subprocess.run([*docker, "image", "inspect", tagged], check=False, capture_output=True).returncode == 0:
        return tagged
    with subprocess.Popen(
        [*docker, "load", "--quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        if process.stdin is None or process.stderr is None:
            raise EngineRefusedError("docker load has no pipe")
        try:
            write_archive(image, tagged, process.stdin)
            process.stdin.close()
        except BrokenPipeError:
            pass  # docker's own words follow
        words = process.stderr.read().decode(errors="replace").strip()
    if process.returncode != 0:
        raise EngineRefusedError(f"docker load of {tagged}: {words}")
    return tagged
