"""PostgreSQL in a container with a named volume; its password is derived, so it is never stored and always the same."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import asyncpg

from services.deployer.fence import Claim
from services.deployer.ports import Journal, Provisioned
from services.deployer.targets.local import links
from services.deployer.targets.local.container_state import Container
from services.deployer.targets.local.containers import LIVE, Endpoint, Limits, configuration, volumes_of
from services.deployer.targets.local.database_images import DatabaseImages
from services.deployer.targets.local.database_rules import major_of, refuse_no_way_back
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.exits import ended_by_itself, explain_exit
from services.deployer.targets.local.naming import Role, container_name, place_labels
from services.deployer.targets.local.networks import Networks
from services.deployer.targets.local.records import DatabaseRecord, DetachedVolume, Records
from services.deployer.targets.local.secrets import TargetKey
from services.deployer.targets.local.starting import try_start
from shared.contracts.places import Place
from shared.contracts.releases import DatabaseSpec
from shared.work import StepFailure, Unavailable

_VOLUME = "/var/lib/postgresql"
_USER = "999:999"
_GRACE_S = 30.0
_NOT_YET = (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError, TimeoutError)


@dataclass(frozen=True)
class Databases:
    """The databases of one instance."""

    engine: Engine
    networks: Networks
    records: Records
    key: TargetKey
    images: DatabaseImages
    instance: str

    async def provision(self, claim: Claim, spec: DatabaseSpec, journal: Journal) -> Provisioned:
        """Made, or changed in place; a database whose container is gone gets it back on its volume, unless that is detached."""
        known = self.records.database(claim.place, spec.name)
        if known is not None and not self.records.is_detached(known.volume):
            refuse_no_way_back(known.spec, spec)
        image = await self.images.ensure(spec)
        async with claim.lease():
            known = self.records.database(claim.place, spec.name)
            if known is not None and await self.finish_detaching(known):
                known = None
            record = known or self._new(claim, spec)
            if record.spec != spec or known is None:
                record = record.model_copy(update={"spec": spec})
                self.records.keep_database(record)
            await self._run(record, image)
        await self._until_answering(claim, spec, journal)
        return Provisioned(major_of(spec.version), made=record.deployment == claim.deployment)

    async def restore(self, claim: Claim, spec: DatabaseSpec, former: DatabaseSpec | None) -> str | None:
        """What this deployment made is detached; of what was there, the former spec is in force again."""
        record = self.records.database(claim.place, spec.name)
        if record is None:
            return None
        if record.deployment == claim.deployment:
            return await self.detach(claim, spec)
        if former is not None:  # also where it is recorded already: whoever recorded it may have got no further
            async with claim.lease():
                record = self.records.database(claim.place, spec.name)
                if record is None:
                    return None
                record = record.model_copy(update={"spec": former})
                self.records.keep_database(record)
            await self.bring_back(record, claim.lease())
        return None

    async def connect(self, claim: Claim, spec: DatabaseSpec) -> str:
        """Found by its name on the environment's network."""
        network = self.networks.name(claim.place)
        async with claim.lease():
            found = await self._there(claim.place, spec.name)
            attached = found.networks.get(network)
            if attached is None or spec.name not in attached.aliases:
                await self.networks.put_back(claim.place, found, spec.name)
        return network

    async def check(self, claim: Claim, spec: DatabaseSpec, journal: Journal) -> str:
        """It answers a query with the derived password, in the asked major version."""
        version = await self._until_answering(claim, spec, journal)
        if major_of(version) != major_of(spec.version):
            raise StepFailure(
                "database_version_differs", f"the database {spec.name} runs PostgreSQL {version}, and {spec.version} was asked for"
            )
        return version

    async def detach(self, claim: Claim, former: DatabaseSpec) -> str | None:
        """The container goes; the volume is kept for days, and never used again by itself."""
        record = self.records.database(claim.place, former.name)
        if record is None:
            return None
        await self._stop(claim, record.container)
        async with claim.lease():
            detached = DetachedVolume(place=claim.place, database=former.name, volume=record.volume, version=record.spec.version)
            if await self.engine.volumes.find(record.volume) is not None:
                self.records.detach(detached)
            await self._remove(record)
        return record.volume

    async def finish_detaching(self, record: DatabaseRecord) -> bool:
        """Whether it was to go, and somebody got no further than to mark its volume as detached: it is gone then.

        The caller holds the lease.
        """
        if not self.records.is_detached(record.volume):
            return False
        await self._remove(record)
        return True

    async def _remove(self, record: DatabaseRecord) -> None:
        """Whatever a request of the step that made it still brings goes with the next sweep."""
        self.records.mark_undone(record.place, record.step_key)
        await self.engine.remove(record.container)
        self.records.forget_database(record.place, record.spec.name)

    async def bring_back(self, record: DatabaseRecord, lease: AbstractAsyncContextManager[None]) -> bool:
        """The container runs again as it was made, made anew where it is gone; True where something had to be done.

        Nothing where the database is recorded otherwise by the time that the lease is had. An image is asked for before, and only where
        a container is made: it may have to be pulled.
        """
        gone = await self.engine.inspect(record.container) is None
        image = await self.images.ensure(record.spec) if gone and not self.records.is_detached(record.volume) else None
        async with lease:
            as_looked_at = self.records.database(record.place, record.spec.name) == record
            return as_looked_at and not self.records.is_detached(record.volume) and await self._as_made(record, image)

    async def _as_made(self, record: DatabaseRecord, image: str | None) -> bool:
        """The caller holds the lease."""
        found = await self.engine.inspect(record.container)
        gone = found is None or not found.is_on(await self.engine.networks.find(self.networks.name(record.place)))
        as_made = found is not None and Limits(record.spec.memory_bytes).hold_of(found) and found.restart_policy == "unless-stopped"
        if not gone and as_made and found is not None and found.running:
            return False
        if gone and found is not None:
            await self.networks.put_back(record.place, found, record.spec.name)
        await self._run(record, image)
        return True

    def _new(self, claim: Claim, spec: DatabaseSpec) -> DatabaseRecord:
        """A database that this step makes: container and volume named by the step, so that the next try gets new ones."""
        name = container_name(self.instance, claim.place, spec.name, claim.step_key)
        return DatabaseRecord(
            place=claim.place,
            spec=spec,
            container=name,
            volume=name,
            deployment=claim.deployment,
            step_key=claim.step_key,
            epoch=claim.epoch,
        )

    def _labels(self, record: DatabaseRecord) -> dict[str, str]:
        """Container and volume carry the step that made the database, also where they are made again."""
        return place_labels(self.instance, record.place) | {
            "slipway.service": record.spec.name,
            "slipway.role": Role.DATABASE,
            "slipway.deployment": record.deployment,
            "slipway.step": record.step_key,
            "slipway.epoch": str(record.epoch),
        }

    async def _run(self, record: DatabaseRecord, image: str | None) -> None:
        """The record's container runs, with its limits; without an image none is made. The caller holds the lease."""
        limits = Limits(record.spec.memory_bytes)
        found = await self.engine.inspect(record.container)
        if found is None:
            if image is None:
                raise Unavailable(f"the container of the database {record.spec.name} was removed a moment ago")
            await self._create(record, image, limits)
        elif found.memory_bytes != limits.engine()["Memory"]:
            await self.engine.update(record.container, limits.engine())
        if found is None or not found.running:
            words = await try_start(self.engine, record.container)
            if words is not None:
                raise StepFailure("start_failed", f"the database {record.spec.name} could not be started: {words[-300:]}", details=words)
        if found is None or found.restart_policy != "unless-stopped":
            await self.engine.update(record.container, LIVE)

    async def _create(self, record: DatabaseRecord, image: str, limits: Limits) -> None:
        spec = record.spec
        subnet = await self.networks.ensure(record.place)
        address = await self.networks.free_address(record.place, subnet, record.container)
        carried = self._labels(record)
        await self.engine.volumes.create(record.volume, carried)
        user = links.user_of(spec.name)
        environment = {
            "POSTGRES_USER": user,
            "POSTGRES_DB": user,
            "POSTGRES_PASSWORD": self.key.password(record.place, spec.name),
            "PGDATA": f"{_VOLUME}/{major_of(spec.version)}/docker",
        }
        made = configuration(
            image=image,
            image_volumes=volumes_of(await self.engine.image(image) or {}),
            labels=carried,
            environment=environment,
            user=_USER,
            limits=limits,
            endpoint=Endpoint(self.networks.name(record.place), address, (spec.name,)),
            writable=("/tmp", "/run/postgresql", "/var/run/postgresql"),  # noqa: S108 -- in the container
            volumes={record.volume: _VOLUME},
        )
        await self.engine.create(record.container, made)

    async def _until_answering(self, claim: Claim, spec: DatabaseSpec, journal: Journal) -> str:
        """The server's version, as soon as it answers; one that went down with the engine is started again. The step's own time ends
        the wait."""
        told = False
        while True:
            found = await self._there(claim.place, spec.name)
            if not found.running:
                if await ended_by_itself(self.engine, found):
                    raise await explain_exit(self.engine, found, f"the database {spec.name}")
                await self._start_again(claim, spec.name)
                continue
            try:
                return await self._version(claim.place, spec, found)
            except _NOT_YET:
                if not told:
                    journal.log(f"waiting for the database {spec.name}")
                told = True
            except asyncpg.InvalidPasswordError as error:
                raise StepFailure(
                    "database_password_differs",
                    f"the database {spec.name} has another password than the one of this target's key: was the key replaced? Put it back.",
                ) from error
            await asyncio.sleep(0.05)

    async def _start_again(self, claim: Claim, name: str) -> None:
        """Runs as its record says."""
        record = self.records.database(claim.place, name)
        if record is not None:
            await self.bring_back(record, claim.lease())

    async def _version(self, place: Place, spec: DatabaseSpec, found: Container) -> str:
        attached = found.networks.get(self.networks.name(place))
        if attached is None:
            raise ConnectionError(f"{found.name} is on no network")
        connection: Any = await asyncpg.connect(links.url(self.key, place, spec.name, attached.address), timeout=5, ssl=False)
        try:
            return str(await connection.fetchval("SHOW server_version")).split()[0]
        finally:
            await connection.close(timeout=2)

    async def _there(self, place: Place, name: str) -> Container:
        record = self.records.database(place, name)
        found = None if record is None else await self.engine.inspect(record.container)
        if found is None:
            raise StepFailure("stopped_from_outside", f"the container of the database {name} was removed by somebody: deploy again")
        return found

    async def _stop(self, claim: Claim, container: str) -> None:
        async with claim.lease():
            found = await self.engine.inspect(container)
            signalled = found is not None and found.running and await self.engine.signal(container, found.stop_signal)
        if signalled:
            try:
                async with asyncio.timeout(_GRACE_S):
                    await self.engine.wait(container)
            except TimeoutError:
                return  # its removal kills it; PostgreSQL recovers from that
