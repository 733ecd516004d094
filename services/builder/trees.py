"""What a service's image is made from, as one hash: git's own ids of its folder, its Dockerfile and the watched paths.

Links inside the repository are followed, as the build follows them. A submodule, and all that lies in it, stands for the
commit that it is pinned to.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from hashlib import sha256
from itertools import islice
from pathlib import PurePosixPath

from services.builder.mirror import Entry, Mirror
from services.builder.yaml_reading import shown
from shared.contracts.manifest import Manifest, ServiceManifest
from shared.work import StepFailure

_PATTERN = frozenset("*?[")
_EXPLAINED = 20
_COMPARED = 1000


async def trees_of(mirror: Mirror, commit: str, manifest: Manifest) -> tuple[dict[str, str], dict[str, str]]:
    """Service → hash, and what is wrong with the manifest's paths, by where they stand in it (`services.web.watch.0`).

    Equal hashes mean equal files: git's ids are hashes of content, modes and submodule commits.
    """
    wanted = {name: paths_of(service) for name, service in manifest.services.items()}
    named = {at: path for name, service in manifest.services.items() for at, path in _named(name, service).items()}
    watched = {path for service in manifest.services.values() for path in service.watch}
    every = {path for paths in wanted.values() for path in paths}.union(named.values())
    ids = await _ids(mirror, commit, sorted(every), watched, set(named.values()))
    missing = {path for path in named.values() if ids[path] is None}
    reasons = await _reasons(mirror, commit, missing) if missing else {}
    wrong = {at: reasons[path] for at, path in named.items() if path in missing and missing.isdisjoint(_above(path)[1:])}
    return {name: tree_hash({path: ids[path] for path in paths}) for name, paths in wanted.items()}, wrong


def paths_of(service: ServiceManifest) -> list[str]:
    """The paths whose change means another image; ignore files need not be there. A ready image has only those that it watches."""
    if service.image:
        return sorted(set(service.watch))
    built = service.build
    ignored = (f"{built.dockerfile}.dockerignore", str(PurePosixPath(built.context) / ".dockerignore"))
    return sorted({service.path or built.context, built.dockerfile, *ignored, *service.watch})


def tree_hash(ids: Mapping[str, str | None]) -> str:
    """One hash over ids by path; None stands for a path that is not there."""
    lines = "".join(f"{path}\0{ids[path] or 'absent'}\n" for path in sorted(ids))
    return sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _named(name: str, service: ServiceManifest) -> dict[str, str]:
    """Where a path stands in the manifest → the path, for those that have to be there."""
    watched = {f"services.{name}.watch.{index}": path for index, path in enumerate(service.watch)}
    if service.image:
        return watched
    own = {f"services.{name}.path": service.path} if service.path else {}
    built = {f"services.{name}.build.context": service.build.context, f"services.{name}.build.dockerfile": service.build.dockerfile}
    return watched | own | built


async def _ids(mirror: Mirror, commit: str, paths: list[str], watched: set[str], needed: set[str]) -> dict[str, str | None]:
    """Git's id of each path; of a single file that is watched, its mode too, which only the folder above knows."""
    found = dict(zip(paths, await mirror.ids([_object(commit, path) for path in paths]), strict=True))
    asked = {path for path in paths if path != "." and (path in watched or (path in needed and found[path] is None))}
    entries = await _entries(mirror, commit, asked) if asked else {}
    for path in asked:
        entry = entries.get(path)
        submodule = next((above for name in _above(path) if (above := entries.get(name)) is not None and above.is_submodule), None)
        if submodule is not None:
            found[path] = submodule.id
        elif entry is not None and not entry.is_link:
            found[path] = f"{entry.mode} {entry.id}"
    return found


async def _entries(mirror: Mirror, commit: str, paths: Iterable[str]) -> dict[str, Entry]:
    """What stands at these paths and at those above them."""
    every = sorted({name for path in paths for name in _above(path)})
    return {entry.path: entry for entry in await mirror.entries(commit, "-t", paths=every)}


async def _reasons(mirror: Mirror, commit: str, missing: set[str]) -> dict[str, str]:
    """Why a path has no id, and, for as many as are shown, what was probably meant."""
    every: dict[str, Entry] = {}
    with suppress(StepFailure):  # there is too much in the commit to look for what was meant
        every = {entry.path: entry for entry in await mirror.entries(commit, "-r", "-t")}
    return await asyncio.to_thread(_each_reason, sorted(missing), every)


def _each_reason(missing: list[str], every: Mapping[str, Entry]) -> dict[str, str]:
    explained = {path: _reason(path, every) for path in missing[:_EXPLAINED]}
    return {**{path: _absent(path) for path in missing}, **explained}


def _absent(path: str) -> str:
    return f"there is no `{shown(path)}` in the commit"


def _reason(path: str, every: Mapping[str, Entry]) -> str:
    entry = every.get(path)
    if entry is not None and entry.is_link:
        return f"`{shown(path)}` is a link that leads nowhere, or out of the repository"
    said = _absent(path)
    if _PATTERN & set(path):
        return f"{said}: patterns are not expanded, name the folder or the file"
    last = PurePosixPath(path).name.lower()
    folder = next((name for name in _above(path)[1:] if name in every), "")
    likely = (name for name in every if name.rpartition("/")[2].lower() == last or name.rpartition("/")[0] == folder)
    close = get_close_matches(path, islice(likely, _COMPARED), n=1, cutoff=0.5)
    return f"{said}; did you mean `{shown(close[0])}`?" if close else said


def _above(path: str) -> list[str]:
    """The path and the folders that it lies in, the nearest first; without the root."""
    return [str(name) for name in (PurePosixPath(path), *PurePosixPath(path).parents) if str(name) != "."]


def _object(commit: str, path: str) -> str:
    return f"{commit}^{{tree}}" if path == "." else f"{commit}:{path}"
