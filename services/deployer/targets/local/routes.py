"""Who takes the traffic. The record is written first, then the load balancer's file, then it is seen in effect.

A worker (no names, no port) has a record but no file.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from services.deployer.fence import Claim
from services.deployer.ports import Journal
from services.deployer.targets.local.certificates import Certificates
from services.deployer.targets.local.checks import Checks
from services.deployer.targets.local.load_balancer import LoadBalancer
from services.deployer.targets.local.naming import route_name
from services.deployer.targets.local.records import Placed, Records, ServiceRecord
from services.deployer.targets.local.route_files import candidate, url_of
from services.deployer.targets.local.route_folder import RouteFolder
from services.deployer.targets.local.workloads import Workloads, starts_in_switch
from shared.contracts.manifest import Strategy
from shared.contracts.places import Place
from shared.contracts.releases import Release, Sealed


@dataclass(frozen=True)
class Routes:
    """Switching traffic on this machine."""

    records: Records
    folder: RouteFolder
    balancer: LoadBalancer
    workloads: Workloads
    checks: Checks
    certificates: Certificates
    drain_s: float

    async def expose(self, claim: Claim, release: Release, secrets: Sealed) -> None:
        """A private route to the candidate, seen in the load balancer. Nothing where it is live already, or has no names."""
        if release.port is None or not release.hosts:
            return
        placed = await self.workloads.placed(claim, release, secrets)
        record = await self._change(claim, release.service, lambda record: record if record.runs(release.key) else record.exposed(placed))
        if record.candidate is not None:
            await self.balancer.until_routes_to(candidate(route_name(claim.place, release.service)), url_of(placed))

    async def hide(self, claim: Claim, release: Release) -> None:
        """No private route."""
        await self._change(claim, release.service, ServiceRecord.hidden)
        await self.balancer.until_routes_to(candidate(route_name(claim.place, release.service)), None)

    async def switch(self, claim: Claim, release: Release, secrets: Sealed, journal: Journal) -> None:
        """The release is live. What is live already is only seen to be in effect."""
        record = self.records.service(claim.place, release.service)
        former = record.former if record.runs(release.key) else record.live
        if starts_in_switch(release, record) and not record.runs(release.key):
            await self._change_over(claim, release, former, journal)
        else:
            if await self.workloads.revive(claim, release):
                await self.checks.until_ready(claim, release, journal)
            await self.workloads.promote(claim, release)
        placed = await self.workloads.placed(claim, release, secrets)
        await self._make_live(claim, release.service, placed)
        await self.workloads.keep(claim, release)
        if release.port is None and former is not None and former.container != placed.container:
            await self.workloads.stop(claim, former.container, former.release.stop_grace_s)

    async def switch_back(self, claim: Claim, release: Release, former: Release | None, secrets: Sealed) -> None:
        """The former release is live again; a service that is new has no route."""
        if release.runs_alone and (former is None or former.key != release.key):
            await self._change(claim, release.service, lambda record: record.making_way() if record.runs(release.key) else record)
            await self.workloads.give_up(claim, release)
        placed = None
        if former is not None:
            if release.runs_alone and former.key != release.key and self._gave_way(claim, former):
                # It was asked to stop, perhaps a moment ago: what still runs would end after it was looked at.
                await self.workloads.stop(claim, self.workloads.container(claim.place, former), former.stop_grace_s)
            if await self.workloads.bring_back(claim, former, secrets):
                await self.checks.until_ready(claim, former)
            placed = await self.workloads.placed(claim, former, secrets)
            placed = self._as_it_was(claim, release.service, placed)
        record = await self._change(claim, release.service, lambda record: record.switched_back(placed, claim.deployment))
        await self._seen(claim.place, release.service)
        await self._drain(claim, record)

    async def retire(self, claim: Claim, release: Release) -> None:
        """Old connections drain, the former release is asked to stop, and is removed when its grace period is over."""
        record = self.records.service(claim.place, release.service)
        keep = self.workloads.container(claim.place, release)
        if record.former is not None:
            await asyncio.sleep(self.drain_s)
        await self.workloads.retire(claim, release.service, record.live.container if record.live else keep)
        await self._change(claim, release.service, ServiceRecord.retired)
        await self._clear_certificates(claim, release.service)

    async def remove(self, claim: Claim, former: Release) -> None:
        """The service's route first, then its containers."""
        empty = ServiceRecord(place=claim.place, service=former.service)
        await self._change(claim, former.service, lambda _record: empty)
        await self._seen(claim.place, former.service)
        await asyncio.sleep(self.drain_s)
        await self.workloads.retire(claim, former.service, None)
        await self._clear_certificates(claim, former.service)

    async def _change_over(self, claim: Claim, release: Release, former: Placed | None, journal: Journal) -> None:
        """Starts what could not run beside the former release: `recreate` stops that first, a worker's is stopped when the new one runs."""
        if former is not None and release.strategy is Strategy.RECREATE:
            journal.log(f"stopping the former release of {release.service}")
            await self._change(claim, release.service, ServiceRecord.making_way)
            await self.workloads.stop(claim, former.container, former.release.stop_grace_s)
        await self.workloads.start(claim, release)
        await self.checks.until_ready(claim, release, journal)

    async def _drain(self, claim: Claim, record: ServiceRecord) -> None:
        """What the deployment had switched to answers the requests that it has, and is stopped: its removal would cut them off."""
        if record.draining is None:
            return
        await asyncio.sleep(self.drain_s)
        await self.workloads.stop(claim, record.draining.container, record.draining.release.stop_grace_s)
        await self._change(claim, record.service, ServiceRecord.drained)

    async def _make_live(self, claim: Claim, service: str, placed: Placed) -> None:
        await self._change(claim, service, lambda record: record.switched_to(placed))
        await self._seen(claim.place, service)

    async def _change(self, claim: Claim, service: str, change: Callable[[ServiceRecord], ServiceRecord]) -> ServiceRecord:
        """Record, then file, under one lease."""
        async with claim.lease():
            record = change(self.records.service(claim.place, service))
            self.records.keep_service(record)
            self.folder.apply(record)
        return record

    async def _clear_certificates(self, claim: Claim, service: str) -> None:
        async with claim.lease():
            self.certificates.clear(self.records.service(claim.place, service))

    async def _seen(self, where: Place, service: str) -> None:
        """Waits until the load balancer does what the record says."""
        record = self.records.service(where, service)
        routed = record.live is not None and record.live.release.hosts and record.live.release.port is not None
        await self.balancer.until_routes_to(route_name(where, service), url_of(record.live) if record.live and routed else None)

    def _gave_way(self, claim: Claim, former: Release) -> bool:
        record = self.records.service(claim.place, former.service)
        return record.giving_way or not record.runs(former.key)

    def _as_it_was(self, claim: Claim, service: str, placed: Placed) -> Placed:
        """A former release keeps the name of the deployment that put it here."""
        record = self.records.service(claim.place, service)
        for known in (record.former, record.live):
            if known is not None and known.container == placed.container:
                return known.model_copy(update={"address": placed.address, "secrets": placed.secrets})
        return placed.model_copy(update={"deployment": placed.release.deployment})
