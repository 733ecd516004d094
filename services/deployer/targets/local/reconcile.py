"""Record against target: sets right what a reboot, an engine's restart or a person's hand has changed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from aiodocker.exceptions import DockerError

from services.deployer.fence import Claim, Fence
from services.deployer.files import remove_durably
from services.deployer.targets.local.certificates import Certificates
from services.deployer.targets.local.databases import Databases
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.examination import Examination
from services.deployer.targets.local.naming import Role, place_of
from services.deployer.targets.local.records import DatabaseRecord, DetachedVolume, Placed, Records, ServiceRecord
from services.deployer.targets.local.route_folder import RouteFolder
from services.deployer.targets.local.sweep import Sweep
from services.deployer.targets.local.workloads import Workloads
from shared.contracts.places import Place
from shared.messages import utc_now
from shared.work import LowerEpoch, StepFailure, Unavailable

log = structlog.get_logger()

DETACHED_KEPT = timedelta(days=7)
_EVERY_S = 600.0
_AWAY_S = 1.0
_FAILED_S = 60.0


class _Changed(Exception):
    """A deployment has changed what was looked at: it sees for itself."""


@dataclass(frozen=True)
class _AsRecorded(Claim):
    """Holds as long as a release is live, and stays so: under every lease that is read again."""

    records: Records
    live: Placed

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[None]:
        """Raises `_Changed` where it is not, or gives way."""
        async with super().lease():
            record = self.records.service(self.place, self.live.release.service)
            if record.live != self.live or record.giving_way:
                raise _Changed
            yield


@dataclass(frozen=True)
class Reconcile:
    """The reconciliation of one instance. Every effect is under the lease of its environment."""

    fence: Fence
    engine: Engine
    records: Records
    workloads: Workloads
    databases: Databases
    routes: RouteFolder
    certificates: Certificates
    sweep: Sweep
    examination: Examination
    looked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the target was looked at once since the start."""

    async def ready(self) -> None:
        """Raises until the target was looked at once: before, applications may still be on their way back."""
        if not self.looked.is_set():
            raise RuntimeError("applications are being brought back to what the records say")

    async def run(self) -> None:
        """At start, whenever the engine was away, and every ten minutes. Ends only by cancellation."""
        while True:
            try:
                await self.once()
                self.looked.set()
                await self._until_needed()
            except Unavailable as error:
                log.warning("reconcile waits", reason=str(error))
                await asyncio.sleep(_AWAY_S)
            except Exception:  # the edge of a background task: by its end it would end the steps of all deployments
                log.exception("reconcile failed")
                await asyncio.sleep(_FAILED_S)

    async def once(self) -> list[str]:
        """Everything once; what was done, in words. Raises `Unavailable` in the end, where the engine was away, or an environment took too long."""
        self.sweep.left.clear()
        done: list[str] = []
        away: Unavailable | None = None
        for place in await self.examination.places():
            try:
                done += await self._apart(str(place), self.place(place))
            except Unavailable as error:
                away = error
        done += await self._apart("what is in no environment", self._strays())
        for line in done:
            log.info("reconciled", what=line)
        if away is not None:
            raise away
        return done

    async def place(self, place: Place) -> list[str]:
        """One environment; what was done, in words."""
        done = []
        for database in list(self.records.databases(place)):
            done += await self._tried(place, database.spec.name, self._database(database))
        for record in list(self.records.services(place)):
            for part in (self._running, self._reached):
                done += await self._tried(place, record.service, part(place, record.service))
        done += await self._tried(place, "what was left", self._outlived(place))
        async with self.fence.lease(place):
            removed = await self.sweep.clear(place, below=self.fence.highest(place))
        return done + [f"{place}: leftover {name} removed" for name in removed]

    async def _apart(self, name: str, work: Awaitable[list[str]]) -> list[str]:
        """A part of the round that fails as nobody foresaw does not keep the others from theirs."""
        try:
            return await work
        except Unavailable:
            raise
        except Exception:
            log.exception("cannot be reconciled", name=name)
            return []

    async def _tried(self, place: Place, name: str, work: Awaitable[list[str]]) -> list[str]:
        """One that cannot be set right does not keep the others from it."""
        try:
            return await work
        except (StepFailure, DockerError) as error:
            log.error("cannot be set right", place=str(place), name=name, reason=str(error))
            return [f"{place}: {name} cannot be set right: {error}"]
        except (LowerEpoch, _Changed):
            return []  # a deployment took the environment in the meantime: it sees for itself

    async def _database(self, database: DatabaseRecord) -> list[str]:
        async with self.fence.lease(database.place):
            now = self.records.database(database.place, database.spec.name)
            if now is not None and await self.databases.finish_detaching(now):
                return [f"{database.place}: the database {database.spec.name}, which was to be removed, is gone"]
        started = await self.databases.bring_back(database, self.fence.lease(database.place))
        return [f"{database.place}: the database {database.spec.name} is as recorded again"] if started else []

    async def _running(self, place: Place, service: str) -> list[str]:
        """Its live release runs."""
        record = self.records.service(place, service)
        live = record.live
        if live is None or record.giving_way:
            return []
        claim = _AsRecorded(self.fence, place, self.fence.highest(place), live.deployment, f"reconcile-{service}", self.records, live)
        changed = await self.workloads.bring_back(claim, live.release, live.secrets)
        return [f"{place}: {service} is as recorded again"] if changed else []

    async def _reached(self, place: Place, service: str) -> list[str]:
        """Its route leads to where it is, under a certificate that holds."""
        async with self.fence.lease(place):
            record = await self._readdressed(self.records.service(place, service))
            self.records.keep_service(record)
            self.routes.apply(record)
            renewed = self.certificates.renew(record)
        return [f"{place}: certificate of {service} renewed"] if renewed else []

    async def _outlived(self, place: Place) -> list[str]:
        """What the retirement of a deployment that has ended left is asked to stop, as that would have; given up to the next deployment."""
        claim = Claim(self.fence, place, self.fence.highest(place), "", "reconcile")
        left = await self.sweep.outlived(place, claim.epoch)
        await asyncio.gather(*(self.workloads.stop(claim, identity, grace_s) for identity, grace_s in left.items()))
        return []

    async def _readdressed(self, record: ServiceRecord) -> ServiceRecord:
        """A live container that had to be made anew may have another address."""
        if record.live is None:
            return record
        found = await self.engine.inspect(record.live.container)
        attached = None if found is None else found.networks.get(self.workloads.networks.name(record.place))
        if attached is None or attached.address == record.live.address:
            return record
        return record.model_copy(update={"live": record.live.model_copy(update={"address": attached.address})})

    def clear_strays(self) -> list[str]:
        """Removes route files and certificates that no record speaks of."""
        return [*self._clear_routes(), *(f"stray certificate {name} removed" for name in self.certificates.clear_strays())]

    def _clear_routes(self) -> list[str]:
        return [f"stray route {path.name} removed" for path in self.examination.stray_routes() if remove_durably(path)]

    async def _strays(self) -> list[str]:
        done = self.clear_strays()
        for volume in list(self.records.detached()):
            if utc_now() - volume.at > DETACHED_KEPT:
                done += await self._tried(volume.place, volume.volume, self._drop(volume))
        wanted = {"slipway.instance": self.workloads.instance, "slipway.role": Role.SCRATCH}
        for scratch in await self.engine.volumes.all(wanted, unused=True):
            if (place := place_of(scratch["Labels"])) is not None:
                done += await self._tried(place, scratch["Name"], self._drop_scratch(place, scratch["Name"]))
        return done

    async def _drop(self, volume: DetachedVolume) -> list[str]:
        await self.engine.volumes.remove(volume.volume)
        self.records.forget_detached(volume)
        return [f"{volume.place}: volume {volume.volume}, detached {volume.at:%Y-%m-%d}, removed"]

    async def _drop_scratch(self, place: Place, name: str) -> list[str]:
        """An engine that died when it made or removed a container leaves its volumes. A new one is used from its first moment on."""
        await self.engine.volumes.remove(name)
        return [f"{place}: volume {name}, whose container is gone, removed"]

    async def _until_needed(self) -> None:
        """Returns when the engine went away, when an undo met what was left, or after ten minutes."""
        waits = [asyncio.create_task(self.engine.until_gone()), asyncio.create_task(self.sweep.left.wait())]
        try:
            done, _ = await asyncio.wait(waits, timeout=_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
