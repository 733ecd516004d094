"""What a compensated epoch left: an engine's request may land after its sender died, after the undo had looked.

And what a deployment before it left, whose retirement was refused when the compensated one took the environment.
"""

import asyncio
from dataclasses import dataclass, field

import structlog

from services.deployer.fence import Claim
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.naming import Role, epoch_of, grace_of, name_of, place_labels
from services.deployer.targets.local.networks import Networks
from services.deployer.targets.local.records import DetachedVolume, Records
from services.deployer.targets.local.unknown_run import unknown_run
from shared.contracts.places import Place

log = structlog.get_logger()


@dataclass(frozen=True)
class Sweep:
    """Leftovers of one instance."""

    engine: Engine
    networks: Networks
    records: Records
    instance: str
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set where releases of deployments that have ended still run: to retire them takes longer than an undo may."""

    async def begin(self, claim: Claim) -> None:
        """From here on nothing that carries the step's key may stand, whenever it arrives."""
        async with claim.lease():
            self.records.mark_undone(claim.place, claim.step_key)
            for record in list(self.records.services(claim.place)):
                if (now := record.outlived(claim.deployment)) != record:
                    self.records.keep_service(now)

    async def run(self, claim: Claim) -> None:
        """Removes what undone steps of the environment left."""
        async with claim.lease():
            await self.clear(claim.place)
            if await self.outlived(claim.place, claim.epoch):
                self.left.set()

    async def outlived(self, place: Place, epoch: int) -> dict[str, float]:
        """Containers of releases that no record speaks of, from before the deployment that has the epoch, or is compensated under it: the
        grace of each, in seconds. By id: a deployment may make one of the same name at any time."""
        kept = self._kept(place)
        found = await self.engine.summaries(place_labels(self.instance, place) | {"slipway.role": Role.APPLICATION})
        return {
            str(each["Id"]): grace_of(each["Labels"])
            for each in found
            if name_of(each) not in kept and (made := epoch_of(each["Labels"])) is not None and made < epoch - 1
        }

    async def clear(self, place: Place, below: int = 0) -> list[str]:
        """Removes what undone steps left, and candidates and jobs of epochs below the given one; their names. The caller holds the lease.

        What the records speak of stays, whoever made it. A job that has started stays until its own undo has seen it: by its container
        the undo knows that there is something to undo. Of a deployment that has ended, with the undo given up or the retirement failed,
        it goes as well.
        A container whose epoch cannot be read is nobody's of ours and stays. A volume is never removed, only marked as detached.
        """
        undone = self.records.undone(place)
        kept = self._kept(place)
        removed = []
        for summary in await self.engine.summaries(place_labels(self.instance, place)):
            name, carried = name_of(summary), summary["Labels"]
            role, epoch = carried.get("slipway.role"), epoch_of(carried)
            if epoch is None:
                log.warning("container left alone: its epoch is no number", container=name, place=str(place))
                continue
            has_undo = role == Role.JOB and epoch + 1 >= below
            if has_undo and (summary["State"] != "created" or unknown_run(summary["Id"])):
                continue
            stale = not has_undo if role == Role.JOB else role == Role.APPLICATION and epoch < below
            remove = self.engine.remove_idle if has_undo else self.engine.remove  # a start may have landed since the look
            if name not in kept and (stale or carried.get("slipway.step") in undone) and await remove(name):
                removed.append(name)
        await self._detach_volumes(place, undone)
        await self.networks.remove_unused(place)
        return removed

    def _kept(self, place: Place) -> set[str]:
        services = list(self.records.services(place))
        draining = {record.draining.container for record in services if record.draining is not None}
        databases = {record.container for record in self.records.databases(place)}
        return draining.union(databases, *(record.containers() for record in services))

    async def _detach_volumes(self, place: Place, undone: set[str]) -> None:
        used = {record.volume for record in self.records.databases(place)} | {volume.volume for volume in self.records.detached(place)}
        for volume in await self.engine.volumes.all(place_labels(self.instance, place) | {"slipway.role": Role.DATABASE}):
            carried = volume["Labels"]
            if volume["Name"] not in used and carried["slipway.step"] in undone:
                database = carried["slipway.service"]
                self.records.detach(DetachedVolume(place=place, database=database, volume=volume["Name"], version=""))
