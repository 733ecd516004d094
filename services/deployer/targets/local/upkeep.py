"""Doctor's part of a target: what differs from the records, and setting it right, one environment at a time."""

from dataclasses import dataclass

from services.deployer.targets.local.examination import Examination
from services.deployer.targets.local.reconcile import Reconcile
from services.deployer.targets.local.records import Records
from shared.contracts.examination import Difference
from shared.contracts.places import Place
from shared.contracts.releases import DatabaseSpec


@dataclass(frozen=True)
class Upkeep:
    """Of one instance."""

    examination: Examination
    reconcile: Reconcile
    records: Records

    async def places(self) -> list[Place]:
        """Every environment that is recorded, or that something here says it belongs to."""
        return await self.examination.places()

    async def examine(self, place: Place | None) -> list[Difference]:
        """What differs in an environment, or (None) belongs to none. Changes nothing."""
        return self.examination.strays() if place is None else await self.examination.of(place)

    async def mend(self, place: Place | None) -> list[str]:
        """Sets right what can be; what was done, in words. Gives way to a deployment that takes the environment meanwhile."""
        return self.reconcile.clear_strays() if place is None else await self.reconcile.place(place)

    def releases(self, place: Place) -> dict[str, str]:
        """Service → release that is live."""
        return {record.service: record.live.release.id for record in self.records.services(place) if record.live is not None}

    def databases(self, place: Place) -> dict[str, DatabaseSpec]:
        """What each is recorded to be."""
        return {record.spec.name: record.spec for record in self.records.databases(place)}
