"""What a service's image is made from, as one hash: git's own ids of the context, the Dockerfile and the watched paths."""

from hashlib import sha256

from services.builder.mirrors import Mirror
from shared.contracts.manifest import Manifest, ServiceManifest


async def trees_of(mirror: Mirror, commit: str, manifest: Manifest) -> dict[str, str]:
    """Service → hash. Equal hashes mean equal files: git's ids are hashes of content, modes and submodule commits."""
    wanted = {name: paths_of(service) for name, service in manifest.services.items()}
    every = sorted({path for paths in wanted.values() for path in paths})
    ids = dict(zip(every, await mirror.ids([_object(commit, path) for path in every]), strict=True)) if every else {}
    return {name: tree_hash({path: ids[path] for path in paths}) for name, paths in wanted.items()}


def paths_of(service: ServiceManifest) -> list[str]:
    """The paths whose change means another image. A ready image has only those that it watches."""
    built = [] if service.image else [service.build.context, service.build.dockerfile]
    return sorted({*built, *service.watch})


def tree_hash(ids: dict[str, str | None]) -> str:
    """One hash over ids by path; None stands for a path that is not there."""
    lines = "".join(f"{path}\0{ids[path] or 'absent'}\n" for path in sorted(ids))
    return sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _object(commit: str, path: str) -> str:
    return f"{commit}^{{tree}}" if path == "." else f"{commit}:{path}"
