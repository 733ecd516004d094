"""InspectSource: what the repository holds at the commit."""

import asyncio
from dataclasses import dataclass

from services.builder import dockerfile, manifest, trees
from services.builder.mirror import LARGEST_READ, Mirror
from services.builder.mirrors import Mirrors
from services.builder.sources import Sources
from shared.contracts.commands import InspectSource, Source
from shared.contracts.facts import SourceInspected
from shared.contracts.manifest import Manifest
from shared.printable import printable
from shared.work import StepFailure, Work

_MISNAMED = ("slipway.yml", ".slipway.yaml", ".slipway.yml", "Slipway.yaml")


@dataclass(frozen=True)
class Inspection:
    """Reads only; a second time it says the same, but for the head."""

    mirrors: Mirrors
    sources: Sources

    async def __call__(self, command: InspectSource, work: Work) -> SourceInspected:
        """Fetches the commit where it is not here yet, and reads manifest, trees, head and ancestry."""
        source = command.source
        remote = self.sources.remote(command.place.organization, source, work)
        fetched = await self.mirrors.fetch_with_head(remote, source.commit, source.ref)
        head = None if fetched else asyncio.create_task(self.mirrors.head(remote, source.ref))
        try:
            async with self.mirrors.holding(remote, source.commit, source.ref) as mirror:
                commit, content, read = await _read(mirror, source)
                hashes, wrong = await trees.trees_of(mirror, source.commit, read)
                if wrong and content is not None:
                    raise StepFailure("manifest_invalid", str(await asyncio.to_thread(manifest.invalid, content, wrong)))
            stale = command.newest is not None and await self.mirrors.is_strict_ancestor(remote, source.commit, command.newest)
            title, author = _title_and_author(commit)
            stands_at = await head if head else fetched
            return SourceInspected(manifest=read, trees=hashes, head=stands_at, stale=stale, title=title, author=author)
        finally:
            if head:
                head.cancel()
                await asyncio.gather(head, return_exceptions=True)


async def _read(mirror: Mirror, source: Source) -> tuple[bytes, bytes | None, Manifest]:
    """The commit, the manifest's text where there is one, and the manifest."""
    commit = source.commit
    names = [f"{commit}^{{commit}}", *(f"{commit}:{name}" for name in (manifest.FILE, "Dockerfile", *_MISNAMED))]
    about, written, docker, *misnamed = await mirror.objects(names)
    if about is None:
        raise StepFailure("commit_missing", f"{commit[:12]} is not a commit in {source.repository}")
    if about.content is None:
        raise StepFailure("commit_too_large", f"commit {commit[:12]} says more than {LARGEST_READ // 2**10} KiB in its message")
    try:
        if written is not None:
            if written.content is None:
                raise manifest.too_large()
            return about.content, written.content, await asyncio.to_thread(manifest.parse, written.content)
        if docker is not None and docker.content is None:
            raise dockerfile.too_large("Dockerfile")
        described = dockerfile.parse(docker.content.decode(errors="replace")) if docker and docker.content is not None else None
        found = next((name for name, there in zip(_MISNAMED, misnamed, strict=True) if there is not None), None)
        return about.content, None, manifest.without_file(described, found)
    except manifest.ManifestInvalid as invalid:
        raise StepFailure("manifest_invalid", str(invalid)) from None


def _title_and_author(commit: bytes) -> tuple[str, str]:
    head, _, message = commit.decode(errors="replace").partition("\n\n")
    author = next((line.removeprefix("author ") for line in head.splitlines() if line.startswith("author ")), "")
    title = next(iter(message.strip().splitlines()), "")
    return printable(title)[:200], printable(author.partition(" <")[0])[:200]
