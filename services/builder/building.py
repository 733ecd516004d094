"""BuildImage: one service's image, built from exactly one commit and exported to the registry by digest."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from prometheus_client import Counter, Histogram

from services.builder.admission import Admission
from services.builder.checkout import Checkouts
from services.builder.docker_cli import Broken, BuildOrder, DockerCli
from services.builder.engine import Engine
from services.builder.exporting import export
from services.builder.failures import Build, failure_of, timed_out
from services.builder.folders import Folders
from services.builder.ledger import Ledger
from services.builder.memory import BuildMemory
from services.builder.progress import Progress
from services.builder.recipe import Recipe, arguments_of, recipe_of
from services.builder.registry import ImageName, Registry, Stored, tag_of
from services.builder.settings import Settings
from services.builder.sources import Sources
from shared.contracts.commands import BuildImage
from shared.contracts.facts import ImageBuilt
from shared.contracts.releases import Sealed
from shared.work import StepFailure, Unavailable, Work

BUILDS = Counter("slipway_builds_total", "Images asked for, by what became of it", ["outcome"])
BUILD_SECONDS = Histogram(
    "slipway_build_seconds", "From the wait for room to the image in the registry", ["outcome"],
    buckets=(0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800),
)  # fmt: skip
_AWAY = (
    "cannot connect to the docker daemon",
    "error during connect",
    "failed to dial grpc",
    "unexpected eof",
    "transport is closing",
    "code = unavailable",
    "error reading from server",
    "connection reset by peer",
)
"""The client's last words when the engine went away; which ones depends on the moment."""


@dataclass(frozen=True)
class ImageBuilding:
    """Idempotent by the image's key: what the registry has under it is not built again."""

    settings: Settings
    sources: Sources
    checkouts: Checkouts
    registry: Registry
    engine: Engine
    client: DockerCli
    admission: Admission
    memory: BuildMemory
    folders: Folders
    ledger: Ledger

    async def __call__(self, command: BuildImage, work: Work) -> ImageBuilt:
        """Builds and exports; raises `StepFailure` where it cannot. Cancelled, it leaves nothing but cached layers and, where the
        image was on its way into the registry, that image on the engine, which retention takes."""
        place = command.place
        repository = self.registry.repository(place.organization, place.project, command.service)
        name = ImageName(self.registry.host, repository, tag_of(command.key))
        stored = await self.registry.find(repository, tag_of(command.key))
        reused = stored is not None
        self.ledger.touch(repository, tag_of(command.key))  # also before: retention takes what nobody wants and is not in the registry
        if stored is None:
            stored = await self._timed(command, name, work)
        else:
            BUILDS.labels("reused").inc()
        self.ledger.touch(repository, tag_of(command.key))
        by_digest = ImageName(self.registry.host, repository, digest=stored.digest)
        return ImageBuilt(service=command.service, image=str(by_digest), size_bytes=stored.size_bytes, reused=reused)

    async def _timed(self, command: BuildImage, name: ImageName, work: Work) -> Stored:
        begin, outcome = time.monotonic(), "interrupted"
        try:
            stored = await self._make(command, name, work)
            outcome = "built"
        except StepFailure:
            outcome = "failed"
            raise
        finally:
            BUILDS.labels(outcome).inc()
            BUILD_SECONDS.labels(outcome).observe(time.monotonic() - begin)
        return stored

    async def _make(self, command: BuildImage, name: ImageName, work: Work) -> Stored:
        await self.admission.wait(work)
        async with self.folders.checkout() as scratch:
            source = scratch / "source"
            source.mkdir()
            remote = replace(self.sources.remote(command.place.organization, command.source, work), lends=not command.fork)
            await self.checkouts.lay_out(remote, command.source.commit, command.source.ref, source, work)
            recipe = await asyncio.to_thread(recipe_of, source, command.service, command.build)
            await self._build(command, recipe, name, scratch, work)
        return await export(self.engine, self.registry, name)

    async def _build(self, command: BuildImage, recipe: Recipe, name: ImageName, scratch: Path, work: Work) -> None:
        """Runs the client under the limits of memory and time."""
        progress, limit_s = Progress(), min(self.settings.build_timeout_s, command.timeout_s * 0.95)
        with self.memory.limited(command.memory_bytes) as watch, self._secrets(command, work) as secrets:
            order = BuildOrder(
                recipe.context, recipe.file, str(name), {"slipway.instance": self.settings.instance}, command.build.target,
                {**self.settings.proxy, **arguments_of(recipe, command.build, self.settings.build_args)}, secrets,
                self.sources.key.tag(_caches(self.settings.instance, command)), command.fresh,
            )  # fmt: skip
            try:
                async with asyncio.timeout(limit_s):
                    await self._follow(self.client.build(order, scratch), progress, work)
            except (TimeoutError, Broken) as error:
                if progress.failed is None and any(sign in progress.last_line.lower() for sign in _AWAY):
                    raise Unavailable(f"the container engine at {self.client.host} does not answer") from error
                build = Build(
                    command.service,
                    command.build.dockerfile,
                    recipe.dockerfile,
                    command.build.context,
                    watch.limit_bytes,
                    watch.limit_was_hit,
                )
                raise (timed_out(build, progress, limit_s) if isinstance(error, TimeoutError) else failure_of(build, progress)) from None

    async def _follow(self, lines: AsyncIterator[str], progress: Progress, work: Work) -> None:
        async with aclosing(lines) as closing:  # type: ignore[type-var]
            async for line in closing:
                for shown in progress.feed(line):
                    work.log(shown)

    @contextmanager
    def _secrets(self, command: BuildImage, work: Work) -> Iterator[dict[str, Path]]:
        """Each secret in a file of its own in a private folder, as long as the build runs."""
        missing = [name for name in command.build.secrets if name not in command.secrets.values]
        if missing:
            names = ", ".join(missing)
            raise StepFailure(
                "secret_missing", f"services.{command.service}.build.secrets: {names} has no value; set it with `slipway secret`"
            )
        if not command.build.secrets:
            yield {}
            return
        wanted = Sealed(values={name: command.secrets.values[name] for name in command.build.secrets})
        values = self.sources.key.open(wanted, work)
        with self.folders.private() as folder:
            files = {name: folder / str(index) for index, name in enumerate(values)}
            for name, path in files.items():
                path.touch(mode=0o600)
                path.write_text(values[name])
            yield files


def _caches(instance: str, command: BuildImage) -> str:
    """Whose cache mounts a build has: its project's; a fork's build those of its preview, since what it leaves there others would run."""
    place = command.place
    return "\0".join(("caches", instance, place.organization, place.project, *([place.environment] if command.fork else [])))
